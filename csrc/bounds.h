// Indices and offsets that lead out of an array are found where they are followed, and not followed.
//
// Python sees the contents of concrete arrays alone (brainjax/ops/_check_rows.py); a network that is
// an argument of a compiled function is known here. Offsets are compared once a group. Listed targets
// are compared one by one beside an addition, where several stand side by side, and in vectors before
// the sums of a row: each is the quicker there.

#pragma once

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <type_traits>

#include "inline.h"
#include "xla/ffi/api/ffi.h"

namespace brainjax {

// What was found to lead out, in a call. Threads may find several things at a time: one stands.
class Fault {
 public:
  // The sentence that says it, as `printf` takes it.
  __attribute__((cold, noinline, format(printf, 2, 3))) void report(const char* format, ...) {
    if (found_.exchange(true)) return;
    char text[256];
    va_list numbers;
    va_start(numbers, format);
    std::vsnprintf(text, sizeof(text), format, numbers);
    va_end(numbers);
    text_ = text;
  }

  // The error of the call, once all threads are done; the next call begins without one.
  xla::ffi::Error take() {
    if (!found_.load(std::memory_order_relaxed)) return xla::ffi::Error::Success();
    found_.store(false, std::memory_order_relaxed);
    return xla::ffi::Error::InvalidArgument(
        "deliver: " + text_ +
        " Traced contents are read when they are followed: brainjax.ops.check_rows(rows, layout) "
        "checks them all, outside of jit.");
  }

 private:
  std::atomic<bool> found_{false};
  std::string text_;
};

// The accumulators that a projection may reach: `begin` and those before `end`.
struct Reach {
  int64_t begin = 0, end = 0;
  Fault* fault = nullptr;
  int projection = 0;  // which of the network
  // Of targets, that are counted from an origin: those from `low` to before `high` lie within.
  uint32_t low = 0, high = 0;

  // `most`: what such a target may be.
  void count_from(int64_t origin, int64_t most) {
    const int64_t first = std::clamp<int64_t>(begin - origin, 0, most + 1);
    low = static_cast<uint32_t>(first);
    high = static_cast<uint32_t>(std::clamp<int64_t>(end - origin, first, most + 1));
  }

  bool holds(int64_t target) const { return static_cast<uint32_t>(target) - low < high - low; }

  // Whether targets lie within, which begin at `at` of those of the projection. They are compared in
  // vectors, of which the last lies over the one before.
  template <class Index>
  bool hold(const Index* target, int64_t count, int64_t at) const {
    using Word = std::make_unsigned_t<Index>;
    using Signed = std::make_signed_t<Index>;
    typedef Word Words __attribute__((vector_size(16)));
    typedef Signed SignedWords __attribute__((vector_size(16)));
    constexpr int64_t kWords = 16 / sizeof(Word);
    if (low == high || count < kWords) {
      for (int64_t s = 0; s < count; ++s) {
        if (!holds(target[s])) return lost(target, at, s);
      }
      return true;
    }
    // What is counted from `low` is not negative, and less 2^15 or 2^31 it is as ordered with a sign.
    constexpr uint32_t kHalf = uint32_t{1} << (8 * sizeof(Word) - 1);
    const Words shift = Words{} + static_cast<Word>(low + kHalf);
    const SignedWords last = SignedWords{} + static_cast<Signed>(high - low - 1 - kHalf);
    SignedWords beyond{};
    const auto compare = [&](const Index* from) {
      Words some;
      std::memcpy(&some, from, sizeof(some));
      beyond |= (SignedWords)(some - shift) > last;
    };
    const Index *from = target, *const end = target + count - kWords;
#pragma GCC unroll 4
    for (; from < end; from += kWords) compare(from);
    compare(end);
    uint64_t any[2];
    std::memcpy(any, &beyond, sizeof(any));
    if (__builtin_expect(!(any[0] | any[1]), 1)) return true;
    int64_t s = 0;
    while (holds(target[s])) ++s;
    return lost(target, at, s);
  }

  // Whether `count` accumulators from `first` on lie within.
  bool spans(int64_t first, int64_t count) const {
    if (!count || (begin <= first && first + count <= end)) return true;
    fault->report("rows[%d].origin: got synapses to accumulators from %" PRId64 " to %" PRId64
                  ", expected some from %" PRId64 " to %" PRId64 ".",
                  projection, first, first + count - 1, begin, end - 1);
    return false;
  }

  // Says that target s of those that begin at `at` is not within.
  template <class Index>
  __attribute__((cold, noinline)) bool lost(const Index* target, int64_t at, int64_t s) const {
    fault->report("rows[%d].target: got %" PRId64 " at position %" PRId64 ", expected at least %" PRIu32
                  " and below %" PRIu32 ".",
                  projection, static_cast<int64_t>(target[s]), at + s, low, high);
    return false;
  }
};

// Where the accumulators of a piece are counted from, as one address: GCC would add up its parts anew
// for each synapse.
template <class T>
inline T* from_origin(T* sum, int64_t origin) {
  sum += origin;
  asm("" : "+r"(sum));
  return sum;
}

// The targets of a piece that are listed: synapse s ends `targets[s]` accumulators behind `origin`.
template <class Index>
struct Listed {
  const Index* __restrict target;
  int64_t origin;
  int64_t at;  // where the piece begins
  const Reach* reach;

  int64_t operator[](int64_t s) const { return target[s]; }
  void lost(int64_t s) const { reach->lost(target, at, s); }
};

// Of few projections are targets counted from before the first accumulator they may reach. These are
// compared apart, so that one comparison does for the others.
template <class Index>
__attribute__((noinline)) bool hold_apart(const Reach& reach, const Index* target, int64_t count,
                                          int64_t at) {
  return reach.hold(target, count, at);
}

// Those that are counted. They lie within: `Reach::spans` is asked before there is a piece of them.
struct Counted {
  int64_t origin;

  int64_t operator[](int64_t s) const { return s; }
};

// Calls f(s, targets[s]) for the synapses of a piece in order, as far as they lie within.
template <class Index, class F>
inline __attribute__((always_inline)) void for_each_target(int64_t count, Listed<Index> to, F f) {
  if (to.reach->low && !hold_apart(*to.reach, to.target, count, to.at)) return;
  const uint32_t high = to.reach->high;
  const auto holds = [&](int64_t s) {
    return __builtin_expect(static_cast<uint32_t>(to.target[s]) < high, 1);
  };
#pragma GCC unroll 8
  for (int64_t s = 0; s < count; ++s) {
    if (!holds(s)) return to.lost(s);
    f(s, to[s]);
  }
}

template <class F>
inline __attribute__((always_inline)) void for_each_target(int64_t count, Counted to, F f) {
  for (int64_t s = 0; s < count; ++s) f(s, to[s]);
}

}  // namespace brainjax
