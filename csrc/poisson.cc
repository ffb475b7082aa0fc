// Poisson numbers of one mean for many neurons: brainjax/ops/_poisson.py.
//
// A number is how many of the falling thresholds exceed 32 random bits. The upper 16 bits of four
// neighbours are one block of Threefry, and they decide but for one neuron in some thousand: where
// they equal the upper half of a threshold, or reach into the tail. Only there the lower bits are
// drawn and all thresholds read.

#include <array>
#include <vector>

#include "batch.h"
#include "events.h"
#include "frame.h"
#include "share.h"

namespace brainjax {
namespace {

using Lanes = int16_t __attribute__((vector_size(32)));
using Words = uint32_t __attribute__((vector_size(32)));

constexpr int64_t kLanes = 16, kVectors = 8, kBlocks = 8 * kVectors, kHalves = 4 * kBlocks;
constexpr int64_t kGroup = kHalves - 4;  // neurons at a time: their first may lie within a block
constexpr int64_t kChunk = 32 * kGroup;  // neurons that a thread takes at a time
constexpr uint32_t kLowerBits = 1u << 31;  // in the counter, beside the index
constexpr uint32_t kTail = 1u << 21;  // thresholds below are in the tail

struct Draw {
  uint32_t key[3], step, first;
  std::vector<uint32_t> thresholds;
  std::vector<int16_t> upper;  // the upper halves less 2^15, of those before the tail, kLanes times
  int16_t tail;  // the largest upper half in the tail, less 2^15
};

// Twenty rounds, on `kMany` pairs side by side since each round waits for the one before. Eight pairs
// of vectors take 77 169 neurons from 40 to 32 us; the third word of the key has been made.
template <int kMany, class Word>
inline void threefry(const uint32_t* key, Word* x0, Word* x1) {
  constexpr int kRotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
#pragma GCC unroll 6
  for (int i = 0; i <= 5; ++i) {
#pragma GCC unroll 8
    for (int m = 0; m < kMany; ++m) {
      x0[m] += key[i % 3];
      x1[m] += key[(i + 1) % 3] + i;
    }
    if (i == 5) break;
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const int bits = kRotations[i % 2][j];
#pragma GCC unroll 8
      for (int m = 0; m < kMany; ++m) {
        x0[m] += x1[m];
        x1[m] = ((x1[m] << bits) | (x1[m] >> (32 - bits))) ^ x0[m];
      }
    }
  }
}

inline int16_t signed_half(uint32_t upper) { return static_cast<int16_t>(upper ^ 0x8000u); }

// From all 32 bits.
uint8_t decided(const Draw& draw, uint32_t index, int16_t half) {
  uint32_t x0 = index | kLowerBits, x1 = draw.step;
  threefry<1>(draw.key, &x0, &x1);
  const uint32_t upper = static_cast<uint16_t>(half) ^ 0x8000u;
  const uint32_t bits = upper << 16 | x0 >> 16;
  int count = 0;
  for (uint32_t t : draw.thresholds) count += bits < t;
  return static_cast<uint8_t>(count);
}

// Neurons first, first + 1, ... of the population, `size` of them, at most kGroup.
BRAINJAX_EVERY_WIDTH
void draw_group(const Draw& draw, uint32_t first, int64_t size, uint8_t* counts) {
  Words x0[kVectors], x1[kVectors];
  for (int m = 0; m < kVectors; ++m) {
    x0[m] = Words{0, 1, 2, 3, 4, 5, 6, 7} + (first / 4 + 8 * m);
    x1[m] = Words{} + draw.step;
  }
  threefry<kVectors>(draw.key, x0, x1);
  uint32_t first_words[kBlocks], second_words[kBlocks], words[2 * kBlocks];
  std::memcpy(first_words, x0, sizeof x0);
  std::memcpy(second_words, x1, sizeof x1);
  for (int64_t i = 0; i < kBlocks; ++i) {
    words[2 * i] = first_words[i] ^ 0x80008000u;
    words[2 * i + 1] = second_words[i] ^ 0x80008000u;
  }
  alignas(64) int16_t halves[kHalves];
  std::memcpy(halves, words, sizeof halves);  // the lower half of a word comes first
  alignas(64) int16_t number[kHalves], open[kHalves];
  const int64_t num_upper = draw.upper.size();
  Lanes any{};
  for (int64_t i = 0; i < kHalves; i += 4 * kLanes) {
    Lanes half[4], count[4] = {}, undecided[4];
    std::memcpy(half, halves + i, sizeof half);
    for (int j = 0; j < 4; ++j) undecided[j] = half[j] <= draw.tail;
    for (int64_t k = 0; k < num_upper; k += kLanes) {
      Lanes upper;
      std::memcpy(&upper, draw.upper.data() + k, sizeof upper);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        count[j] -= half[j] < upper;
        undecided[j] |= half[j] == upper;
      }
    }
    for (int j = 0; j < 4; ++j) any |= undecided[j];
    std::memcpy(number + i, count, sizeof count);
    std::memcpy(open + i, undecided, sizeof undecided);
  }
  const int64_t skipped = first % 4;
  for (int64_t i = 0; i < size; ++i) counts[i] = static_cast<uint8_t>(number[skipped + i]);
  uint64_t found[4];
  std::memcpy(found, &any, sizeof any);
  if ((found[0] | found[1] | found[2] | found[3]) == 0) return;
  for (int64_t i = 0; i < kHalves; i += 4) {
    uint64_t four;
    std::memcpy(&four, open + i, sizeof four);
    if (four == 0) continue;
    for (int64_t j = std::max(i, skipped); j < std::min(i + 4, skipped + size); ++j) {
      if (open[j]) counts[j - skipped] = decided(draw, first + (j - skipped), halves[j]);
    }
  }
}

