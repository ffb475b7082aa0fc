// The arithmetic of connections that are not stored, one number at a time: for procedural.cc, which works
// on rows, and for a GPU, which works on single synapses. What the kinds mean stands in
// ops/_procedural.py.

#pragma once

#include <cstdint>
#include <cstring>

#include "inline.h"

namespace brainjax {

constexpr int kMaxRounds = 32;
constexpr int kCellsLog2 = 3, kOctaves = 31, kCells = 2 * kOctaves << kCellsLog2;
constexpr uint32_t kForTargets = 1, kForFactors = 2, kForPositions = 3;

// ---- words -----------------------------------------------------------------------------------

BRAINJAX_INLINE uint32_t rotate(uint32_t x, int bits) { return (x << bits) | (x >> (32 - bits)); }

BRAINJAX_INLINE void mix(uint32_t& x0, uint32_t& x1, int bits) {
  x0 += x1;
  x1 = rotate(x1, bits) ^ x0;
}

BRAINJAX_INLINE void four_even(uint32_t& x0, uint32_t& x1) {
  mix(x0, x1, 13), mix(x0, x1, 15), mix(x0, x1, 26), mix(x0, x1, 6);
}

BRAINJAX_INLINE void four_odd(uint32_t& x0, uint32_t& x1) {
  mix(x0, x1, 17), mix(x0, x1, 29), mix(x0, x1, 16), mix(x0, x1, 24);
}

// Threefry-2x32 with 20 rounds, as in core/_random.py.
BRAINJAX_INLINE void threefry(uint32_t k0, uint32_t k1, uint32_t& x0, uint32_t& x1) {
  const uint32_t k2 = k0 ^ k1 ^ 0x1BD11BDAu;
  x0 += k0, x1 += k1;
  four_even(x0, x1), x0 += k1, x1 += k2 + 1u;
  four_odd(x0, x1), x0 += k2, x1 += k0 + 2u;
  four_even(x0, x1), x0 += k0, x1 += k1 + 3u;
  four_odd(x0, x1), x0 += k1, x1 += k2 + 4u;
  four_even(x0, x1), x0 += k2, x1 += k0 + 5u;
}

// The word of a position in the row of a source.
BRAINJAX_INLINE uint32_t word_of(const uint32_t* key, uint32_t source, uint32_t position) {
  uint32_t x0 = source, x1 = position;
  threefry(key[0], key[1], x0, x1);
  return x0;
}

BRAINJAX_INLINE uint32_t multiply_high(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>(static_cast<uint64_t>(a) * b >> 32);
}

BRAINJAX_INLINE int bit_length(uint64_t x) {
#if defined(__CUDA_ARCH__)
  return x ? 64 - __clzll(static_cast<long long>(x)) : 0;
#else
  return x ? 64 - __builtin_clzll(x) : 0;
#endif
}

// ---- the permutation -------------------------------------------------------------------------

// The numbers 0..size - 1 permuted, size <= 2^62; `Permutation` of ops/_procedural.py.
struct Permutation {
  BRAINJAX_INLINE explicit Permutation(int64_t size) {
    size = size < 1 ? 1 : size;
    bits = bit_length(static_cast<uint64_t>(size - 1)) / 2;
    left = static_cast<uint32_t>(((size - 1) >> bits) + 1);
    tail = static_cast<uint32_t>(size - (static_cast<int64_t>(left - 1) << bits));
    const int known = bits < 1 ? 1 : bits;
    rounds = 2 * ((15 + known) / known);
    rounds = rounds < 6 ? 6 : rounds;
  }

  // What takes the right half out of a hash: its last `bits` bits, from the top.
  BRAINJAX_INLINE uint32_t mask() const { return (uint32_t{1} << bits) - 1; }
  BRAINJAX_INLINE int shift() const { return bits ? 32 - bits : 0; }

  int bits;       // of the right half
  uint32_t left;  // the left half is below this
  uint32_t tail;  // where it is the largest, the right half is below this
  int rounds;     // even, at most 32
};

BRAINJAX_INLINE uint32_t mixed(uint32_t x, uint32_t key) {
  x = x * 0x9E3779B1u + key;
  x = (x ^ x >> 16) * 0x85EBCA6Bu;
  return (x ^ x >> 13) * 0xC2B2AE35u;
}

// The keys of the `turn`-th two rounds of the permutation of a row.
BRAINJAX_INLINE void turn_keys(const uint32_t* key, uint32_t row, int turn, uint32_t& left,
                               uint32_t& right) {
  left = row, right = static_cast<uint32_t>(turn);
  threefry(key[0], key[1], left, right);
}

// Two rounds. `shift` is 32 - bits, and `mask` has the bits; with none, both are 0.
BRAINJAX_INLINE void two_rounds(uint32_t size, int shift, uint32_t mask, uint32_t left_key,
                                uint32_t right_key, uint32_t& left, uint32_t& right) {
  const uint32_t sum = left + multiply_high(mixed(right, left_key), size);
  const uint32_t wrapped = sum - size;  // size <= 2^31, so a difference below 0 is the larger one
  left = sum < wrapped ? sum : wrapped;
  right ^= mixed(left, right_key) >> shift & mask;
}

BRAINJAX_INLINE bool outside(uint32_t size, uint32_t tail, uint32_t left, uint32_t right) {
  return (left == size - 1) & (right >= tail);
}

// `slot` divided by a degree; `reciprocal` of ops/_procedural.py.
BRAINJAX_INLINE int32_t divided(uint64_t slot, uint64_t reciprocal, int shift) {
  const auto product = static_cast<unsigned __int128>(slot << 2) * reciprocal;
  return static_cast<int32_t>(static_cast<uint64_t>(product >> 64) >> shift);
}

// `at + by` if that is on the line of `size` points, or around it; -1 if it is beyond its end.
BRAINJAX_INLINE int64_t moved(int64_t at, int64_t by, int64_t size, bool periodic) {
  const int64_t to = at + by;
  if (to >= 0 && to < size) return to;
  return periodic ? (to % size + size) % size : -1;
}

// ---- factors ---------------------------------------------------------------------------------

// The cell of the table that a word falls into, and how far into it, from 0 to 1.
template <class T>
BRAINJAX_INLINE int32_t quantile_cell(uint32_t word, T& within) {
  constexpr int kRest = 30 - kCellsLog2;
  const int32_t distance = static_cast<int32_t>(word >> 1 | 1u);
  // The exponent of a float says which bit leads; without the bit below it cannot round up.
  const float leading = static_cast<float>(distance & ~(distance >> 1));
  int32_t exponent;
  memcpy(&exponent, &leading, sizeof(exponent));
  const int32_t octave = (exponent >> 23) - 127;
  const uint32_t scaled = static_cast<uint32_t>(distance) << (30 - octave);
  const int32_t eighth = static_cast<int32_t>(scaled >> kRest & ((1u << kCellsLog2) - 1));
  const int32_t rest = static_cast<int32_t>(scaled & ((1u << kRest) - 1));
  within = static_cast<T>(rest) * (T{1} / (1 << kRest));
  return ((static_cast<int32_t>(word & 1u) * kOctaves + octave) << kCellsLog2) + eighth;
}

// The quantile there: a cubic, kept between the two numbers behind the cells of the table.
template <class T>
BRAINJAX_INLINE T quantile(const T* table, int32_t cell, T x) {
  const T low = table[4 * kCells], high = table[4 * kCells + 1];
  const T* c = table + 4 * cell;
  T value = ((c[3] * x + c[2]) * x + c[1]) * x + c[0];
  value = value < low ? low : value;
  return value > high ? high : value;
}

}  // namespace brainjax
