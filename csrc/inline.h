// How functions are marked that the host and a GPU call, and the one that says what is in order.

#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define BRAINJAX_INLINE __host__ __device__ __forceinline__
#else
#define BRAINJAX_INLINE inline __attribute__((always_inline))
#endif

namespace brainjax {

// Whether 0 <= first <= last <= stop, of which `stop` is no negative number.
BRAINJAX_INLINE bool ordered(int64_t first, int64_t last, int64_t stop) {
  return static_cast<uint64_t>(first) <= static_cast<uint64_t>(last) &&
         static_cast<uint64_t>(last) <= static_cast<uint64_t>(stop);
}

}  // namespace brainjax
