#include "events.h"

namespace brainjax {

BRAINJAX_EVERY_WIDTH int64_t busy_blocks(const float* x, int64_t n, int32_t* out) {
  return busy_blocks_of(x, n, out);
}

BRAINJAX_EVERY_WIDTH int64_t busy_blocks(const double* x, int64_t n, int32_t* out) {
  return busy_blocks_of(x, n, out);
}

}  // namespace brainjax
