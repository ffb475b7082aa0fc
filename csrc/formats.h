// What is fixed of a network when it is compiled: which format a projection has, and where it begins.

#pragma once

#include <algorithm>
#include <vector>

#include "frame.h"
#include "procedural.h"

namespace brainjax {

// As `format` of the formats in Python says; the first number of a format's attributes.
enum Format : int64_t { kRows, kRegular, kFixedFanOut, kConvolution, kProcedural };

// Whether groups are listed, so that synapses may have delays of their own; of a format and what is
// fixed of it. The last number of a procedural one says so.
inline bool has_groups(const int64_t* format) {
  return format[0] == kRows || (format[0] == kProcedural && format[2 + Procedural::kNumbers]);
}

using Sources = Numbers;

inline int64_t num_populations(Sources sources) {
  int64_t n = 0;
  for (int64_t s : sources) n = std::max(n, s + 1);
  return n;
}

// The projections of each population. What `out` holds of memory is used again.
inline void by_population(Sources sources, std::vector<std::vector<int>>& out) {
  out.resize(num_populations(sources));
  for (auto& projections : out) projections.clear();
  for (size_t j = 0; j < sources.size(); ++j) out[sources[j]].push_back(static_cast<int>(j));
}

inline std::vector<std::vector<int>> by_population(Sources sources) {
  std::vector<std::vector<int>> out;
  by_population(sources, out);
  return out;
}

}  // namespace brainjax
