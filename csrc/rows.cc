#include "rows.h"

#include "events.h"

namespace brainjax {

BRAINJAX_EVERY_WIDTH void add_piece(float* sum, int64_t count, Counted to, const float* weight,
                                    int64_t stride, float spike) {
  add_each(sum, count, to, weight, stride, spike);
}

BRAINJAX_EVERY_WIDTH void add_piece(double* sum, int64_t count, Counted to, const double* weight,
                                    int64_t stride, double spike) {
  add_each(sum, count, to, weight, stride, spike);
}

}  // namespace brainjax
