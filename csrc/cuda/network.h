// Connections on the device, as the kernels read them: csrc/rows.h, one synapse at a time.
//
// The first kernel of a call writes a `Network` for each example of a batch into scratch memory, which
// the later ones read. The order of synapses is that of rows.h.
//
// Indices and offsets that lead out of an array are not followed, as csrc/bounds.h has it for a CPU. A
// handler that may be recorded in a CUDA graph waits for nothing, so it cannot return an error: what
// depends on them is NaN.

#pragma once

#include <cmath>

#include "../procedural.h"
#include "call.h"

namespace brainjax::cuda {

template <class T>
struct Population {
  const T *x, *x2;      // spikes; and those whose weights move
  const uint8_t* live;
  T* x_bar;
  // Who spiked: of each slot of a history, or of this step alone.
  int32_t* neuron;
  T* value;
  int32_t* count;
  const int32_t* table;  // null where there is none
  int32_t least_delay;
  PopulationPlace place;
};

// A run of synapses of one source in a projection.
struct Run {
  int64_t first, last;

  // Whether it leads out of the arrays.
  BRAINJAX_DEVICE bool lost() const { return last < first; }
};

// What a result is that depends on what leads out.
template <class T>
BRAINJAX_DEVICE T unknown() { return static_cast<T>(NAN); }

template <class T>
struct Synapse {
  int64_t target;
  int64_t weight;  // its place among the weights
  T factor;        // what the weight is multiplied by, if the projection has factors
};

constexpr int kMostFixed = 2 + Procedural::kNumbers;

template <class T>
struct Projection {
  ProjectionPlace place;
  int64_t shape[kMostFixed];  // the numbers of its format
  const int32_t *source_ptr, *group_delay, *group_ptr;  // if it is grouped
  int64_t num_groups, num_synapses;                     // the latter of rows
  const void* target;  // of 16 or 32 bits, counted from the origin
  int64_t origin;
  int32_t delay, held_from;
  const T* weight;
  T* weight2;     // the weights' tangent, or what is summed for them
  int64_t stride;  // 0 where one weight serves all synapses
  Procedural made;

  BRAINJAX_DEVICE bool has_factors() const { return place.has_table; }

  BRAINJAX_DEVICE int64_t group_begin(int64_t g) const {
    return place.wide ? reinterpret_cast<const int64_t*>(group_ptr)[g] : group_ptr[g];
  }

  BRAINJAX_DEVICE int64_t row_begin(int64_t source) const {
    if (place.format != kProcedural) return source * shape[0];
    return made.kind == Procedural::kDistance ? source * shape[1]
                                              : static_cast<const int64_t*>(made.where)[source];
  }

  // A run if it is one of synapses of a source, or, of rows, of any.
  BRAINJAX_DEVICE Run held(int64_t source, Run run) const {
    bool holds = false;
    if (place.format == kRows) {
      holds = ordered(run.first, run.last, num_synapses);
    } else {
      const int64_t begin = row_begin(source), end = row_begin(source + 1);
      holds = begin <= run.first && run.first <= run.last && run.last <= end &&
              (place.format != kProcedural || made.can_be_made(begin, end, shape[1]));
    }
    return holds ? run : Run{0, -1};
  }

  // All synapses of a source.
  BRAINJAX_DEVICE Run row(int64_t source) const {
    if (!place.grouped) return held(source, {row_begin(source), row_begin(source + 1)});
    const int64_t low = source_ptr[source], high = source_ptr[source + 1];
    if (!ordered(low, high, num_groups)) return {0, -1};
    const Run all{group_begin(low), group_begin(high)};
    int64_t before = all.first;
    for (int64_t g = low; g < high; ++g) {
      const int64_t next = group_begin(g + 1);
      if (next < before) return {0, -1};
      before = next;
    }
    return held(source, all);
  }

  // Those of one delay; groups of a source are sorted.
  BRAINJAX_DEVICE Run group(int64_t source, int32_t due) const {
    if (!place.grouped) return due == delay ? row(source) : Run{0, 0};
    const int32_t first = source_ptr[source], stop = source_ptr[source + 1];
    if (!ordered(first, stop, num_groups)) return {0, -1};
    const int32_t* delays = group_delay + first;
    const int count = stop - first, at = first_above(delays, count, int64_t{due} - 1);
    if (at == count || delays[at] != due) return {0, 0};
    return held(source, {group_begin(first + at), group_begin(first + at + 1)});
  }

  // Whether it may end in an accumulator.
  BRAINJAX_DEVICE bool reaches(int64_t to) const { return place.begin <= to && to < place.end; }

  // Whether the targets of a run that holds are known to ascend.
  BRAINJAX_DEVICE bool is_sorted(int64_t source, Run run, bool one_group) const {
    if (run.last - run.first > INT32_MAX) return false;  // a search counts with 32 bits
    if (place.format == kFixedFanOut) return shape[2];
    if (place.format != kRows || !shape[1]) return false;
    return one_group || source_ptr[source + 1] - source_ptr[source] == 1;
  }

