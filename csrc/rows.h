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
#include <utility>
#include <vector>

#include "batch.h"
#include "bounds.h"
#include "formats.h"

namespace brainjax {

// Synapses side by side, by their places.
struct Span {
  int64_t begin = 0, end = 0;
};

// Whether all of many targets lie within. What does not is not named.
bool all_hold(const uint16_t* target, int64_t count, const Reach& reach);
bool all_hold(const int32_t* target, int64_t count, const Reach& reach);

template <class T>
struct Projection {
  Format format;
  const int64_t* shape;  // what is fixed when compiled
  // Rows, and procedural with delays of their own: by source and, within a source, by delay
  // (ascending). Null where all have one delay.
  const int32_t *source_ptr = nullptr, *group_delay = nullptr, *group_ptr = nullptr;
  bool wide = false;  // group_ptr holds 64-bit numbers
  int64_t num_groups = 0, num_synapses = 0;
  // Rows and fixed fan-out: numbers of 16 or 32 bits, counted from the origin.
  const void* target = nullptr;
  bool narrow = false;
  int64_t delay = 0;   // without groups: the one there is
  int64_t origin = 0;  // the accumulator that targets are counted from
  // Procedural: of the targets only those from here on, fan_out() many.
  int64_t held_from = 0;
  std::optional<Procedural> made;
  const T* weight;
  const T* weight_dot = nullptr;
  T* weight_bar = nullptr;
  int64_t stride;  // 0 where one weight serves all synapses
  Reach reach;

  // Says what the projection may reach, which is the `number`-th; where a fault is kept.
  void confine(int number, int64_t begin, int64_t end, Fault& fault) {
    reach.begin = begin, reach.end = end, reach.fault = &fault, reach.projection = number;
    reach.count_from(origin, narrow ? UINT16_MAX : INT32_MAX);
  }

  int64_t group_begin(int64_t g) const {
    return wide ? reinterpret_cast<const int64_t*>(group_ptr)[g] : group_ptr[g];
  }
  // How many synapses a source has, where all have as many.
  int64_t fan_out() const { return shape[0]; }
  // Where the places of a source begin; not of rows.
  int64_t row_begin(int64_t source) const {
    if (format != kProcedural) return source * fan_out();
    return made->kind == Procedural::kDistance ? source * shape[1]
                                               : static_cast<const int64_t*>(made->where)[source];
  }

  // The same on average, of `size` sources, or any number where offsets lead nowhere.
  double mean_fan_out(int64_t size) const {
    if (format != kRows) return (double(row_begin(size)) - double(row_begin(0))) / size;
    const int64_t end = source_ptr[size];
    return ordered(0, end, num_groups) ? double(group_begin(end)) / size : 0;
  }

  // Whether `first:last` are synapses of a source, or, of rows, of any: what may be read is read.
  bool holds(int64_t source, int64_t first, int64_t last) const {
    if (format == kRows) return ordered(first, last, num_synapses);
    const int64_t begin = row_begin(source), end = row_begin(source + 1);
    return begin <= first && first <= last && last <= end && can_be_made(begin, end);
  }

  // The most that `last` may be there.
  int64_t last_of(int64_t source) const {
    return format == kRows ? num_synapses : row_begin(source + 1);
  }

  // The synapses of the sources from `first` to `last` where all their targets are known to lie
  // within, compared at once; none where they are not, or not stored.
  Span compared(int64_t first, int64_t last) const {
    Span all;
    if (format == kRows) {
      const int64_t low = source_ptr[first], high = source_ptr[last + 1];
      if (!ordered(low, high, num_groups)) return {};
      all = {group_begin(low), group_begin(high)};
      if (!ordered(all.begin, all.end, num_synapses)) return {};
    } else if (format == kFixedFanOut) {
      all = {row_begin(first), row_begin(last + 1)};
    }
    const int64_t count = all.end - all.begin;
    const bool hold = narrow ? all_hold(targets<uint16_t>(all.begin), count, reach)
                             : all_hold(targets<int32_t>(all.begin), count, reach);
    return hold ? all : Span{};
  }