// What is drawn next for an example. Operands: the two words of the key, the step, the index of the first
// neuron, and the thresholds.
void read(const std::vector<Operand>& args, const Batch& batch, Draw& draw) {
  const auto word = [&](size_t i) { return *batch.at<uint32_t>(args[i]); };
  draw.key[0] = word(0);
  draw.key[1] = word(1);
  draw.key[2] = draw.key[0] ^ draw.key[1] ^ 0x1BD11BDAu;
  draw.step = word(2);
  draw.first = word(3);
  draw.thresholds.clear();
  draw.upper.clear();
  draw.tail = signed_half(0);
  for (size_t i = 4; i < args.size(); ++i) draw.thresholds.push_back(word(i));
  for (uint32_t t : draw.thresholds) {
    if (t < kTail) {
      draw.tail = signed_half(t >> 16);
      break;
    }
    draw.upper.insert(draw.upper.end(), kLanes, signed_half(t >> 16));
  }
}

int64_t chunks_of(int64_t size) { return (size + kChunk - 1) / kChunk; }

void draw_chunk(const Draw& draw, int64_t chunk, int64_t size, uint8_t* counts) {
  const int64_t end = std::min(size, (chunk + 1) * kChunk);
  for (int64_t i = chunk * kChunk; i < end; i += kGroup) {
    draw_group(draw, draw.first + i, std::min(kGroup, end - i), counts + i);
  }
}

ffi::Error poisson(ffi::ThreadPool pool, ffi::RemainingArgs remaining, ffi::RemainingRets results,
                   int64_t rank) {
  const auto args = operands(remaining), rets = operands(results);
  Batch batch(rank, rets[0]);
  Draw draw;
  for (int64_t e = 0; e < batch.size(); ++e) {
    batch.go_to(e);
    read(args, batch, draw);
    uint8_t* const counts = batch.at<uint8_t>(rets[0]);
    const int64_t size = batch.length(rets[0]), chunks = chunks_of(size);
    const auto work = [&](int64_t c) { draw_chunk(draw, c, size, counts); };
    if (chunks > 1) {
      share(pool, chunks, work);
    } else if (chunks == 1) {
      work(0);
    }
  }
  return ffi::Error::Success();
}

}  // namespace

Work prepare_poisson(const Frame& frame) {
  constexpr int64_t kCost = 60;  // of a neuron
  const auto args = frame.operands(), rets = frame.results();
  const Batch batch(0, rets[0]);
  const auto draw = std::make_shared<Draw>();
  uint8_t* const counts = batch.at<uint8_t>(rets[0]);
  const int64_t size = batch.length(rets[0]);
  const auto begin = [args, batch, draw] {
    read(args, batch, *draw);
    return ffi::Error::Success();
  };
  const auto run = [draw, size, counts](int64_t c) { draw_chunk(*draw, c, size, counts); };
  return {begin, run, chunks_of(size), kCost * size};
}

}  // namespace brainjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(Poisson, brainjax::poisson,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("batch"));
