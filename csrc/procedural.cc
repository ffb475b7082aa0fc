#include "procedural.h"

#include <algorithm>
#include <cstring>

#include "events.h"

namespace brainjax {
namespace {

// The word of each position in the row of a source.
BRAINJAX_EVERY_WIDTH void words_of(uint32_t k0, uint32_t k1, uint32_t source, int64_t count,
                                   const uint32_t* __restrict__ position,
                                   uint32_t* __restrict__ out) {
  for (int64_t j = 0; j < count; ++j) {
    uint32_t x0 = source, x1 = position[j];
    threefry(k0, k1, x0, x1);
    out[j] = x0;
  }
}

// ---- the permutation -------------------------------------------------------------------------

struct RoundKeys {
  uint32_t left[kMaxRounds / 2], right[kMaxRounds / 2];
};

BRAINJAX_EVERY_WIDTH void round_keys(const uint32_t* key, uint32_t row, int turns,
                                     RoundKeys& keys) {
  for (int j = 0; j < turns; ++j) turn_keys(key, row, j, keys.left[j], keys.right[j]);
}

// Permutes the numbers first..first + count; whether one is outside.
BRAINJAX_EVERY_WIDTH bool permute_once(uint32_t size, int bits, uint32_t tail, int turns,
                                       const RoundKeys& keys, uint64_t first, int64_t count,
                                       uint32_t* __restrict__ left,
                                       uint32_t* __restrict__ right) {
  const uint32_t mask = (uint32_t{1} << bits) - 1;
  const int shift = bits ? 32 - bits : 0;
  for (int64_t j = 0; j < count; ++j) {
    left[j] = static_cast<uint32_t>((first + j) >> bits);
    right[j] = static_cast<uint32_t>(first + j) & mask;
  }
  for (int i = 0; i < turns; ++i) {
    const uint32_t left_key = keys.left[i], right_key = keys.right[i];
    for (int64_t j = 0; j < count; ++j) {
      two_rounds(size, shift, mask, left_key, right_key, left[j], right[j]);
    }
  }
  uint32_t any = 0;
  for (int64_t j = 0; j < count; ++j) any |= outside(size, tail, left[j], right[j]);
  return any;
}

void permute(const Permutation& p, const uint32_t* key, uint32_t row, uint64_t first,
             int64_t count, uint32_t* left, uint32_t* right) {
  RoundKeys keys;
  const int turns = p.rounds / 2;
  round_keys(key, row, turns, keys);
  if (!permute_once(p.left, p.bits, p.tail, turns, keys, first, count, left, right)) return;
  // Few: on average less than one in the square root of the size.
  const uint32_t mask = p.mask();
  const int shift = p.shift();
  for (int64_t j = 0; j < count; ++j) {
    while (outside(p.left, p.tail, left[j], right[j])) {
      for (int i = 0; i < turns; ++i) {
        two_rounds(p.left, shift, mask, keys.left[i], keys.right[i], left[j], right[j]);
      }
    }
  }
}

// ---- targets ---------------------------------------------------------------------------------

BRAINJAX_EVERY_WIDTH void scale(uint32_t size, int64_t count, const uint32_t* __restrict__ word,
                                int32_t* __restrict__ target) {
  for (int64_t j = 0; j < count; ++j) {
    target[j] = static_cast<int32_t>(multiply_high(word[j], size));
  }
}

BRAINJAX_EVERY_WIDTH void join(int bits, int64_t count, const uint32_t* __restrict__ left,
                               const uint32_t* __restrict__ right, int32_t* __restrict__ target) {
  for (int64_t j = 0; j < count; ++j) {
    target[j] = static_cast<int32_t>(left[j] << bits | right[j]);
  }
}

// The slot divided by the in-degree.
void divide(const Procedural& p, int64_t count, const uint32_t* left, const uint32_t* right,
            int32_t* target) {
  for (int64_t j = 0; j < count; ++j) {
    const uint64_t slot = static_cast<uint64_t>(left[j]) << p.permutation.bits | right[j];
    target[j] = divided(slot, p.reciprocal, p.shift);
  }
}

BRAINJAX_EVERY_WIDTH void skip(int32_t own, int64_t count, int32_t* target) {
  for (int64_t j = 0; j < count; ++j) target[j] += target[j] >= own;
}

// Which of these positions of the mask are connected, with their targets.
int64_t connect(const Procedural& p, int64_t source, int64_t count, const uint32_t* word,
                uint32_t* position, int32_t* target) {
  const auto* threshold = static_cast<const uint32_t*>(p.where);
  int64_t accepted = 0, kept = 0;
  for (int64_t j = 0; j < count; ++j) {
    const uint32_t at = position[j];
    position[accepted] = at;
    accepted += word[j] >> 1 < threshold[at];
  }
  const int64_t width = 2 * p.rx + 1, middle = p.hollow ? p.ry * width + p.rx : -1;
  const int64_t own_y = source / p.nx, own_x = source % p.nx;
  for (int64_t j = 0; j < accepted; ++j) {
    const int64_t at = position[j], down = at / width;
    const int64_t y = moved(own_y, down - p.ry, p.ny, p.periodic);
    const int64_t x = moved(own_x, at - down * width - p.rx, p.nx, p.periodic);
    position[kept] = static_cast<uint32_t>(at);
    target[kept] = static_cast<int32_t>(y * p.nx + x);
    kept += y >= 0 && x >= 0 && at != middle;
  }
  return kept;
}

// ---- factors ---------------------------------------------------------------------------------

template <class T>
BRAINJAX_INLINE void quantiles_of(const T* __restrict__ table, int64_t count,
                                  const uint32_t* __restrict__ word, T* __restrict__ factor) {
  int32_t cell[kRowBlock];
  for (int64_t j = 0; j < count; ++j) cell[j] = quantile_cell(word[j], factor[j]);
  for (int64_t j = 0; j < count; ++j) factor[j] = quantile(table, cell[j], factor[j]);
}

BRAINJAX_EVERY_WIDTH void quantiles(const float* table, int64_t count, const uint32_t* word,
                                    float* factor) {
  quantiles_of(table, count, word, factor);
}

BRAINJAX_EVERY_WIDTH void quantiles(const double* table, int64_t count, const uint32_t* word,
                                    double* factor) {
  quantiles_of(table, count, word, factor);
}

}  // namespace

template <class T>
int64_t procedural_row(const Procedural& p, int64_t source, int64_t first, int64_t count,
                       int32_t* target, T* factor) {
  alignas(64) uint32_t position[kRowBlock], a[kRowBlock], b[kRowBlock];
  const auto row = static_cast<uint32_t>(source);
  for (int64_t j = 0; j < count; ++j) position[j] = static_cast<uint32_t>(first + j);
  switch (p.kind) {
    case Procedural::kWithReplacement:
      words_of(p.targets[0], p.targets[1], row, count, position, a);
      scale(static_cast<uint32_t>(p.num_post - p.hollow), count, a, target);
      break;
    case Procedural::kWithoutReplacement:
      permute(p.permutation, p.targets, row, static_cast<uint64_t>(first), count, a, b);
      join(p.permutation.bits, count, a, b, target);
      break;
    case Procedural::kInDegree: {
      const int64_t begin = static_cast<const int64_t*>(p.where)[source] + first;
      permute(p.permutation, p.targets, 0, static_cast<uint64_t>(begin), count, a, b);
      divide(p, count, a, b, target);
      break;
    }
    default:
      if (p.grouped) {
        permute(p.permutation, p.positions, row, static_cast<uint64_t>(first), count, a, b);
        join(p.permutation.bits, count, a, b, reinterpret_cast<int32_t*>(position));
      }
      words_of(p.targets[0], p.targets[1], row, count, position, a);
      count = connect(p, source, count, a, position, target);
  }
  if (p.hollow && p.kind != Procedural::kDistance) skip(static_cast<int32_t>(source), count, target);
  if (p.table) {
    words_of(p.factors[0], p.factors[1], row, count, position, a);
    quantiles(static_cast<const T*>(p.table), count, a, factor);
  }
  return count;
}

template int64_t procedural_row(const Procedural&, int64_t, int64_t, int64_t, int32_t*, float*);
template int64_t procedural_row(const Procedural&, int64_t, int64_t, int64_t, int32_t*, double*);

}  // namespace brainjax

