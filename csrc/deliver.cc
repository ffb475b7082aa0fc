// Delivery of spikes: the native lowerings of the ops in brainjax/ops/_deliver*.py and _log.py.
//
// The order of a sum is part of the contract (same bits for both pending forms, any layout):
// longest delay first, then source by its index in the network, then projection, then synapse.

#include <algorithm>
#include <type_traits>

#include "batch.h"
#include "events.h"

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

ffi::Error deliver_history(ffi::RemainingArgs remaining, ffi::RemainingRets results, int64_t rank,
                           int64_t num_slots, Sources sources) {
  const auto args = operands(remaining), rets = operands(results);
  const auto of_population = by_population(sources);
  const size_t n = of_population.size(), m = sources.size();
  const size_t x_at = 1 + 3 * n, w_at = x_at + n, rows_at = w_at + m;
  const Operand& due_operand = rets[3 * n];
  return with_float(remaining.get<ffi::AnyBuffer>(w_at)->element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for (size_t i = 0; i < 3 * n; ++i) carry_over(args[1 + i], rets[i]);
    Batch batch(rank, due_operand);
    for (int64_t e = 0; e < batch.size(); ++e) {
      batch.go_to(e);
      const int64_t head = *batch.at<int32_t>(args[0]);
      const auto all = projections<T>(args, w_at, rows_at, m, batch);
      std::vector<Held<T>> held(n);
      for (size_t p = 0; p < n; ++p) {
        held[p] = {batch.at<int32_t>(rets[3 * p]), batch.at<T>(rets[3 * p + 1]),
                   batch.at<int32_t>(rets[3 * p + 2]), batch.length(args[x_at + p])};
        remember<T>(held[p], batch.at<T>(args[x_at + p]), modulo(head - 1, num_slots));
      }
      T* due = batch.at<T>(due_operand);
      std::memset(due, 0, batch.length(due_operand) * sizeof(T));
      for (int64_t delay = num_slots; delay >= 1; --delay) {
        const int64_t slot = modulo(head - delay, num_slots);
        for (size_t p = 0; p < n; ++p) {
          const int32_t* neuron = held[p].neuron + slot * held[p].size;
          const T* value = held[p].value + slot * held[p].size;
          const int32_t count = held[p].count[slot];
          for (int32_t k = 0; k < count; ++k) {
            for (int j : of_population[p]) {
              const int64_t g = find_group(all[j], neuron[k], delay);
              if (g < 0) continue;
              add_synapses(due, all[j], all[j].group_ptr[g], all[j].group_ptr[g + 1], value[k]);
            }
          }
        }
      }
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
                              BRAINJAX_BIND.Attr<int64_t>("num_slots").BRAINJAX_SOURCES);
XLA_FFI_DEFINE_HANDLER_SYMBOL(LogEvents, brainjax::log_events, BRAINJAX_BIND);
XLA_FFI_DEFINE_HANDLER_SYMBOL(Fence, brainjax::fence,
                              xla::ffi::Ffi::Bind().RemainingArgs().RemainingRets());
