// Delivery from a history of spikes: brainjax/ops/_deliver_history.py.

#include <numeric>

#include "events.h"
#include "frame.h"
#include "rows.h"
#include "share.h"

namespace brainjax {
namespace {

template <class T>
struct Held {
  int32_t* neuron;
  T* value;
  int32_t* count;
  int64_t size;

  bool has(int64_t neuron) const { return neuron >= 0 && neuron < size; }
};

template <class T>
void remember(const Held<T>& held, const T* spikes, int64_t slot) {
  int32_t* neuron = held.neuron + slot * held.size;
  T* value = held.value + slot * held.size;
  int32_t count = 0;
  for_each_event(spikes, held.size, [&](int64_t i) {
    neuron[count] = static_cast<int32_t>(i);
    value[count++] = spikes[i];
  });
  held.count[slot] = count;
}

// Where the groups of a population begin: by source, then delay, then projection.
struct Table {
  const int32_t* begin;  // null where there is none
  int64_t least_delay, span, width;

  bool reaches(int64_t delay) const {
    return delay >= least_delay && delay < least_delay + span;
  }
  const int32_t* cell(int64_t source, int64_t delay) const {
    return begin + (source * (span + 1) + delay - least_delay) * width;
  }
};

Table table(const Operand& begin, const Operand& least_delay, const Batch& batch) {
  if (batch.length(begin) == 0) return {nullptr, 0, 0, 0};
  const int64_t* dims = begin.dims + (begin.rank - 3);
  return {batch.at<int32_t>(begin), *batch.at<int32_t>(least_delay), dims[1] - 1, dims[2]};
}

// Synapses that are due: of one projection, one source and one delay.
template <class T>
struct Group {
  int64_t first, last;
  int32_t source, projection;
  T spike;
};

// A spike that is due somewhere: that of a neuron, some delay ago.
template <class T>
struct Due {
  int32_t source;
  T spike;
  const int32_t* cell;  // where its groups begin, by projection of its population; null without a table
};

// The due spikes of one population and one delay.
struct Segment {
  size_t population, first, last;
  int64_t delay;
};

// The accumulators of a port, which no other port adds to, and what is due there.
template <class T>
struct Port {
  T* sum;
  int64_t begin, size;  // the first of them, among those of the network
  std::vector<std::vector<std::pair<int, int>>> from;  // by population: (projection, which of its)
  std::vector<Group<T>> groups;  // the first `count` of these; memory that was needed once stays
  size_t count = 0;
  int64_t events = 0;

  void make_room(size_t more) {
    if (groups.size() < count + more) groups.resize(2 * (count + more));
  }
  void push(const Group<T>& group) {
    make_room(1);
    groups[count++] = group;
  }
};

constexpr int64_t kLine = 64;             // bytes of a cache line
constexpr int64_t kMostPrefetched = 1024;  // bytes of a row; the hardware sees the rest coming
constexpr size_t kGroupsAhead = 16;
constexpr size_t kCellsAhead = 12;

// Into the second-level cache, which takes more requests at a time than the first.
inline void prefetch(const void* data, int64_t bytes) {
  const char* at = static_cast<const char*>(data);
  const char* end = at + std::min(bytes, kMostPrefetched);
  for (at -= reinterpret_cast<uintptr_t>(at) % kLine; at < end; at += kLine) {
    __builtin_prefetch(at, 0, 1);
    asm volatile("");  // to GCC a function that only prefetches does nothing: it would drop the call
  }
}

// Rows lie anywhere in gigabytes: those of later groups are on their way while one is added.
template <class T>
void add_groups(T* sum, const Group<T>* groups, size_t count, const std::vector<Projection<T>>& all) {
  const auto fetch = [&](size_t k) {
    const Group<T>& g = groups[k];
    const Projection<T>& row = all[g.projection];
    const int64_t length = g.last - g.first;
    if (row.target) prefetch(row.target_at(g.first), length * row.target_bytes());
    if (row.stride && row.format != kConvolution) prefetch(row.weight + g.first, length * sizeof(T));
  };
  for (size_t k = 0; k < std::min(kGroupsAhead, count); ++k) fetch(k);
  for (size_t k = 0; k < count; ++k) {
    if (k + kGroupsAhead < count) fetch(k + kGroupsAhead);
    const Group<T>& g = groups[k];
    add_synapses(sum, all[g.projection], g.source, g.first, g.last, g.spike);
  }
}

// Brings to the cache what `find_due` reads of a slot.
template <class T>
void fetch_spikes(const Held<T>& held, int64_t slot) {
  const int64_t count = held.count[slot];
  prefetch(held.neuron + slot * held.size, count * sizeof(int32_t));
  prefetch(held.value + slot * held.size, count * sizeof(T));
}

// What is fixed of a delivery when it is compiled.
struct Fixed {
  int64_t num_slots;
  Numbers sources, formats, ports, sizes;
  int64_t parallel_from;

