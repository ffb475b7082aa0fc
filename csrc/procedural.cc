#include "procedural.h"

#include <algorithm>
#include <cstring>

#include "events.h"

#define BRAINJAX_INLINE inline __attribute__((always_inline))

namespace brainjax {
namespace {

constexpr int kMaxRounds = 32;
constexpr int kCellsLog2 = 3, kOctaves = 31, kCells = 2 * kOctaves << kCellsLog2;
constexpr uint32_t kForTargets = 1, kForFactors = 2;

// ---- words -----------------------------------------------------------------------------------

BRAINJAX_INLINE uint32_t rotate(uint32_t x, int bits) { return (x << bits) | (x >> (32 - bits)); }

// Threefry-2x32 with 20 rounds, as in core/_random.py.
BRAINJAX_INLINE void threefry(uint32_t k0, uint32_t k1, uint32_t& x0, uint32_t& x1) {
  const uint32_t k2 = k0 ^ k1 ^ 0x1BD11BDAu;
  const auto mix = [&](int bits) __attribute__((always_inline)) {
    x0 += x1;
    x1 = rotate(x1, bits) ^ x0;
  };
  const auto even = [&]() __attribute__((always_inline)) { mix(13), mix(15), mix(26), mix(6); };
  const auto odd = [&]() __attribute__((always_inline)) { mix(17), mix(29), mix(16), mix(24); };
  x0 += k0, x1 += k1;
  even(), x0 += k1, x1 += k2 + 1u;
  odd(), x0 += k2, x1 += k0 + 2u;
  even(), x0 += k0, x1 += k1 + 3u;
  odd(), x0 += k1, x1 += k2 + 4u;
  even(), x0 += k2, x1 += k0 + 5u;
}

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

BRAINJAX_INLINE uint32_t multiply_high(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>(static_cast<uint64_t>(a) * b >> 32);
}

// ---- the permutation -------------------------------------------------------------------------

struct RoundKeys {
  uint32_t left[kMaxRounds / 2], right[kMaxRounds / 2];
};

BRAINJAX_EVERY_WIDTH void round_keys(uint32_t k0, uint32_t k1, uint32_t row, int turns,
                                     RoundKeys& keys) {
  for (int j = 0; j < turns; ++j) {
    uint32_t x0 = row, x1 = static_cast<uint32_t>(j);
    threefry(k0, k1, x0, x1);
    keys.left[j] = x0, keys.right[j] = x1;
  }
}

BRAINJAX_INLINE uint32_t mixed(uint32_t x, uint32_t key) {
  x = x * 0x9E3779B1u + key;
  x = (x ^ x >> 16) * 0x85EBCA6Bu;
  return (x ^ x >> 13) * 0xC2B2AE35u;
}

// Two rounds. `shift` is 32 - bits, and `mask` has the bits; with none, both are 0.
BRAINJAX_INLINE void two_rounds(uint32_t size, int shift, uint32_t mask, uint32_t left_key,
                                uint32_t right_key, uint32_t& left, uint32_t& right) {
  const uint32_t sum = left + multiply_high(mixed(right, left_key), size);
  left = std::min(sum, sum - size);  // size <= 2^31, so a difference below 0 is the larger one
  right ^= mixed(left, right_key) >> shift & mask;
}

BRAINJAX_INLINE bool outside(uint32_t size, uint32_t tail, uint32_t left, uint32_t right) {
  return (left == size - 1) & (right >= tail);
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
  round_keys(key[0], key[1], row, turns, keys);
  if (!permute_once(p.left, p.bits, p.tail, turns, keys, first, count, left, right)) return;
  // Few: on average less than one in the square root of the size.
  const uint32_t mask = (uint32_t{1} << p.bits) - 1;
  const int shift = p.bits ? 32 - p.bits : 0;
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

// The slot divided by the in-degree; `reciprocal` of ops/_procedural.py.
void divide(const Procedural& p, int64_t count, const uint32_t* left, const uint32_t* right,
            int32_t* target) {
  for (int64_t j = 0; j < count; ++j) {
    const uint64_t slot = static_cast<uint64_t>(left[j]) << p.permutation.bits | right[j];
    const auto product = static_cast<unsigned __int128>(slot << 2) * p.reciprocal;
    target[j] = static_cast<int32_t>(static_cast<uint64_t>(product >> 64) >> p.shift);
  }
}

BRAINJAX_EVERY_WIDTH void skip(int32_t own, int64_t count, int32_t* target) {
  for (int64_t j = 0; j < count; ++j) target[j] += target[j] >= own;
}

// `at + by` if that is on the line of `size` points, or around it; -1 if it is beyond its end.
BRAINJAX_INLINE int64_t moved(int64_t at, int64_t by, int64_t size, bool periodic) {
  const int64_t to = at + by;
  if (to >= 0 && to < size) return to;
  return periodic ? (to % size + size) % size : -1;
}

// The positions first..first + count of the mask that are connected, with their targets.
int64_t connect(const Procedural& p, int64_t source, int64_t first, int64_t count,
                const uint32_t* word, uint32_t* position, int32_t* target) {
  const auto* threshold = static_cast<const uint32_t*>(p.where) + first;
  int64_t accepted = 0, kept = 0;
  for (int64_t j = 0; j < count; ++j) {
    position[accepted] = static_cast<uint32_t>(first + j);
    accepted += word[j] >> 1 < threshold[j];
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
  constexpr int kRest = 30 - kCellsLog2;
  int32_t cell[kRowBlock];
  for (int64_t j = 0; j < count; ++j) {
    const int32_t distance = static_cast<int32_t>(word[j] >> 1 | 1u);
    // The exponent of a float says which bit leads; without the bit below it cannot round up.
    const float leading = static_cast<float>(distance & ~(distance >> 1));
    int32_t exponent;
    std::memcpy(&exponent, &leading, sizeof(exponent));
    const int32_t octave = (exponent >> 23) - 127;
    const uint32_t scaled = static_cast<uint32_t>(distance) << (30 - octave);
    const int32_t within = static_cast<int32_t>(scaled >> kRest & ((1u << kCellsLog2) - 1));
    const int32_t upper = static_cast<int32_t>(word[j] & 1u);
    cell[j] = ((upper * kOctaves + octave) << kCellsLog2) + within;
    const int32_t rest = static_cast<int32_t>(scaled & ((1u << kRest) - 1));
    factor[j] = static_cast<T>(rest) * (T{1} / (1 << kRest));
  }
  const T low = table[4 * kCells], high = table[4 * kCells + 1];
  for (int64_t j = 0; j < count; ++j) {
    const T* c = table + 4 * cell[j];
    const T x = factor[j];
    T value = ((c[3] * x + c[2]) * x + c[1]) * x + c[0];
    value = value < low ? low : value;
    factor[j] = value > high ? high : value;
  }
}

BRAINJAX_EVERY_WIDTH void quantiles(const float* table, int64_t count, const uint32_t* word,
                                    float* factor) {
  quantiles_of(table, count, word, factor);
}

BRAINJAX_EVERY_WIDTH void quantiles(const double* table, int64_t count, const uint32_t* word,
                                    double* factor) {
  quantiles_of(table, count, word, factor);
}

int bit_length(uint64_t x) { return x ? 64 - __builtin_clzll(x) : 0; }

}  // namespace

Permutation::Permutation(int64_t size) {
  size = std::max<int64_t>(size, 1);
  bits = bit_length(static_cast<uint64_t>(size - 1)) / 2;
  left = static_cast<uint32_t>(((size - 1) >> bits) + 1);
  tail = static_cast<uint32_t>(size - (static_cast<int64_t>(left - 1) << bits));
  const int known = std::max(bits, 1);
  rounds = std::max(6, 2 * ((15 + known) / known));
}

Procedural::Procedural(const int64_t* numbers, const uint32_t* words, const void* where,
                       const void* table)
    : kind(numbers[0]),
      num_pre(numbers[1]),
      num_post(numbers[2]),
      hollow(numbers[3]),
      degree(numbers[4]),
      ny(numbers[5]),
      nx(numbers[6]),
      ry(numbers[7]),
      rx(numbers[8]),
      periodic(numbers[9]),
      where(where),
      table(table),
      targets{kForTargets, 0},
      factors{kForFactors, 0},
      permutation(kind == kInDegree ? num_post * degree : num_post - hollow),
      reciprocal(0),
      shift(0) {
  threefry(words[0], words[1], targets[0], targets[1]);
  threefry(words[0], words[1], factors[0], factors[1]);
  if (degree > 0) {
    shift = bit_length(static_cast<uint64_t>(degree - 1));
    const auto power = static_cast<unsigned __int128>(1) << (62 + shift);
    reciprocal = static_cast<uint64_t>((power + degree - 1) / degree);
  }
}

int64_t Procedural::length(int64_t source) const {
  if (kind == kDistance) return (2 * ry + 1) * (2 * rx + 1);
  const auto* row_ptr = static_cast<const int64_t*>(where);
  return row_ptr[source + 1] - row_ptr[source];
}

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
      words_of(p.targets[0], p.targets[1], row, count, position, a);
      count = connect(p, source, first, count, a, position, target);
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
