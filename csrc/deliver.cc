// Delivery of spikes: the native lowerings of the ops in brainjax/ops/_deliver*.py and _log.py.
//
// The order of a sum is part of the contract (same bits for both pending forms, any layout):
// longest delay first, then source by its index in the network, then projection, then synapse.

#include <algorithm>
#include <type_traits>

#include "batch.h"
#include "events.h"
#include "share.h"

namespace brainjax {
namespace {

// One projection's synapses, by source and, within a source, by delay (ascending).
template <class T>
struct Projection {
  const int32_t *source_ptr, *group_delay, *group_ptr, *target;
  const T* weight;
  const T* weight_dot = nullptr;
  T* weight_bar = nullptr;
  int64_t stride;  // 0 where one weight serves all synapses
};

using Sources = ffi::Span<const int64_t>;

int64_t num_populations(Sources sources) {
  int64_t n = 0;
  for (int64_t s : sources) n = std::max(n, s + 1);
  return n;
}

std::vector<std::vector<int>> by_population(Sources sources) {
  std::vector<std::vector<int>> out(num_populations(sources));
  for (size_t j = 0; j < sources.size(); ++j) out[sources[j]].push_back(static_cast<int>(j));
  return out;
}

// The operands of projections: `weights` at `w`, four structure arrays each at `rows`.
template <class T>
std::vector<Projection<T>> projections(const std::vector<Operand>& args, size_t w, size_t rows,
                                       size_t count, const Batch& batch) {
  std::vector<Projection<T>> out(count);
  for (size_t j = 0; j < count; ++j) {
    const Operand* row = &args[rows + 4 * j];
    out[j].source_ptr = batch.at<int32_t>(row[0]);
    out[j].group_delay = batch.at<int32_t>(row[1]);
    out[j].group_ptr = batch.at<int32_t>(row[2]);
    out[j].target = batch.at<int32_t>(row[3]);
    out[j].weight = batch.at<T>(args[w + j]);
    out[j].stride = batch.is_scalar(args[w + j]) ? 0 : 1;
  }
  return out;
}

template <class T>
inline void add_synapses(T* __restrict sum, const Projection<T>& p, int64_t first, int64_t last,
                         T spike) {
  const int32_t* __restrict target = p.target;
  if (p.stride == 0) {
    const T amount = p.weight[0] * spike;
    for (int64_t s = first; s < last; ++s) sum[target[s]] += amount;
  } else {
    const T* __restrict weight = p.weight;
    for (int64_t s = first; s < last; ++s) sum[target[s]] += weight[s] * spike;
  }
}

// ---- ring -----------------------------------------------------------------------------------------

template <class T>
void push_example(T* ring, int64_t num_slots, int64_t num_targets, int64_t head, T* due,
                  const std::vector<const T*>& x_dot, const std::vector<const T*>& x,
                  const std::vector<int64_t>& sizes, const std::vector<Projection<T>>& all,
                  const std::vector<std::vector<int>>& of_population) {
  for (size_t p = 0; p < x_dot.size(); ++p) {
    const auto push_source = [&](int64_t i) {
      for (int j : of_population[p]) {
        const Projection<T>& row = all[j];
        for (int64_t g = row.source_ptr[i]; g < row.source_ptr[i + 1]; ++g) {
          T* sum = ring + modulo(head - 1 + row.group_delay[g], num_slots) * num_targets;
          const int64_t first = row.group_ptr[g], last = row.group_ptr[g + 1];
          if (!row.weight_dot) {
            add_synapses(sum, row, first, last, x_dot[p][i]);
            continue;
          }
          const T a = x_dot[p][i], b = x[p][i];
          for (int64_t s = first; s < last; ++s) {
            const int64_t k = s * row.stride;
            sum[row.target[s]] += row.weight[k] * a + row.weight_dot[k] * b;
          }
        }
      }
    };
    if (x.empty()) for_each_event(x_dot[p], sizes[p], push_source);
    else for_each_event(x_dot[p], x[p], sizes[p], push_source);
  }
  T* slot = ring + modulo(head, num_slots) * num_targets;
  std::memcpy(due, slot, num_targets * sizeof(T));
  std::memset(slot, 0, num_targets * sizeof(T));
}

ffi::Error push_ring(ffi::RemainingArgs remaining, ffi::RemainingRets results, int64_t rank,
                     int64_t with_weights, Sources sources) {
  const auto args = operands(remaining), rets = operands(results);
  const auto of_population = by_population(sources);
  const size_t n = of_population.size(), m = sources.size();
  const size_t x_dot_at = 2, x_at = 2 + n, w_dot_at = x_at + n * with_weights,
               w_at = w_dot_at + m * with_weights, rows_at = w_at + m;
  return with_float(remaining.get<ffi::AnyBuffer>(0)->element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    carry_over(args[0], rets[0]);
    for (size_t j = 0; j < m * with_weights; ++j) carry_over(args[w_dot_at + j], rets[2 + j]);
    Batch batch(rank, rets[0]);
    const int64_t num_slots = args[0].dims[rank], num_targets = args[0].dims[rank + 1];
    for (int64_t e = 0; e < batch.size(); ++e) {
      batch.go_to(e);
      auto all = projections<T>(args, w_at, rows_at, m, batch);
      std::vector<const T*> x_dot(n), x;
      std::vector<int64_t> sizes(n);
      for (size_t p = 0; p < n; ++p) {
        x_dot[p] = batch.at<T>(args[x_dot_at + p]);
        sizes[p] = batch.length(args[x_dot_at + p]);
        if (with_weights) x.push_back(batch.at<T>(args[x_at + p]));
      }
      for (size_t j = 0; j < m * with_weights; ++j) all[j].weight_dot = batch.at<T>(rets[2 + j]);
      push_example<T>(batch.at<T>(rets[0]), num_slots, num_targets, *batch.at<int32_t>(args[1]),
                      batch.at<T>(rets[1]), x_dot, x, sizes, all, of_population);
    }
    return ffi::Error::Success();
  });
}

ffi::Error pull_ring(ffi::RemainingArgs remaining, ffi::RemainingRets results, int64_t rank,
                     int64_t with_weights, Sources sources) {
  const auto args = operands(remaining), rets = operands(results);
  const auto of_population = by_population(sources);
  const size_t n = of_population.size(), m = sources.size();
  const size_t w_bar_at = 3, x_at = w_bar_at + m * with_weights, w_at = x_at + n * with_weights,
               rows_at = w_at + m;
  return with_float(remaining.get<ffi::AnyBuffer>(0)->element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    carry_over(args[0], rets[0]);
    for (size_t j = 0; j < m * with_weights; ++j) carry_over(args[w_bar_at + j], rets[1 + n + j]);
    Batch batch(rank, rets[0]);
    const int64_t num_slots = args[0].dims[rank], num_targets = args[0].dims[rank + 1];
    for (int64_t e = 0; e < batch.size(); ++e) {
      batch.go_to(e);
      auto all = projections<T>(args, w_at, rows_at, m, batch);
      T* ring = batch.at<T>(rets[0]);
      const int64_t head = *batch.at<int32_t>(args[2]);
      std::memcpy(ring + modulo(head, num_slots) * num_targets, batch.at<T>(args[1]),
                  num_targets * sizeof(T));
      for (size_t j = 0; j < m * with_weights; ++j) all[j].weight_bar = batch.at<T>(rets[1 + n + j]);
      for (size_t p = 0; p < n; ++p) {
        T* x_bar = batch.at<T>(rets[1 + p]);
        const T* x = with_weights ? batch.at<T>(args[x_at + p]) : nullptr;
        const int64_t size = batch.length(rets[1 + p]);
        for (int64_t i = 0; i < size; ++i) {
          T total = 0;
          for (int j : of_population[p]) {
            const Projection<T>& row = all[j];
            for (int64_t g = row.source_ptr[i]; g < row.source_ptr[i + 1]; ++g) {
              const T* bar = ring + modulo(head - 1 + row.group_delay[g], num_slots) * num_targets;
              const int64_t first = row.group_ptr[g], last = row.group_ptr[g + 1];
              for (int64_t s = first; s < last; ++s) {
                total += row.weight[s * row.stride] * bar[row.target[s]];
              }
              if (x && x[i] != 0) {
                for (int64_t s = first; s < last; ++s) {
                  row.weight_bar[s * row.stride] += x[i] * bar[row.target[s]];
                }
              }
            }
          }
          x_bar[i] = total;
        }
      }
    }
    return ffi::Error::Success();
  });
}