  size_t num_ports() const { return sizes.size(); }
};

// The delivery of one step to one example. The memory it needs serves step after step.
template <class T>
struct Delivery {
  int64_t now, num_slots;  // the slot of this step
  int64_t parallel_from;
  int64_t events = 0;  // of the step before
  const int32_t* head;
  std::vector<Projection<T>> all;
  std::vector<Held<T>> held;
  std::vector<const T*> spikes;
  std::vector<Table> tables;
  std::vector<Port<T>> ports;
  std::vector<size_t> busiest;
  std::vector<Due<T>> due;
  std::vector<Segment> segments;
  Fault fault;

  // Where everything lies for the example that `batch` is at.
  void go_to(const std::vector<Operand>& args, const std::vector<Operand>& rets, const Fixed& fixed,
             const Batch& batch) {
    const size_t n = num_populations(fixed.sources), x_at = 1 + 3 * n;
    const size_t w_at = x_at + n, tables_at = w_at + fixed.sources.size();
    num_slots = fixed.num_slots;
    parallel_from = fixed.parallel_from;
    head = batch.at<int32_t>(args[0]);
    projections(args, w_at, tables_at + 2 * n, fixed.formats, batch, all);
    held.resize(n);
    spikes.resize(n);
    tables.resize(n);
    for (size_t p = 0; p < n; ++p) {
      held[p] = {batch.at<int32_t>(rets[3 * p]), batch.at<T>(rets[3 * p + 1]),
                 batch.at<int32_t>(rets[3 * p + 2]), batch.length(args[x_at + p])};
      spikes[p] = batch.at<T>(args[x_at + p]);
      tables[p] = table(args[tables_at + 2 * p], args[tables_at + 2 * p + 1], batch);
    }
    ports.resize(fixed.num_ports());
    busiest.resize(ports.size());
    std::iota(busiest.begin(), busiest.end(), 0);
    int64_t begin = 0;
    for (size_t k = 0; k < ports.size(); begin += fixed.sizes[k++]) {
      Port<T>& port = ports[k];
      port.sum = batch.at<T>(rets[3 * n + k]);
      port.begin = begin;
      port.size = fixed.sizes[k];
      port.from.resize(n);
      for (auto& projections : port.from) projections.clear();
    }
    std::vector<int> of_population(n);
    for (size_t j = 0; j < all.size(); ++j) {
      const size_t p = fixed.sources[j];
      Port<T>& port = ports[fixed.ports[j]];
      port.from[p].emplace_back(static_cast<int>(j), of_population[p]++);
      all[j].confine(static_cast<int>(j), port.begin, port.begin + port.size, fault);
    }
  }

  ffi::Error step(ffi::ThreadPool& pool) {
    now = modulo(*head, num_slots);
    for (size_t p = 0; p < held.size(); ++p) remember<T>(held[p], spikes[p], slot_of(1));
    find_due();
    const auto work = [&](int64_t i) { add(ports[busiest[i]]); };
    const int64_t count = static_cast<int64_t>(ports.size());
    if (events < parallel_from) {
      for (int64_t i = 0; i < count; ++i) work(i);
    } else {
      share(pool, count, work);
    }
    // Which port a thread begins with changes no bit: each is added by one, in one order.
    std::sort(busiest.begin(), busiest.end(),
              [&](size_t a, size_t b) { return ports[a].events > ports[b].events; });
    events = 0;
    for (const Port<T>& port : ports) events += port.events;
    return fault.take();
  }

 private:
  // Of the step `delay` ago, from 1 to num_slots: asked for so often that a division would show.
  int64_t slot_of(int64_t delay) const {
    return now >= delay ? now - delay : now - delay + num_slots;
  }

  // The spikes that are due, those of the longest delay first, then by population.
  void find_due() {
    due.clear();
    segments.clear();
    for (int64_t delay = num_slots; delay > 0; --delay) {
      for (size_t p = 0; p < held.size(); ++p) {
        const Held<T>& h = held[p];
        const Table& cells = tables[p];
        if (delay > 2) fetch_spikes(h, slot_of(delay - 2));
        if (cells.begin && !cells.reaches(delay)) continue;
        const int64_t slot = slot_of(delay), count = h.count[slot];
        if (count == 0) continue;
        if (!ordered(0, count, h.size)) {
          fault.report("pending.counts[%zu]: got %" PRId64 " at position %" PRId64
                       ", expected at least 0 and at most %" PRId64 ".",
                       p, count, slot, h.size);
          continue;
        }
        const int32_t* neuron = h.neuron + slot * h.size;
        const T* value = h.value + slot * h.size;
        segments.push_back({p, due.size(), due.size(), delay});
        for (int64_t k = 0; k < count; ++k) {
          const int32_t source = neuron[k];
          if (!h.has(source)) {
            fault.report("pending.neuron[%zu]: got %d in slot %" PRId64
                         ", expected at least 0 and below %" PRId64 ".",
                         p, source, slot, h.size);
            continue;
          }
          due.push_back({source, value[k], cells.begin ? cells.cell(source, delay) : nullptr});
        }
        segments.back().last = due.size();
      }
    }
  }

