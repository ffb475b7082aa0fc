// The synapses of projections, as the delivery handlers read them: brainjax/ops/_connections.py.
//
// A row is the synapses of one source. How it is found depends on the format of the projection: it is
// stored, counted, or computed. All formats hand it over in pieces whose weights are side by side.
//
// The order of a sum is part of the contract (same bits for both pending forms, any layout):
// longest delay first, then source by its index in the network, then projection, then synapse.

#pragma once

#include <algorithm>
#include <optional>
#include <type_traits>
#include <vector>

#include "batch.h"
#include "frame.h"
#include "procedural.h"

namespace brainjax {

// As `format` of the formats in Python says; the first number of a format's attributes.
enum Format : int64_t { kRows, kRegular, kFixedFanOut, kConvolution, kProcedural };


// Synapse s of a piece ends in `targets[s]`.
template <class Index>
struct Listed {
  const Index* __restrict target;
  int64_t origin;
  int64_t operator[](int64_t s) const { return origin + target[s]; }
};
struct Counted {
  int64_t first;
  int64_t operator[](int64_t s) const { return first + s; }
};

template <class T>
struct Projection {
  Format format;
  const int64_t* shape;  // what is fixed when compiled
  // Rows: by source and, within a source, by delay (ascending).
  const int32_t *source_ptr = nullptr, *group_delay = nullptr, *group_ptr = nullptr;
  bool wide = false;  // group_ptr holds 64-bit numbers
  // Rows and fixed fan-out: numbers of 16 or 32 bits, counted from the origin.
  const void* target = nullptr;
  bool narrow = false;
  int64_t delay = 0;   // all but rows: the one there is
  int64_t origin = 0;  // the accumulator that targets are counted from
  // Procedural: of the targets only those from here on, fan_out() many.
  int64_t held_from = 0;
  std::optional<Procedural> made;
  const T* weight;
  const T* weight_dot = nullptr;
  T* weight_bar = nullptr;
  int64_t stride;  // 0 where one weight serves all synapses

  int64_t group_begin(int64_t g) const {
    return wide ? reinterpret_cast<const int64_t*>(group_ptr)[g] : group_ptr[g];
  }
  // How many synapses a source has, where all have as many.
  int64_t fan_out() const { return shape[0]; }
  // Where the synapses of a source begin, where there is one delay.
  int64_t row_begin(int64_t source) const {
    if (format != kProcedural) return source * fan_out();
    return made->kind == Procedural::kDistance ? source * shape[1]
                                               : static_cast<const int64_t*>(made->where)[source];
  }

  // The same on average, of `size` sources.
  double mean_fan_out(int64_t size) const {
    return format == kRows ? double(group_begin(source_ptr[size])) / size
                           : double(row_begin(size) - row_begin(0)) / size;
  }

  // Calls f(delay, first, last) for each group of a source, by delay.
  template <class F>
  void for_each_group(int64_t source, F f) const {
    if (format != kRows) return f(delay, row_begin(source), row_begin(source + 1));
    for (int64_t g = source_ptr[source]; g < source_ptr[source + 1]; ++g) {
      f(group_delay[g], group_begin(g), group_begin(g + 1));
    }
  }

  // Calls f(first, last) if the source has synapses of this delay.
  template <class F>
  void with_group(int64_t source, int64_t due, F f) const {
    if (format != kRows) {
      if (due == delay) f(row_begin(source), row_begin(source + 1));
      return;
    }
    // Groups of a source are few and sorted.
    int64_t low = source_ptr[source], high = source_ptr[source + 1];
    const int64_t last = high;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (group_delay[middle] < due) low = middle + 1;
      else high = middle;
    }
    if (low < last && group_delay[low] == due) f(group_begin(low), group_begin(low + 1));
  }

  // Calls f(count, targets, k, factor) for pieces of the synapses `first:last` of a source: the weight
  // of synapse s of a piece is number k + s, times factor[s] unless that is null.
  template <class F>
  inline __attribute__((always_inline)) void for_each_piece(int64_t source, int64_t first,
                                                            int64_t last, F f) const {
    switch (format) {
      case kRows:
      case kFixedFanOut:
        if (narrow) return f(last - first, listed<uint16_t>(first), first, kNone);
        return f(last - first, listed<int32_t>(first), first, kNone);
      case kRegular: {
        const int64_t in_row = first - source * fan_out();
        return f(last - first, Counted{origin + source * shape[1] + in_row}, first, kNone);
      }
      case kConvolution: return convolved(source, f);
      case kProcedural: return generated(source, first, last, f);
    }
  }

  // How many bytes a target takes.
  int64_t target_bytes() const { return narrow ? sizeof(uint16_t) : sizeof(int32_t); }
  const void* target_at(int64_t s) const {
    return static_cast<const char*>(target) + s * target_bytes();
  }

 private:
  static constexpr const T* kNone = nullptr;

  template <class Index>
  Listed<Index> listed(int64_t first) const {
    return {static_cast<const Index*>(target) + first, origin};
  }

  // A piece for each block of places of the row.
  template <class F>
  void generated(int64_t source, int64_t first, int64_t last, F f) const {
    int32_t to[kRowBlock];
    T factor[kRowBlock];
    const int64_t begin = row_begin(source);
    for (int64_t k = first; k < last; k += kRowBlock) {
      const int64_t room = std::min(kRowBlock, last - k);
      const int64_t count = procedural_row(*made, source, k - begin, room, to, factor);
      int64_t held = 0;
      for (int64_t s = 0; s < count; ++s) {
        const int64_t here = to[s] - held_from;
        to[held] = static_cast<int32_t>(origin + here);
        if (made->table) factor[held] = factor[s];
        held += here >= 0 && here < fan_out();
      }
      f(held, Listed<int32_t>{to, 0}, int64_t{0}, made->table ? factor : kNone);
    }
  }

