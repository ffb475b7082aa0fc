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

}  // namespace

BRAINJAX_EVERY_WIDTH void add_piece(float* sum, int64_t count, Counted to, const float* weight,
                                    int64_t stride, float spike) {
  add_counted(sum, count, to, weight, stride, spike);
}

BRAINJAX_EVERY_WIDTH void add_piece(double* sum, int64_t count, Counted to, const double* weight,
                                    int64_t stride, double spike) {
  add_counted(sum, count, to, weight, stride, spike);
}

}  // namespace brainjax