  // Clears a port and adds what is due there.
  void add(Port<T>& port) {
    std::memset(port.sum, 0, port.size * sizeof(T));
    port.count = 0;
    for (const Segment& s : segments) {
      if (port.from[s.population].empty()) continue;
      if (tables[s.population].begin && !look_up(s, port)) return;
      if (!tables[s.population].begin) search(s, port);
    }
    port.events = 0;
    for (size_t k = 0; k < port.count; ++k) port.events += port.groups[k].last - port.groups[k].first;
    add_groups(port.sum - port.begin, port.groups.data(), port.count, all);
  }

  // The groups of a segment in the table of its population; false if it leads out. Many may be empty: no
  // branch asks.
  bool look_up(const Segment& s, Port<T>& port) {
    const auto& projections = port.from[s.population];
    const int64_t width = tables[s.population].width;
    port.make_room((s.last - s.first) * projections.size());
    size_t found = port.count;
    for (size_t k = s.first; k < s.last; ++k) {
      if (k + kCellsAhead < due.size()) {
        const int32_t* ahead = due[k + kCellsAhead].cell;
        if (ahead) prefetch(ahead, 2 * width * sizeof(int32_t));
      }
      for (const auto& [j, at] : projections) {
        const int32_t first = due[k].cell[at], last = due[k].cell[at + width];
        port.groups[found] = {first, last, due[k].source, j, due[k].spike};
        found += first != last;
      }
    }
    for (size_t k = port.count; k < found; ++k) {
      const Group<T>& g = port.groups[k];
      if (all[g.projection].holds(g.source, g.first, g.last)) continue;
      fault.report("tables[%zu].begin: got %" PRId64 " and then %" PRId64
                   " for neuron %d, expected synapses of it in rows[%d].",
                   s.population, g.first, g.last, g.source, g.projection);
      return false;
    }
    port.count = found;
    return true;
  }

  void search(const Segment& s, Port<T>& port) const {
    for (size_t k = s.first; k < s.last; ++k) {
      for (const auto& [j, at] : port.from[s.population]) {
        all[j].with_group(due[k].source, s.delay, [&](int64_t, int64_t first, int64_t last) {
          port.push({first, last, due[k].source, j, due[k].spike});
        });
      }
    }
  }
};

// The pending spikes, which are updated in place.
void carry_pending(const std::vector<Operand>& args, const std::vector<Operand>& rets,
                   const Fixed& fixed) {
  for (size_t i = 0; i + fixed.num_ports() < rets.size(); ++i) carry_over(args[1 + i], rets[i]);
}

size_t first_weight(const Fixed& fixed) { return 1 + 4 * num_populations(fixed.sources); }

ffi::Error deliver_history(ffi::ThreadPool pool, ffi::RemainingArgs remaining,
                           ffi::RemainingRets results, int64_t rank, int64_t num_slots,
                           Numbers sources, Numbers formats, Numbers ports, Numbers sizes,
                           int64_t parallel_from) {
  const Fixed fixed{num_slots, sources, formats, ports, sizes, parallel_from};
  const auto args = operands(remaining), rets = operands(results);
  const auto type = remaining.get<ffi::AnyBuffer>(first_weight(fixed))->element_type();
  return with_float(type, [&](auto* none) {
    static thread_local Delivery<std::remove_pointer_t<decltype(none)>> delivery;
    carry_pending(args, rets, fixed);
    Batch batch(rank, rets.back());
    for (int64_t e = 0; e < batch.size(); ++e) {
      batch.go_to(e);
      delivery.go_to(args, rets, fixed, batch);
      if (ffi::Error error = delivery.step(pool); error.failure()) return error;
    }
    return ffi::Error::Success();
  });
}

}  // namespace

Work prepare_history(const Frame& frame, ffi::ThreadPool& pool) {
  const Attributes& said = frame.attributes;
  const Fixed fixed{said.number("num_slots"), said.numbers("sources"), said.numbers("formats"),
                    said.numbers("ports"),    said.numbers("sizes"),   said.number("parallel_from")};
  const auto args = frame.operands(), rets = frame.results();
  Work work;
  const ffi::Error error = with_float(frame.type(first_weight(fixed)), [&](auto* none) {
    const auto delivery = std::make_shared<Delivery<std::remove_pointer_t<decltype(none)>>>();
    delivery->go_to(args, rets, fixed, Batch(0, rets[0]));
    work.begin = [delivery, args, rets, fixed, &pool] {
      carry_pending(args, rets, fixed);
      return delivery->step(pool);
    };
    return ffi::Error::Success();
  });
  if (error.failure()) work.begin = [error] { return error; };
  return work;
}

}  // namespace brainjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(DeliverHistory, brainjax::deliver_history,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("batch")
                                  .Attr<int64_t>("num_slots")
                                  .Attr<xla::ffi::Span<const int64_t>>("sources")
                                  .Attr<xla::ffi::Span<const int64_t>>("formats")
                                  .Attr<xla::ffi::Span<const int64_t>>("ports")
                                  .Attr<xla::ffi::Span<const int64_t>>("sizes")
                                  .Attr<int64_t>("parallel_from"));
