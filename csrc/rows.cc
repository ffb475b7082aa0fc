#include "rows.h"

#include "events.h"

namespace brainjax {

namespace {

template <class T>
inline __attribute__((always_inline)) void add_counted(T* __restrict sum, int64_t count, Counted to,
                                                       const T* __restrict weight, int64_t stride,
                                                       T spike) {
  sum += to.origin;
  if (stride == 0) {
    const T amount = weight[0] * spike;
    for (int64_t s = 0; s < count; ++s) sum[s] += amount;
  } else {
    for (int64_t s = 0; s < count; ++s) sum[s] += weight[s] * spike;
  }
}

template <class Word, class Index>
inline __attribute__((always_inline)) bool all_hold_of(const Index* target, int64_t count,
                                                       const Reach& reach) {
  const Word low = static_cast<Word>(reach.low);
  Word most = 0;
  for (int64_t s = 0; s < count; ++s) {
    most = std::max<Word>(most, static_cast<Word>(target[s]) - low);
  }
  return !count || most < reach.high - reach.low;
}

}  // namespace

BRAINJAX_EVERY_WIDTH bool all_hold(const uint16_t* target, int64_t count, const Reach& reach) {
  return all_hold_of<uint16_t>(target, count, reach);
}

BRAINJAX_EVERY_WIDTH bool all_hold(const int32_t* target, int64_t count, const Reach& reach) {
  return all_hold_of<uint32_t>(target, count, reach);
}

BRAINJAX_EVERY_WIDTH void add_piece(float* sum, int64_t count, Counted to, const float* weight,
                                    int64_t stride, float spike) {
  add_counted(sum, count, to, weight, stride, spike);
}

BRAINJAX_EVERY_WIDTH void add_piece(double* sum, int64_t count, Counted to, const double* weight,
                                    int64_t stride, double spike) {
  add_counted(sum, count, to, weight, stride, spike);
}

}  // namespace brainjax