  // Calls f(delay, first, last) for each group of a source, by delay. With `known`, synapses whose
  // targets lie within: only if all of the source do, so that f need not compare those that are stored.
  template <class F>
  void for_each_group(int64_t source, F f, const Span* known = nullptr) const {
    if (!source_ptr) return with_row(source, f, known);
    const auto [low, high] = groups_of(source);
    int64_t first = group_begin(low);
    const int64_t end = group_begin(high);
    if (!holds(source, first, end)) return lost("group_ptr", low, first, end, last_of(source));
    if (known && format == kRows && !targets_hold(first, end, *known)) return;
    for (int64_t g = low; g < high; ++g) {
      const int64_t last = group_begin(g + 1);
      if (last < first || last > end) return lost("group_ptr", g, first, last, end);
      f(group_delay[g], first, last);
      first = last;
    }
  }

  // Calls f(delay, first, last) if the source has synapses of this delay.
  template <class F>
  void with_group(int64_t source, int64_t due, F f) const {
    if (!source_ptr) {
      if (due == delay) with_row(source, f);
      return;
    }
    // Groups of a source are few and sorted.
    auto [low, high] = groups_of(source);
    const int64_t stop = high;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (group_delay[middle] < due) low = middle + 1;
      else high = middle;
    }
    if (low >= stop || group_delay[low] != due) return;
    const int64_t first = group_begin(low), last = group_begin(low + 1);
    if (!holds(source, first, last)) return lost("group_ptr", low, first, last, last_of(source));
    f(due, first, last);
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
        const int64_t to = origin + source * shape[1] + first - source * fan_out();
        if (!reach.spans(to, last - first)) return;
        return f(last - first, Counted{to}, first, kNone);
      }
      case kConvolution: return convolved(source, f);
      case kProcedural: return generated(source, first, last, f);
    }
  }

  // Whether the targets of a source and delay are known to ascend.
  bool ascends() const {
    return format == kRegular || (format == kRows && shape[1]) || (format == kFixedFanOut && shape[2]);
  }

  // Of the synapses `first:last` of a source, whose targets ascend, the first that ends at accumulator
  // `bound` or behind it. It is looked for around `guess`, which is one of them.
  int64_t first_behind(int64_t source, int64_t first, int64_t last, int64_t guess,
                       int64_t bound) const {
    bound -= origin;
    if (format == kRegular) {
      return std::clamp(bound - source * (shape[1] - fan_out()), first, last);
    }
    return narrow ? search(targets<uint16_t>(0), first, last, guess, bound)
                  : search(targets<int32_t>(0), first, last, guess, bound);
  }

  // How many bytes a target takes.
  int64_t target_bytes() const { return narrow ? sizeof(uint16_t) : sizeof(int32_t); }
  const void* target_at(int64_t s) const {
    return static_cast<const char*>(target) + s * target_bytes();
  }

 private:
  static constexpr const T* kNone = nullptr;

  template <class Index>
  const Index* targets(int64_t first) const {
    return static_cast<const Index*>(target) + first;
  }

  template <class Index>
  static int64_t search(const Index* target, int64_t low, int64_t high, int64_t at, int64_t bound) {
    for (int64_t step = 1; low < high; step *= 2) {
      const bool right = target[at] < bound;
      if (right) low = at + 1;
      else high = at;
      const int64_t further = std::min(step, (high - low) / 2);
      at = right ? low + further : high - 1 - further;
    }
    return low;
  }

  template <class Index>
  Listed<Index> listed(int64_t first) const {
    return {targets<Index>(first), origin, first, &reach};
  }

  // Where the groups of a source begin and end: nowhere, if that leads out.
  std::pair<int64_t, int64_t> groups_of(int64_t source) const {
    const int64_t low = source_ptr[source], high = source_ptr[source + 1];
    if (ordered(low, high, num_groups)) return {low, high};
    lost("source_ptr", source, low, high, num_groups);
    return {0, 0};
  }

  // Calls f(delay, first, last) with the row of a source, where there is one delay.
  template <class F>
  void with_row(int64_t source, F f, const Span* known = nullptr) const {
    const int64_t first = row_begin(source), last = row_begin(source + 1);
    if (!can_be_made(first, last)) return lost("where", source, first, last, made->most());
    if (known && format == kFixedFanOut && !targets_hold(first, last, *known)) return;
    f(delay, first, last);
  }

  bool targets_hold(int64_t first, int64_t last, Span known) const {
    if (known.begin <= first && last <= known.end) return true;
    if (narrow) return reach.hold(targets<uint16_t>(first), last - first, first);
    return reach.hold(targets<int32_t>(first), last - first, first);
  }

  bool can_be_made(int64_t first, int64_t last) const {
    return format != kProcedural || made->can_be_made(first, last, shape[1]);
  }

  __attribute__((cold, noinline)) void lost(const char* list, int64_t at, int64_t first, int64_t last,
                                            int64_t most) const {
    reach.fault->report("rows[%d].%s: got %" PRId64 " and then %" PRId64 " at position %" PRId64
                        ", expected offsets that do not decrease, from 0 to %" PRId64
                        ", for rows no longer than they say.",
                        reach.projection, list, first, last, at + 1, most);
  }

  // A piece for each block of places of the row.
  template <class F>
  void generated(int64_t source, int64_t first, int64_t last, F f) const {
    if (first < last && !reach.spans(origin, fan_out())) return;
    int32_t to[kRowBlock];
    T factor[kRowBlock];
    const int64_t begin = row_begin(source);
    for (int64_t k = first; k < last; k += kRowBlock) {
      const int64_t room = std::min(kRowBlock, last - k);
      const int64_t count = procedural_row(*made, source, k - begin, room, to, factor);
      int64_t held = 0;
      for (int64_t s = 0; s < count; ++s) {
        const int64_t here = to[s] - held_from;
        to[held] = static_cast<int32_t>(here);
        if (made->table) factor[held] = factor[s];
        held += here >= 0 && here < fan_out();
      }
      f(held, Listed<int32_t>{to, origin, 0, &reach}, int64_t{0}, made->table ? factor : kNone);
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
        if (!reach.spans(to, n[kOut])) return;
        f(n[kOut], Counted{to}, ((dy * n[kKernelWidth] + dx) * n[kIn] + channel) * n[kOut], kNone);
      }
    }
  }
};

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
    if (has_groups(f + 1)) {
      p.source_ptr = batch.at<int32_t>(*row++);
      p.num_groups = batch.length(*row);
      p.group_delay = batch.at<int32_t>(*row++);
      p.wide = !batch.is_vector(*row);
      p.group_ptr = batch.at<int32_t>(*row++);
    } else {
      p.delay = *batch.at<int32_t>(*row++);
    }
    if (p.format == kRows) {
      p.narrow = row->item == sizeof(uint16_t);
      p.num_synapses = batch.length(*row);
      p.target = batch.at_bytes(*row++);
      p.origin = p.shape[0];
    } else {
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
template <class T, class Index>
inline __attribute__((always_inline)) void add_piece(T* __restrict sum, int64_t count, Listed<Index> to,
                                                     const T* __restrict weight, int64_t stride,
                                                     T spike) {
  T* const own = from_origin(sum, to.origin);
  if (stride == 0) {
    const T amount = weight[0] * spike;
    for_each_target(count, to, [&](int64_t, int64_t k) { own[k] += amount; });
  } else {
    for_each_target(count, to, [&](int64_t s, int64_t k) { own[k] += weight[s] * spike; });
  }
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
    T* const own = from_origin(sum, to.origin);
    for_each_target(count, to, [&](int64_t s, int64_t k) {
      own[k] += p.weight[0] * factor[s] * spike;
    });
  });
}

}  // namespace brainjax