namespace {

template <class T>
int64_t rows(const brainjax::Procedural& p, int64_t begin, int64_t end, int32_t* sources,
             int32_t* targets, T* factors) {
  int64_t done = 0;
  for (int64_t source = begin; source < end; ++source) {
    const int64_t length = p.length(source), before = done;
    for (int64_t first = 0; first < length; first += brainjax::kRowBlock) {
      const int64_t count = std::min(length - first, brainjax::kRowBlock);
      done += brainjax::procedural_row(p, source, first, count, targets + done,
                                       factors ? factors + done : factors);
    }
    std::fill(sources + before, sources + done, static_cast<int32_t>(source));
  }
  return done;
}

}  // namespace

// The rows begin..end of a matrix; the number of synapses written. There must be room for all
// positions. `width` is the size in bytes of a factor, 4 or 8. Called through ctypes.
extern "C" int64_t brainjax_procedural_rows(const int64_t* numbers, const uint32_t* words,
                                            const void* where, const void* table, int64_t width,
                                            int64_t begin, int64_t end, int32_t* sources,
                                            int32_t* targets, void* factors) {
  const brainjax::Procedural p(numbers, words, where, table);
  if (width == 8) return rows(p, begin, end, sources, targets, static_cast<double*>(factors));
  return rows(p, begin, end, sources, targets, static_cast<float*>(factors));
}
