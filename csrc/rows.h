// The synapses of projections, as the delivery handlers read them.
//
// The order of a sum is part of the contract (same bits for both pending forms, any layout):
// longest delay first, then source by its index in the network, then projection, then synapse.

#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "batch.h"

namespace brainjax {

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

inline int64_t num_populations(Sources sources) {
  int64_t n = 0;
  for (int64_t s : sources) n = std::max(n, s + 1);
  return n;
}

inline std::vector<std::vector<int>> by_population(Sources sources) {
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

}  // namespace brainjax
