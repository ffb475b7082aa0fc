// Work shared with XLA's thread pool, from within a handler.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace brainjax {

// Calls `work(i)` for each i < count, each once, on this thread and on those of the pool that are
// free. Returns when all are done. Of n threads the k-th begins with k, k + n, ..., so that in a loop
// a thread meets what is still in its cache, and then helps the others. This thread takes part and
// waits only for what another has begun, so a pool that is busy, or has no thread but this one, costs
// time and nothing else.
template <class Work>
void share(xla::ffi::ThreadPool& pool, int64_t count, const Work& work) {
  const int64_t threads = std::max<int64_t>(1, std::min(pool.num_threads(), count));
  struct Progress {
    explicit Progress(int64_t threads) : next(threads) {}
    std::vector<std::atomic<int64_t>> next;
    std::atomic<int64_t> done{0};
  };
  // A thread that comes late finds nothing left: it may outlive this call, hence `work` as a pointer
  // that it then does not follow.
  const auto progress = std::make_shared<Progress>(threads);
  const auto take_part = [progress, count, threads, work = &work](int64_t me) {
    for (int64_t k = 0; k < threads; ++k) {
      const int64_t first = (me + k) % threads;
      std::atomic<int64_t>& next = progress->next[first];
      for (int64_t i; (i = first + threads * next.fetch_add(1, std::memory_order_relaxed)) < count;) {
        (*work)(i);
        progress->done.fetch_add(1, std::memory_order_release);
      }
    }
  };
  for (int64_t h = 1; h < threads; ++h) pool.Schedule([take_part, h] { take_part(h); });
  take_part(0);
  for (int spins = 0; progress->done.load(std::memory_order_acquire) < count; ++spins) {
    if (spins > 1000) std::this_thread::yield();
  }
}

}  // namespace brainjax