  // What of a run, of one group or of all, may end in the accumulators begin..end, as far as that is
  // known without reading all of it. Lost if the run is, or what of it only this block looks at.
  BRAINJAX_DEVICE Run clipped(int64_t source, Run run, bool one_group, int64_t begin,
                              int64_t end) const {
    if (place.begin >= end || place.end <= begin) return {0, 0};
    if (run.last <= run.first) return run;
    if (is_sorted(source, run, one_group)) {
      return place.narrow ? between(static_cast<const uint16_t*>(target), run, begin, end)
                          : between(static_cast<const int32_t*>(target), run, begin, end);
    }
    if (place.format != kRegular) return run;
    const int64_t to_first = origin + source * (shape[1] - shape[0]);  // from synapse to target
    if (!reaches(to_first + run.first) || !reaches(to_first + run.last - 1)) return {0, -1};
    const int64_t first = begin - to_first, last = end - to_first;
    run = {run.first > first ? run.first : first, run.last < last ? run.last : last};
    return run.first < run.last ? run : Run{0, 0};
  }

  // The delay of synapse k of a source, whose row holds it.
  BRAINJAX_DEVICE int32_t delay_of(int64_t source, int64_t k) const {
    if (!place.grouped) return delay;
    int32_t low = source_ptr[source], high = source_ptr[source + 1];
    while (high - low > 1) {  // the last group that begins at k or before
      const int32_t middle = low + (high - low) / 2;
      if (group_begin(middle) <= k) low = middle;
      else high = middle;
    }
    return group_delay[low];
  }

  // Synapse k, of this source; whether there is one.
  BRAINJAX_DEVICE bool synapse(int64_t source, int64_t k, Synapse<T>& out) const {
    out.weight = k;
    switch (place.format) {
      case kRows:
      case kFixedFanOut:
        out.target = origin + (place.narrow ? int32_t{static_cast<const uint16_t*>(target)[k]}
                                            : static_cast<const int32_t*>(target)[k]);
        return true;
      case kRegular:
        out.target = origin + source * (shape[1] - shape[0]) + k;
        return true;
      case kConvolution: return convolved(source, k - source * shape[0], out);
      default: return generated(source, k - row_begin(source), out);
    }
  }

  // What a synapse adds, for a spike; with the tangents of both where the weights move.
  BRAINJAX_DEVICE T amount(const Synapse<T>& s, T spike) const {
    const T w = weight[s.weight * stride];
    return (has_factors() ? w * s.factor : w) * spike;
  }
  BRAINJAX_DEVICE T amount(const Synapse<T>& s, T moved, T spike) const {
    const T w = weight[s.weight * stride], w_moved = weight2[s.weight * stride];
    if (!has_factors()) return w * moved + w_moved * spike;
    return w * s.factor * moved + w_moved * s.factor * spike;
  }

  // Of a convolution: its geometry, as `Convolution.numbers` gives it, and the place of a kernel that
  // position of a row is.
  struct Geometry {
    int64_t fan_out, width, in, kernel_height, kernel_width, out, out_height, out_width, stride_y,
        stride_x, pad_y, pad_x;
  };

 private:
  // What of a run whose targets ascend ends in the accumulators begin..end. A search passes by most of
  // them: a block compares as large a share of them as it has of the accumulators.
  template <class Index>
  BRAINJAX_DEVICE Run between(const Index* targets, Run run, int64_t begin, int64_t end) const {
    const int64_t width = place.end - place.begin, length = run.last - run.first;
    const auto share = [&](int64_t at) {
      const int64_t before = at < place.begin ? 0 : at > place.end ? width : at - place.begin;
      return run.first + length * before / width;
    };
    for (int64_t k = share(begin), stop = share(end); k < stop; ++k) {
      if (!reaches(origin + targets[k])) return {0, -1};
    }
    const auto above = [&](int64_t first, int64_t last) {
      const int count = static_cast<int>(run.last - first);
      return first + first_above(targets + first, count, last - origin);
    };
    run.first = above(run.first, begin - 1);
    run.last = above(run.first, end - 1);
    return run;
  }

  BRAINJAX_DEVICE bool convolved(int64_t source, int64_t position, Synapse<T>& s) const {
    const Geometry& n = *reinterpret_cast<const Geometry*>(shape);
    const int64_t channel = source % n.in, x = source / n.in % n.width, y = source / n.in / n.width;
    const int64_t at = position / n.out, to = position % n.out;
    const int64_t above = y + n.pad_y - at / n.kernel_width,
                  left = x + n.pad_x - at % n.kernel_width;
    if (above < 0 || above % n.stride_y || above / n.stride_y >= n.out_height) return false;
    if (left < 0 || left % n.stride_x || left / n.stride_x >= n.out_width) return false;
    const int64_t pixel = above / n.stride_y * n.out_width + left / n.stride_x;
    s.target = origin + pixel * n.out + to;
    s.weight = (at * n.in + channel) * n.out + to;
    return true;
  }