  // The whole row of a source: a piece for each place of the kernel that reaches an output.
  template <class F>
  void convolved(int64_t source, F f) const {
    enum { kFanOut, kWidth, kIn, kKernelHeight, kKernelWidth, kOut, kOutHeight, kOutWidth,
           kStrideY, kStrideX, kPadY, kPadX };
    const int64_t* n = shape;
    const int64_t channel = source % n[kIn], x = source / n[kIn] % n[kWidth],
                  y = source / n[kIn] / n[kWidth];
    for (int64_t dy = 0; dy < n[kKernelHeight]; ++dy) {
      const int64_t above = y + n[kPadY] - dy, out_y = above / n[kStrideY];
      if (above < 0 || above % n[kStrideY] || out_y >= n[kOutHeight]) continue;
      for (int64_t dx = 0; dx < n[kKernelWidth]; ++dx) {
        const int64_t left = x + n[kPadX] - dx, out_x = left / n[kStrideX];
        if (left < 0 || left % n[kStrideX] || out_x >= n[kOutWidth]) continue;
        const int64_t to = origin + (out_y * n[kOutWidth] + out_x) * n[kOut];
        f(n[kOut], Counted{to}, ((dy * n[kKernelWidth] + dx) * n[kIn] + channel) * n[kOut], kNone);
      }
    }
  }
};

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

// The operands of projections: `weights` at `w`, the arrays of their formats from `rows` on.
// `formats` says of each: how many numbers follow, the format, and what is fixed of it.
template <class T>
void projections(const std::vector<Operand>& args, size_t w, size_t rows, Numbers formats,
                 const Batch& batch, std::vector<Projection<T>>& out) {
  out.clear();
  const Operand* row = args.data() + rows;
  for (const int64_t* f = formats.begin(); f != formats.end(); f += 1 + f[0]) {
    Projection<T> p;
    p.format = static_cast<Format>(f[1]);
    p.shape = f + 2;
    if (p.format == kRows) {
      p.source_ptr = batch.at<int32_t>(*row++);
      p.group_delay = batch.at<int32_t>(*row++);
      p.wide = !batch.is_vector(*row);
      p.group_ptr = batch.at<int32_t>(*row++);
      p.narrow = row->item == sizeof(uint16_t);
      p.target = batch.at_bytes(*row++);
      p.origin = p.shape[0];
    } else {
      p.delay = *batch.at<int32_t>(*row++);
      if (p.format == kFixedFanOut) {
        p.narrow = row->item == sizeof(uint16_t);
        p.target = batch.at_bytes(*row++);
        p.origin = p.shape[1];
      } else {
        p.origin = *batch.at<int32_t>(*row++);
      }
      if (p.format == kProcedural) {
        p.held_from = *batch.at<int32_t>(*row);
        const void* table = batch.length(row[3]) ? batch.at<T>(row[3]) : nullptr;
        p.made.emplace(p.shape + 2, batch.at<uint32_t>(row[1]), batch.at<int32_t>(row[2]), table);
        row += 4;
      }
    }
    const Operand& weight = args[w + out.size()];
    p.weight = batch.at<T>(weight);
    p.stride = batch.is_scalar(weight) ? 0 : 1;
    out.push_back(p);
  }
}

template <class T>
std::vector<Projection<T>> projections(const std::vector<Operand>& args, size_t w, size_t rows,
                                       Numbers formats, const Batch& batch) {
  std::vector<Projection<T>> out;
  projections(args, w, rows, formats, batch, out);
  return out;
}

// Adds what a spike does through a piece of a row to the accumulators.
template <class T, class Targets>
inline __attribute__((always_inline)) void add_each(T* __restrict sum, int64_t count, Targets to,
                                                    const T* __restrict weight, int64_t stride,
                                                    T spike) {
  if (stride == 0) {
    const T amount = weight[0] * spike;
    for (int64_t s = 0; s < count; ++s) sum[to[s]] += amount;
  } else {
    for (int64_t s = 0; s < count; ++s) sum[to[s]] += weight[s] * spike;
  }
}

template <class T, class Index>
inline void add_piece(T* sum, int64_t count, Listed<Index> to, const T* weight, int64_t stride,
                      T spike) {
  add_each(sum, count, to, weight, stride, spike);
}

// Targets side by side are added in vectors, for which the compiler needs a width to choose.
void add_piece(float* sum, int64_t count, Counted to, const float* weight, int64_t stride,
               float spike);
void add_piece(double* sum, int64_t count, Counted to, const double* weight, int64_t stride,
               double spike);

template <class T>
inline void add_synapses(T* sum, const Projection<T>& p, int64_t source, int64_t first,
                         int64_t last, T spike) {
  p.for_each_piece(source, first, last, [&](int64_t count, auto to, int64_t k, const T* factor) {
    if (!factor) return add_piece(sum, count, to, p.weight + k * p.stride, p.stride, spike);
    for (int64_t s = 0; s < count; ++s) sum[to[s]] += p.weight[0] * factor[s] * spike;
  });
}

}  // namespace brainjax
