// Delivery from a history of spikes: brainjax/ops/_deliver_history.py.

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

// The groups of a port, in order: the first `count` of them. Memory that was needed once stays.
template <class T>
struct Found {
  std::vector<Group<T>> groups;
  size_t count = 0, most = 0;
  int64_t events = 0;
};

// What is due over a range of delays, by port. Threads fill some side by side: none shares a line of
// memory with another.
template <class T>
struct alignas(64) Collected {
  std::vector<Found<T>> of_port;

  void clear(size_t ports) {
    if (of_port.size() < ports) of_port.resize(ports);
    for (Found<T>& found : of_port) found.count = found.most = found.events = 0;
  }
  void make_room() {
    for (Found<T>& found : of_port) {
      // One more than there can be: what is empty is written too, and then written over.
      if (found.groups.size() <= found.most) found.groups.resize(found.most + 1);
    }
  }
  void push(int64_t port, const Group<T>& group) {
    Found<T>& found = of_port[port];
    found.groups[found.count] = group;
    found.count += group.first != group.last;
    found.events += group.last - group.first;
  }
};

// The accumulators of a port, which no other port adds to.
template <class T>
struct Port {
  T* sum;
  int64_t begin, size;  // the first of them, among those of the network
  bool ascends;         // whether the targets of each group do

  // Where part k of `parts` begins: on a line of the cache of its own.
  int64_t part_begin(int64_t k, int64_t parts) const {
    if (k == parts) return size;
    return size * k / parts / kPerLine<T> * kPerLine<T>;
  }
};

// What one thread adds: part `part` of the accumulators of a port.
struct Task {
  size_t port;
  int64_t part, parts, events;
};

constexpr int64_t kMostPrefetched = 1024;  // bytes of a row; the hardware sees the rest coming
constexpr size_t kGroupsAhead = 16;
constexpr int64_t kSpikeCost = 64;  // synapses that take as long as to look up what a spike is due
constexpr int64_t kParts = 16;      // of the delays, when threads share them
constexpr int64_t kLeastPart = 64;  // synapses of a group, on average, that are worth looking for

// Into the second-level cache, which takes more requests at a time than the first.
inline void prefetch(const void* data, int64_t bytes) {
  const char* at = static_cast<const char*>(data);
  const char* end = at + std::min(bytes, kMostPrefetched);
  for (at -= reinterpret_cast<uintptr_t>(at) % kLine; at < end; at += kLine) {
    __builtin_prefetch(at, 0, 1);
    asm volatile("");  // to GCC a function that only prefetches does nothing: it would drop the call
  }
}

// Rows lie anywhere in gigabytes: those of later groups are on their way while one is added. Returns how
// many were: all, unless one is none of its row.
template <bool kWhole, class T>
size_t add_groups(const Port<T>& to, const Task& task, const Group<T>* groups, size_t count,
                  const std::vector<Projection<T>>& all) {
  T* const sum = to.sum - to.begin;
  const int64_t begin = to.begin + to.part_begin(task.part, task.parts),
                end = to.begin + to.part_begin(task.part + 1, task.parts);
  // Where a part of a group should begin: targets are spread evenly, more or less.
  const auto guess = [&](const Group<T>& g, int64_t part) {
    return g.first + (g.last - g.first) * part / task.parts;
  };
  const auto fetch = [&](size_t k) {
    const Group<T>& g = groups[k];
    const Projection<T>& row = all[g.projection];
    const int64_t first = kWhole ? g.first : guess(g, task.part),
                  length = (kWhole ? g.last : guess(g, task.part + 1)) - first;
    if (row.target) prefetch(row.target_at(first), length * row.target_bytes());
    if (row.stride && row.format != kConvolution) prefetch(row.weight + first, length * sizeof(T));
  };
  for (size_t k = 0; k < std::min(kGroupsAhead, count); ++k) fetch(k);
  for (size_t k = 0; k < count; ++k) {
    if (k + kGroupsAhead < count) fetch(k + kGroupsAhead);
    const Group<T>& g = groups[k];
    const Projection<T>& row = all[g.projection];
    if (!row.holds(g.source, g.first, g.last)) return k;
    if (kWhole) {
      add_synapses(sum, row, g.source, g.first, g.last, g.spike);
      continue;
    }
    // The first part takes what is before the port as well, and the last what is behind it: there they
    // are found to be wrong.
    const auto part_of = [&](int64_t part, int64_t bound) {
      return row.first_behind(g.source, g.first, g.last, guess(g, part), bound);
    };
    const int64_t first = task.part ? part_of(task.part, begin) : g.first,
                  last = task.part + 1 < task.parts ? part_of(task.part + 1, end) : g.last;
    if (first < last) add_synapses(sum, row, g.source, first, last, g.spike);
  }
  return count;
}