  BRAINJAX_DEVICE bool generated(int64_t source, int64_t k, Synapse<T>& s) const {
    const auto row = static_cast<uint32_t>(source);
    const bool permutes = made.grouped && made.kind == Procedural::kDistance;
    const int64_t position =
        permutes ? static_cast<int64_t>(permuted(made.positions, row, k)) : k;
    const auto at = static_cast<uint32_t>(position);
    int64_t to = 0;
    switch (made.kind) {
      case Procedural::kWithReplacement:
        to = multiply_high(word_of(made.targets, row, at),
                           static_cast<uint32_t>(made.num_post - made.hollow));
        break;
      case Procedural::kWithoutReplacement:
        to = static_cast<int64_t>(permuted(made.targets, row, position));
        break;
      case Procedural::kInDegree:
        to = divided(permuted(made.targets, 0, row_begin(source) + position), made.reciprocal,
                     made.shift);
        break;
      default: {
        const uint32_t word = word_of(made.targets, row, at);
        if (word >> 1 >= static_cast<const uint32_t*>(made.where)[position]) return false;
        const int64_t width = 2 * made.rx + 1, down = position / width;
        if (made.hollow && position == made.ry * width + made.rx) return false;
        const int64_t y = moved(source / made.nx, down - made.ry, made.ny, made.periodic);
        const int64_t x = moved(source % made.nx, position - down * width - made.rx, made.nx,
                                made.periodic);
        if (y < 0 || x < 0) return false;
        to = y * made.nx + x;
      }
    }
    if (made.hollow && made.kind != Procedural::kDistance) to += to >= source;
    to -= held_from;
    if (to < 0 || to >= shape[0]) return false;
    s.target = origin + to;
    s.weight = 0;
    if (!made.table) return true;
    T within;
    const int32_t cell = quantile_cell(word_of(made.factors, row, at), within);
    s.factor = quantile(static_cast<const T*>(made.table), cell, within);
    return true;
  }

  BRAINJAX_DEVICE uint64_t permuted(const uint32_t* key, uint32_t row, int64_t number) const {
    const Permutation& p = made.permutation;
    auto left = static_cast<uint32_t>(number >> p.bits),
         right = static_cast<uint32_t>(number) & p.mask();
    do {
      for (int turn = 0; turn < p.rounds / 2; ++turn) {
        uint32_t left_key, right_key;
        turn_keys(key, row, turn, left_key, right_key);
        two_rounds(p.left, p.shift(), p.mask(), left_key, right_key, left, right);
      }
    } while (outside(p.left, p.tail, left, right));
    return static_cast<uint64_t>(left) << p.bits | right;
  }
};

// The bytes of scratch memory that brainjax/ops/_cuda.py provides for each of them.
constexpr int64_t kDescribed = 640;
static_assert(sizeof(Population<double>) <= kDescribed && sizeof(Projection<double>) <= kDescribed);

// One example in scratch memory. `at` is its own part.
template <class T>
class Network {
 public:
  // What an example needs. `sources` is how many neurons there are, `shared` of how many sources the
  // projections are, taken together, that have one weight for all synapses.
  static int64_t bytes(const Call& call, int64_t sources, int64_t shared) {
    return kDescribed * (1 + call.num_populations + call.num_projections) +
           aligned(sizeof(int32_t) * (call.num_blocks + call.num_populations + sources)) +
           aligned(sizeof(T) * shared);
  }

  BRAINJAX_DEVICE Network(char* at, int32_t num_populations, int32_t num_projections,
                          int64_t num_blocks)
      : at_(at), populations_(num_populations), projections_(num_projections),
        blocks_(num_blocks) {}

  BRAINJAX_DEVICE int64_t& head() const { return *reinterpret_cast<int64_t*>(at_); }
  BRAINJAX_DEVICE T*& ring() const { return reinterpret_cast<T**>(at_)[1]; }
  BRAINJAX_DEVICE T*& due() const { return reinterpret_cast<T**>(at_)[2]; }
  BRAINJAX_DEVICE Population<T>& population(int p) const {
    return *reinterpret_cast<Population<T>*>(at_ + kDescribed * (1 + p));
  }
  BRAINJAX_DEVICE Projection<T>& projection(int j) const {
    return *reinterpret_cast<Projection<T>*>(at_ + kDescribed * (1 + populations_ + j));
  }
  // How many spikes each block found, and how many there are of each population.
  BRAINJAX_DEVICE int32_t* found() const {
    return reinterpret_cast<int32_t*>(at_ + kDescribed * (1 + populations_ + projections_));
  }
  BRAINJAX_DEVICE int32_t* number() const { return found() + blocks_; }
  // Who spiked, of all populations one after the other.
  BRAINJAX_DEVICE int32_t* active() const { return number() + populations_; }
  BRAINJAX_DEVICE T* shared(int64_t sources) const {
    const int64_t before = aligned(sizeof(int32_t) * (blocks_ + populations_ + sources));
    return reinterpret_cast<T*>(reinterpret_cast<char*>(found()) + before);
  }

 private:
  BRAINJAX_INLINE static constexpr int64_t aligned(int64_t bytes) { return (bytes + 15) / 16 * 16; }

  char* at_;
  int32_t populations_, projections_;
  int64_t blocks_;
};

}  // namespace brainjax::cuda
