// Delivery from a history of spikes: brainjax/ops/_deliver_history.py.

#include "events.h"
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

// The groups that are due in one port: accumulators that no other port adds to.
template <class T>
struct Port {
  std::vector<Group<T>> groups;
  int64_t events = 0;

  void clear() {
    groups.clear();
    events = 0;
  }
  void push(int64_t first, int64_t last, int32_t source, int projection, T spike) {
    groups.push_back({first, last, source, projection, spike});
    events += last - first;
  }
};

constexpr int64_t kLine = 64;             // bytes of a cache line
constexpr int64_t kMostPrefetched = 1024;  // bytes of a row; the hardware sees the rest coming
constexpr size_t kGroupsAhead = 16;

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
void add_port(T* due, const Port<T>& port, const std::vector<Projection<T>>& all) {
  const std::vector<Group<T>>& groups = port.groups;
  const auto fetch = [&](size_t k) {
    const Group<T>& g = groups[k];
    const Projection<T>& row = all[g.projection];
    const int64_t length = g.last - g.first;
    if (row.target) prefetch(row.target + g.first, length * sizeof(int32_t));
    if (row.stride && row.format != kConvolution) prefetch(row.weight + g.first, length * sizeof(T));
  };
  for (size_t k = 0; k < std::min(kGroupsAhead, groups.size()); ++k) fetch(k);
  for (size_t k = 0; k < groups.size(); ++k) {
    if (k + kGroupsAhead < groups.size()) fetch(k + kGroupsAhead);
    const Group<T>& g = groups[k];
    add_synapses(due, all[g.projection], g.source, g.first, g.last, g.spike);
  }
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
    prefetch(table.cell(neuron[k], delay), 2 * table.width * sizeof(int32_t));
  }
}

// What is due of the spikes of one population that were `delay` steps ago, in order.
template <class T>
void collect(const Held<T>& held, int64_t slot, int64_t delay, const Table& table,
             const std::vector<int>& projections, const std::vector<Projection<T>>& all,
             Sources ports, std::vector<Port<T>>& out) {
  const int32_t* neuron = held.neuron + slot * held.size;
  const T* value = held.value + slot * held.size;
  const size_t count = held.count[slot];
  if (!table.begin) {
    for (size_t k = 0; k < count; ++k) {
      for (int j : projections) {
        all[j].with_group(neuron[k], delay, [&](int64_t first, int64_t last) {
          out[ports[j]].push(first, last, neuron[k], j, value[k]);
        });
      }
    }
    return;
  }
  if (!table.reaches(delay)) return;
  for (size_t k = 0; k < count; ++k) {
    const int32_t* first = table.cell(neuron[k], delay);
    const int32_t* last = first + table.width;  // where the next delay begins
    for (size_t i = 0; i < projections.size(); ++i) {
      if (first[i] == last[i]) continue;
      const int j = projections[i];
      out[ports[j]].push(first[i], last[i], neuron[k], j, value[k]);
    }
  }
}

// Each port is added by one thread, so neither their number nor who takes which changes a bit.
template <class T>
void add_ports(T* due, const std::vector<Port<T>>& ports, const std::vector<Projection<T>>& all,
               ffi::ThreadPool& pool, int64_t parallel_from) {
  int64_t events = 0;
  for (const Port<T>& port : ports) events += port.events;
  if (events < parallel_from) {
    for (const Port<T>& port : ports) add_port(due, port, all);
    return;
  }
  std::vector<const Port<T>*> busy;
  for (const Port<T>& port : ports) {
    if (port.events) busy.push_back(&port);
  }
  std::sort(busy.begin(), busy.end(),
            [](const Port<T>* a, const Port<T>* b) { return a->events > b->events; });
  share(pool, busy.size(), [&](int64_t i) { add_port(due, *busy[i], all); });
}

ffi::Error deliver_history(ffi::ThreadPool pool, ffi::RemainingArgs remaining,
                           ffi::RemainingRets results, int64_t rank, int64_t num_slots,
                           Sources sources, Numbers formats, Sources ports,
                           int64_t parallel_from) {
  const auto args = operands(remaining), rets = operands(results);
  const auto of_population = by_population(sources);
  const size_t n = of_population.size(), m = sources.size();
  const size_t x_at = 1 + 3 * n, w_at = x_at + n, tables_at = w_at + m, rows_at = tables_at + 2 * n;
  const Operand& due_operand = rets[3 * n];
  return with_float(remaining.get<ffi::AnyBuffer>(w_at)->element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for (size_t i = 0; i < 3 * n; ++i) carry_over(args[1 + i], rets[i]);
    Batch batch(rank, due_operand);
    static thread_local std::vector<Port<T>> collected;  // its memory serves step after step
    if (static_cast<int64_t>(collected.size()) < num_populations(ports)) {
      collected.resize(num_populations(ports));
    }
    for (int64_t e = 0; e < batch.size(); ++e) {
      batch.go_to(e);
      const int64_t head = *batch.at<int32_t>(args[0]);
      const auto all = projections<T>(args, w_at, rows_at, formats, batch);
      std::vector<Held<T>> held(n);
      std::vector<Table> tables(n);
      for (size_t p = 0; p < n; ++p) {
        held[p] = {batch.at<int32_t>(rets[3 * p]), batch.at<T>(rets[3 * p + 1]),
                   batch.at<int32_t>(rets[3 * p + 2]), batch.length(args[x_at + p])};
        remember<T>(held[p], batch.at<T>(args[x_at + p]), modulo(head - 1, num_slots));
        tables[p] = table(args[tables_at + 2 * p], args[tables_at + 2 * p + 1], batch);
      }
      T* due = batch.at<T>(due_operand);
      std::memset(due, 0, batch.length(due_operand) * sizeof(T));
      for (Port<T>& port : collected) port.clear();
      const auto slot_of = [&](int64_t delay) { return modulo(head - delay, num_slots); };
      for (size_t p = 0; p < n; ++p) fetch_cells(held[p], slot_of(num_slots), num_slots, tables[p]);
      for (int64_t delay = num_slots; delay >= 1; --delay) {
        for (size_t p = 0; p < n; ++p) {
          if (delay > 2) fetch_spikes(held[p], slot_of(delay - 2));
          if (delay > 1) fetch_cells(held[p], slot_of(delay - 1), delay - 1, tables[p]);
        }
        const int64_t slot = slot_of(delay);
        for (size_t p = 0; p < n; ++p) {
          collect(held[p], slot, delay, tables[p], of_population[p], all, ports, collected);
        }
      }
      add_ports(due, collected, all, pool, parallel_from);
    }
    return ffi::Error::Success();
  });
}

}  // namespace
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
                                  .Attr<int64_t>("parallel_from"));