// Brings to the cache what `collect` reads of a slot: first the spikes, then their cells.
template <class T>
void fetch_spikes(const Held<T>& held, int64_t slot) {
  const int64_t count = held.count[slot];
  prefetch(held.neuron + slot * held.size, count * sizeof(int32_t));
  prefetch(held.value + slot * held.size, count * sizeof(T));
}

template <class T>
void fetch_cells(const Held<T>& held, int64_t slot, int64_t delay, const Table& table) {
  if (!table.reaches(delay)) return;
  const int32_t* neuron = held.neuron + slot * held.size;
  for (int64_t k = 0; k < held.count[slot]; ++k) {
    if (!held.has(neuron[k])) return;  // `collect` says so
    prefetch(table.cell(neuron[k], delay), 2 * table.width * sizeof(int32_t));
  }
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
  const int32_t* head;
  Numbers of_projection;  // the port of each
  std::vector<std::vector<int>> of_population;
  std::vector<Projection<T>> all;
  std::vector<Held<T>> held;
  std::vector<const T*> spikes;
  std::vector<Table> tables;
  std::vector<Port<T>> ports;
  std::vector<Collected<T>> parts;
  std::vector<Task> tasks;
  Fault fault;

  // Where everything lies for the example that `batch` is at.
  void go_to(const std::vector<Operand>& args, const std::vector<Operand>& rets, const Fixed& fixed,
             const Batch& batch) {
    const size_t n = num_populations(fixed.sources), x_at = 1 + 3 * n;
    const size_t w_at = x_at + n, tables_at = w_at + fixed.sources.size();
    num_slots = fixed.num_slots;
    parallel_from = fixed.parallel_from;
    of_projection = fixed.ports;
    by_population(fixed.sources, of_population);
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
    ports.clear();
    int64_t begin = 0;
    for (size_t k = 0; k < fixed.sizes.size(); begin += fixed.sizes[k++]) {
      ports.push_back({batch.at<T>(rets[3 * n + k]), begin, fixed.sizes[k], true});
    }
    for (size_t j = 0; j < all.size(); ++j) {
      Port<T>& port = ports[of_projection[j]];
      port.ascends &= all[j].ascends();
      all[j].confine(static_cast<int>(j), port.begin, port.begin + port.size, fault);
    }
  }

  ffi::Error step(ffi::ThreadPool& pool) {
    now = modulo(*head, num_slots);
    for (size_t p = 0; p < held.size(); ++p) remember<T>(held[p], spikes[p], slot_of(1));
    collect_all(pool);
    add_all(pool);
    return fault.take();
  }

 private:
  // Of the step `delay` ago, from 1 to num_slots: asked for so often that a division would show.
  int64_t slot_of(int64_t delay) const {
    return now >= delay ? now - delay : now - delay + num_slots;
  }

  // Collects what is due of the spikes of a population that were `delay` steps ago, in order. Of the
  // groups of a cell many may be empty, in no order: no branch asks.
  void collect(size_t population, int64_t delay, Collected<T>& out) {
    const Table& table = tables[population];
    if (table.begin && !table.reaches(delay)) return;
    const Held<T>& h = held[population];
    const std::vector<int>& projections = of_population[population];
    const int64_t slot = slot_of(delay), count = h.count[slot];
    const int32_t* neuron = h.neuron + slot * h.size;
    const T* value = h.value + slot * h.size;
    for (int64_t k = 0; k < count; ++k) {
      const int32_t source = neuron[k];
      if (!h.has(source)) {
        return fault.report("pending.neuron[%zu]: got %d in slot %" PRId64
                            ", expected at least 0 and below %" PRId64 ".",
                            population, source, slot, h.size);
      }
      const auto push = [&](int j, int64_t first, int64_t last) {
        out.push(of_projection[j], {first, last, source, j, value[k]});
      };
      if (!table.begin) {
        for (int j : projections) {
          all[j].with_group(source, delay,
                            [&](int64_t, int64_t first, int64_t last) { push(j, first, last); });
        }
        continue;
      }
      const int32_t* first = table.cell(source, delay);
      const int32_t* last = first + table.width;  // where the next delay begins
      for (size_t i = 0; i < projections.size(); ++i) push(projections[i], first[i], last[i]);
    }
  }

  // Collects what is due after `from` to `to` steps, the longest first.
  void collect_delays(int64_t from, int64_t to, Collected<T>& out) {
    for (size_t p = 0; p < held.size(); ++p) {
      size_t spikes = 0;
      for (int64_t delay = from; delay >= to; --delay) spikes += held[p].count[slot_of(delay)];
      for (int j : of_population[p]) out.of_port[of_projection[j]].most += spikes;
    }
    out.make_room();
    for (size_t p = 0; p < held.size(); ++p) fetch_cells(held[p], slot_of(from), from, tables[p]);
    for (int64_t delay = from; delay >= to; --delay) {
      for (size_t p = 0; p < held.size(); ++p) {
        if (delay > to + 1) fetch_spikes(held[p], slot_of(delay - 2));
        if (delay > to) fetch_cells(held[p], slot_of(delay - 1), delay - 1, tables[p]);
      }
      for (size_t p = 0; p < held.size(); ++p) collect(p, delay, out);
    }
  }

  // Spikes under way; -1 where they are counted wrongly.
  int64_t count_spikes() {
    int64_t spikes = 0;
    for (size_t p = 0; p < held.size(); ++p) {
      for (int64_t slot = 0; slot < num_slots; ++slot) {
        const int64_t count = held[p].count[slot];
        if (!ordered(0, count, held[p].size)) {
          fault.report("pending.counts[%zu]: got %" PRId64 " at position %" PRId64
                       ", expected at least 0 and at most %" PRId64 ".",
                       p, count, slot, held[p].size);
          return -1;
        }
        spikes += count;
      }
    }
    return spikes;
  }

  // Threads share the delays. What they find is put together in order, whoever found it.
  void collect_all(ffi::ThreadPool& pool) {
    const int64_t spikes = count_spikes();
    const int64_t number = spikes * kSpikeCost < parallel_from ? 1 : std::min(num_slots, kParts);
    parts.resize(std::max<size_t>(parts.size(), number));
    for (Collected<T>& part : parts) part.clear(ports.size());
    if (spikes < 0) return;
    const auto work = [&](int64_t i) {
      const int64_t from = num_slots - i * num_slots / number;
      collect_delays(from, num_slots - (i + 1) * num_slots / number + 1, parts[i]);
    };
    if (number == 1) work(0);
    else share(pool, number, work);
  }

  void report(const Group<T>& g) {
    size_t population = 0;
    while (!std::count(of_population[population].begin(), of_population[population].end(), g.projection)) {
      ++population;
    }
    fault.report("tables[%zu].begin: got %" PRId64 " and then %" PRId64
                 " for neuron %d, expected synapses of it in rows[%d].",
                 population, g.first, g.last, g.source, g.projection);
  }

  // A thread adds a port, or, where its groups are long, those of its accumulators that are its part. An
  // accumulator gets its terms in one order, so neither the number of threads nor who takes which changes
  // a bit.
  void add_all(ffi::ThreadPool& pool) {
    const auto add = [&](const Task& task) {
      const Port<T>& to = ports[task.port];
      const int64_t begin = to.part_begin(task.part, task.parts),
                    end = to.part_begin(task.part + 1, task.parts);
      std::memset(to.sum + begin, 0, (end - begin) * sizeof(T));
      for (const Collected<T>& part : parts) {
        const Found<T>& found = part.of_port[task.port];
        const auto add_those = task.parts == 1 ? add_groups<true, T> : add_groups<false, T>;
        const size_t added = add_those(to, task, found.groups.data(), found.count, all);
        if (added < found.count) return report(found.groups[added]);
      }
    };
    int64_t all_events = 0;
    tasks.clear();
    for (size_t port = 0; port < ports.size(); ++port) {
      int64_t events = 0, groups = 0;
      for (const Collected<T>& part : parts) {
        events += part.of_port[port].events;
        groups += static_cast<int64_t>(part.of_port[port].count);
      }
      int64_t number = 1;
      if (groups && events >= parallel_from && ports[port].ascends) {
        const int64_t most = std::min<int64_t>(events / groups / kLeastPart, pool.num_threads());
        number = std::max<int64_t>(most, 1);
      }
      for (int64_t k = 0; k < number; ++k) tasks.push_back({port, k, number, events / number});
      all_events += events;
    }
    if (all_events < parallel_from) {
      for (const Task& task : tasks) add(task);
      return;
    }
    std::sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) { return a.events > b.events; });
    share(pool, static_cast<int64_t>(tasks.size()), [&](int64_t i) { add(tasks[i]); });
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
