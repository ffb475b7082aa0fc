// Connections that are not stored: the synapses of a neuron, made anew from a counter-based stream.
//
// The arithmetic is that of ops/_procedural.py, to the bit; what the kinds mean stands there.

#pragma once

#include <cstdint>

#include "procedural_words.h"

namespace brainjax {

constexpr int64_t kRowBlock = 512;  // positions worked on at a time: some KiB, so in the cache

// A matrix that is not stored. The pointers are the caller's.
struct Procedural {
  enum Kind : int64_t { kWithReplacement, kWithoutReplacement, kInDegree, kDistance };

  static constexpr int kNumbers = 11;

  // Arguments:
  // - numbers: `Procedural.numbers()` of ops/_procedural.py: kind, num_pre, num_post, hollow, degree,
  //   rows and columns of the grid, reach along either, periodic, grouped.
  // - words: the two words of the key.
  // - where: the beginnings of rows, int64[num_pre + 1]; for `kDistance` the thresholds,
  //   uint32[(2 ry + 1) (2 rx + 1)].
  // - table: the quantile table of the factors, of the type asked for in `procedural_row`, or null.
  BRAINJAX_INLINE Procedural(const int64_t* numbers, const uint32_t* words, const void* where,
                             const void* table)
      : kind(numbers[0]), num_pre(numbers[1]), num_post(numbers[2]), hollow(numbers[3]),
        degree(numbers[4]), ny(numbers[5]), nx(numbers[6]), ry(numbers[7]), rx(numbers[8]),
        periodic(numbers[9]), grouped(numbers[10]), where(where), table(table),
        targets{kForTargets, 0}, factors{kForFactors, 0}, positions{kForPositions, 0},
        permutation(kind == kInDegree   ? num_post * degree
                    : kind == kDistance ? mask()
                                        : num_post - hollow),
        reciprocal(0), shift(0) {
    threefry(words[0], words[1], targets[0], targets[1]);
    threefry(words[0], words[1], factors[0], factors[1]);
    threefry(words[0], words[1], positions[0], positions[1]);
    if (degree > 0) {
      shift = bit_length(static_cast<uint64_t>(degree - 1));
      const auto power = static_cast<unsigned __int128>(1) << (62 + shift);
      reciprocal = static_cast<uint64_t>((power + degree - 1) / degree);
    }
  }

  // The number of positions in the mask of `kDistance`.
  BRAINJAX_INLINE int64_t mask() const { return (2 * ry + 1) * (2 * rx + 1); }

  // How many synapses there can be.
  BRAINJAX_INLINE int64_t most() const {
    return kind == kInDegree ? num_post * degree : int64_t{1} << 62;
  }

  // Whether a row can be one of these, of which none is longer than `longest`: beyond its end, a
  // permutation need not come to an end.
  BRAINJAX_INLINE bool can_be_made(int64_t first, int64_t last, int64_t longest) const {
    return kind == kDistance || (ordered(first, last, most()) && last - first <= longest);
  }

  // The number of places in the row of `source`.
  int64_t length(int64_t source) const {
    if (kind == kDistance) return mask();
    const auto* row_ptr = static_cast<const int64_t*>(where);
    return row_ptr[source + 1] - row_ptr[source];
  }

  int64_t kind, num_pre, num_post, hollow, degree, ny, nx, ry, rx, periodic, grouped;
  const void* where;
  const void* table;
  uint32_t targets[2], factors[2], positions[2];  // the keys of the purposes
  Permutation permutation;
  uint64_t reciprocal;  // of `degree`, which makes a division a product
  int shift;
};

// Writes targets and factors of the places first..first + count of the row of `source`, in this
// order; places of `kDistance` that hold no synapse are left out. How many were written.
//
// There must be room for `count` of each, `count` is at most `kRowBlock`, and the places are
// within the row. Without a table `factor` is not touched. Defined for float and double.
template <class T>
int64_t procedural_row(const Procedural& p, int64_t source, int64_t first, int64_t count,
                       int32_t* target, T* factor);

}  // namespace brainjax
