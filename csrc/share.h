// Work shared with XLA's thread pool, from within a handler.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "xla/ffi/api/ffi.h"

namespace brainjax {

// Calls `work(i)` for each i < count, each once, on this thread and on those of the pool that are
// free. Returns when all are done. This thread takes part and waits only for what another has begun,
// so a pool that is busy, or has no thread but this one, costs time and nothing else.
template <class Work>
void share(xla::ffi::ThreadPool& pool, int64_t count, const Work& work) {
  struct Progress {
    std::atomic<int64_t> next{0}, done{0};
  };
  // A thread that comes late finds nothing left: it may outlive this call, hence `work` as a pointer
  // that it then does not follow.
  const auto progress = std::make_shared<Progress>();
  const auto take_part = [progress, count, work = &work] {
    for (int64_t i; (i = progress->next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      (*work)(i);
      progress->done.fetch_add(1, std::memory_order_release);
    }
  };
  const int64_t helpers = std::min(pool.num_threads(), count) - 1;
  for (int64_t h = 0; h < helpers; ++h) pool.Schedule([take_part] { take_part(); });
  take_part();
  for (int spins = 0; progress->done.load(std::memory_order_acquire) < count; ++spins) {
    if (spins > 1000) std::this_thread::yield();
  }
}

}  // namespace brainjax
