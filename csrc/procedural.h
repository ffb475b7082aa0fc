// Connections that are not stored: the synapses of a neuron, made anew from a counter-based stream.
//
// The arithmetic is that of ops/_procedural.py, to the bit; what the kinds mean stands there.

#pragma once

#include <cstdint>

namespace brainjax {

constexpr int64_t kRowBlock = 512;  // positions worked on at a time: some KiB, so in the cache

// The numbers 0..size - 1 permuted, size <= 2^62; `Permutation` of ops/_procedural.py.
struct Permutation {
  explicit Permutation(int64_t size);

  int bits;       // of the right half
  uint32_t left;  // the left half is below this
  uint32_t tail;  // where it is the largest, the right half is below this
  int rounds;     // even, at most 32
};

// A matrix that is not stored. The pointers are the caller's.
struct Procedural {
  enum Kind : int64_t { kWithReplacement, kWithoutReplacement, kInDegree, kDistance };

  // Arguments:
  // - numbers: `Procedural.numbers()` of ops/_procedural.py: kind, num_pre, num_post, hollow, degree,
  //   rows and columns of the grid, reach along either, periodic.
  // - words: the two words of the key.
  // - where: the beginnings of rows, int64[num_pre + 1]; for `kDistance` the thresholds,
  //   uint32[(2 ry + 1) (2 rx + 1)].
  // - table: the quantile table of the factors, of the type asked for in `procedural_row`, or null.
  Procedural(const int64_t* numbers, const uint32_t* words, const void* where, const void* table);

  // The number of positions in the row of `source`.
  int64_t length(int64_t source) const;

  int64_t kind, num_pre, num_post, hollow, degree, ny, nx, ry, rx, periodic;
  const void* where;
  const void* table;
  uint32_t targets[2], factors[2];  // the keys of the two purposes
  Permutation permutation;
  uint64_t reciprocal;  // of `degree`, which makes a division a product
  int shift;
};

// Writes targets and factors of the positions first..first + count of the row of `source`, in this
// order; positions of `kDistance` that hold no synapse are left out. How many were written.
//
// There must be room for `count` of each, `count` is at most `kRowBlock`, and the positions are
// within the row. Without a table `factor` is not touched. Defined for float and double.
template <class T>
int64_t procedural_row(const Procedural& p, int64_t source, int64_t first, int64_t count,
                       int32_t* target, T* factor);

}  // namespace brainjax