// ---- history --------------------------------------------------------------------------------------

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

// The group of `source` with this delay, or -1. Groups of a source are few and sorted.
template <class T>
inline int64_t find_group(const Projection<T>& row, int32_t source, int64_t delay) {
  int64_t low = row.source_ptr[source], high = row.source_ptr[source + 1];
  const int64_t last = high;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (row.group_delay[middle] < delay) low = middle + 1;
    else high = middle;
  }
  return low < last && row.group_delay[low] == delay ? low : -1;
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
  int32_t first, last, projection;
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
  void push(int32_t first, int32_t last, int projection, T spike) {
    groups.push_back({first, last, projection, spike});
    events += last - first;
  }
};

constexpr int64_t kLine = 64;             // bytes of a cache line
constexpr int64_t kMostPrefetched = 1024;  // bytes of a row; the hardware sees the rest coming
constexpr size_t kGroupsAhead = 8;

inline void prefetch(const void* data, int64_t bytes) {
  const char* at = static_cast<const char*>(data);
  const char* end = at + std::min(bytes, kMostPrefetched);
  for (at -= reinterpret_cast<uintptr_t>(at) % kLine; at < end; at += kLine) {
    __builtin_prefetch(at);
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
    prefetch(row.target + g.first, length * sizeof(int32_t));
    if (row.stride) prefetch(row.weight + g.first, length * sizeof(T));
  };
  for (size_t k = 0; k < std::min(kGroupsAhead, groups.size()); ++k) fetch(k);
  for (size_t k = 0; k < groups.size(); ++k) {
    if (k + kGroupsAhead < groups.size()) fetch(k + kGroupsAhead);
    const Group<T>& g = groups[k];
    add_synapses(due, all[g.projection], g.first, g.last, g.spike);
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
        const int64_t g = find_group(all[j], neuron[k], delay);
        if (g < 0) continue;
        out[ports[j]].push(all[j].group_ptr[g], all[j].group_ptr[g + 1], j, value[k]);
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
      out[ports[projections[i]]].push(first[i], last[i], projections[i], value[k]);
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
                           Sources sources, Sources ports, int64_t parallel_from) {
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
      const auto all = projections<T>(args, w_at, rows_at, m, batch);
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
      for (int64_t delay = num_slots; delay >= 1; --delay) {
        const auto slot_of = [&](int64_t delay) { return modulo(head - delay, num_slots); };
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

// ---- log ------------------------------------------------------------------------------------------

ffi::Error log_events(ffi::RemainingArgs remaining, ffi::RemainingRets results, int64_t rank) {
  const auto args = operands(remaining), rets = operands(results);
  return with_float(remaining.get<ffi::AnyBuffer>(2)->element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    carry_over(args[0], rets[0]);
    carry_over(args[1], rets[1]);
    Batch batch(rank, rets[1]);
    for (int64_t e = 0; e < batch.size(); ++e) {
      batch.go_to(e);
      int32_t* log = batch.at<int32_t>(rets[0]);
      int32_t* length = batch.at<int32_t>(rets[1]);
      const int64_t capacity = batch.length(rets[0]);
      for_each_event(batch.at<T>(args[2]), batch.length(args[2]), [&](int64_t i) {
        if (*length < capacity) log[*length] = static_cast<int32_t>(i);
        ++*length;
      });
    }
    return ffi::Error::Success();
  });
}

// ---- fence ----------------------------------------------------------------------------------------

ffi::Error fence(ffi::RemainingArgs remaining, ffi::RemainingRets results) {
  const auto args = operands(remaining), rets = operands(results);
  for (size_t i = 0; i < args.size(); ++i) carry_over(args[i], rets[i]);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace brainjax

#define BRAINJAX_BIND xla::ffi::Ffi::Bind().RemainingArgs().RemainingRets().Attr<int64_t>("batch")
#define BRAINJAX_SOURCES Attr<xla::ffi::Span<const int64_t>>("sources")

XLA_FFI_DEFINE_HANDLER_SYMBOL(PushRing, brainjax::push_ring,
                              BRAINJAX_BIND.Attr<int64_t>("with_weights").BRAINJAX_SOURCES);
XLA_FFI_DEFINE_HANDLER_SYMBOL(PullRing, brainjax::pull_ring,
                              BRAINJAX_BIND.Attr<int64_t>("with_weights").BRAINJAX_SOURCES);
XLA_FFI_DEFINE_HANDLER_SYMBOL(DeliverHistory, brainjax::deliver_history,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("batch")
                                  .Attr<int64_t>("num_slots")
                                  .BRAINJAX_SOURCES
                                  .Attr<xla::ffi::Span<const int64_t>>("ports")
                                  .Attr<int64_t>("parallel_from"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(LogEvents, brainjax::log_events, BRAINJAX_BIND);
XLA_FFI_DEFINE_HANDLER_SYMBOL(Fence, brainjax::fence,
                              xla::ffi::Ffi::Bind().RemainingArgs().RemainingRets());
