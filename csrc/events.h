// Finding the neurons that spiked: silence must cost next to nothing.

#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define BRAINJAX_EVERY_WIDTH \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BRAINJAX_EVERY_WIDTH
#endif

namespace brainjax {

// The bits of a floating-point number that are not its sign: zero for 0 and -0 alone.
template <class T>
struct Bits;
template <>
struct Bits<float> {
  using Word = uint32_t;
  static constexpr Word kMagnitude = 0x7fffffffu;
};
template <>
struct Bits<double> {
  using Word = uint64_t;
  static constexpr Word kMagnitude = 0x7fffffffffffffffull;
};

constexpr int64_t kBlock = 64;
constexpr int64_t kFew = 8;  // of a block

// Whether one of `n` numbers is not zero.
template <class T>
inline __attribute__((always_inline)) bool any_of(const T* x, int64_t n) {
  typename Bits<T>::Word any = 0;
  for (int64_t j = 0; j < n; ++j) {
    typename Bits<T>::Word word;
    std::memcpy(&word, x + j, sizeof(word));
    any |= word & Bits<T>::kMagnitude;
  }
  return any != 0;
}

// The starts of the blocks of `kBlock` numbers that are not all zero; how many there are.
template <class T>
inline __attribute__((always_inline)) int64_t busy_blocks_of(const T* x, int64_t n, int32_t* out) {
  int64_t count = 0;
  for (int64_t i = 0; i + kBlock <= n; i += kBlock) {
    out[count] = static_cast<int32_t>(i);
    count += any_of(x + i, kBlock);
  }
  return count;
}

int64_t busy_blocks(const float* x, int64_t n, int32_t* out);
int64_t busy_blocks(const double* x, int64_t n, int32_t* out);

// Calls `visit(i)` for each i with x[i] != 0, ascending.
template <class T, class Visit>
inline void for_each_event(const T* x, int64_t n, Visit visit) {
  static thread_local std::vector<int32_t> blocks;
  const int64_t whole = n / kBlock;
  if (static_cast<int64_t>(blocks.size()) < whole + 1) blocks.resize(whole + 1);
  const int64_t count = busy_blocks(x, n, blocks.data());
  for (int64_t b = 0; b < count; ++b) {
    for (int64_t i = blocks[b]; i < blocks[b] + kBlock; i += kFew) {
      if (!any_of(x + i, kFew)) continue;
      for (int64_t k = i; k < i + kFew; ++k) {
        if (x[k] != 0) visit(k);
      }
    }
  }
  for (int64_t i = whole * kBlock; i < n; ++i) {
    if (x[i] != 0) visit(i);
  }
}

// Calls `visit(i)` for each i with x[i] != 0 or y[i] != 0, ascending.
template <class T, class Visit>
inline void for_each_event(const T* x, const T* y, int64_t n, Visit visit) {
  for (int64_t i = 0; i < n; ++i) {
    if (x[i] != 0 || y[i] != 0) visit(i);
  }
}

}  // namespace brainjax
