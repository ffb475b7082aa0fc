// Work shared with XLA's thread pool, from within a handler.

#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace brainjax {

// To wake a thread of the pool takes 5 to 50 us, and a loop calls again at once. So a helper that has
// nothing left to do stays awake for this long before it goes back to the pool.
constexpr std::chrono::microseconds kAwake{50};
// From so much work on, in instructions a neuron: 100 of them take about a nanosecond where vectors have
// 512 bits, and to hand work to another thread takes 1 to 3 us.
constexpr int64_t kShareFrom = 2'000'000;
constexpr int64_t kBlockCost = 500'000;  // of what a thread takes at a time
constexpr int kPatience = 3, kRest = 100;  // jobs, and calls: see Seat::help

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

// Pieces of work numbered from 0 to before `count`, for `threads` threads.
struct Job {
  Job(int64_t count, int64_t threads, void (*run)(const void*, int64_t), const void* work)
      : count(count), threads(threads), run(run), work(work), next(threads) {}

  const int64_t count, threads;
  void (*const run)(const void* work, int64_t i);
  const void* const work;  // gone when all is done: not followed by who comes late
  std::vector<std::atomic<int64_t>> next;
  std::atomic<int64_t> done{0};

  bool finished() const { return done.load(std::memory_order_acquire) == count; }

  // The k-th thread begins with pieces k, k + threads, ..., so that in a loop it meets what is still
  // in its cache, and then helps the others. Returns whether there was anything left to do.
  bool take_part(int64_t k) {
    bool any = false;
    for (int64_t other = 0; other < threads; ++other) {
      const int64_t first = (k + other) % threads;
      int64_t i;
      while ((i = first + threads * next[first].fetch_add(1, std::memory_order_relaxed)) < count) {
        run(work, i);
        any = true;
        done.fetch_add(1, std::memory_order_release);
      }
    }
    return any;
  }
};

// Where the k-th helper finds its jobs. It has one helper at a time, so calls that come faster than
// the system lets it run do not wake one after the other.
class Seat {
 public:
  enum Answer { kNobodyHere, kComing, kBusy, kResting };

  // Leaves a job here. If nobody is here, the caller sends a helper.
  Answer leave(const std::shared_ptr<Job>& job) {
    int state = state_.load(std::memory_order_relaxed);
    if (state == kWorking || state == kLocked) return kBusy;
    if (!state_.compare_exchange_strong(state, kLocked, std::memory_order_acquire)) return kBusy;
    if (state == kEmpty && rest_ > 0) {
      --rest_;
      state_.store(kEmpty, std::memory_order_release);
      return kResting;
    }
    if (state != kCalled || job_->finished()) job_ = job;
    state_.store(kCalled, std::memory_order_release);
    return state == kEmpty ? kNobodyHere : kComing;
  }

  // What a helper does that was sent here. One that comes too late again and again has no core to
  // itself, and would only take the caller's: it leaves, and none is sent for a number of calls.
  void help(int64_t k) {
    int late = 0;
    do {
      int called = kCalled;
      while (!state_.compare_exchange_weak(called, kWorking, std::memory_order_acquire)) {
        called = kCalled;
      }
      late = std::shared_ptr<Job>(std::move(job_))->take_part(k) ? 0 : late + 1;
      if (late == kPatience) {
        rest_ = kRest;
        state_.store(kEmpty, std::memory_order_release);
        return;
      }
      state_.store(kWaiting, std::memory_order_release);
    } while (called_again());
  }

 private:
  enum { kEmpty, kCalled, kLocked, kWorking, kWaiting };

  bool called_again() {
    const auto end = std::chrono::steady_clock::now() + kAwake;
    for (int spins = 1; state_.load(std::memory_order_relaxed) == kWaiting; ++spins) {
      relax();
      if (spins % 32) continue;
      std::this_thread::yield();  // to the caller, should it be on this core
      int waiting = kWaiting;
      if (std::chrono::steady_clock::now() > end &&
          state_.compare_exchange_strong(waiting, kEmpty, std::memory_order_relaxed)) {
        return false;
      }
    }
    return true;
  }

  alignas(64) std::atomic<int> state_{kEmpty};
  std::shared_ptr<Job> job_;
  int rest_ = 0;
};

using Seats = std::array<Seat, 64>;

inline Seats& seats() {
  static Seats* const all = new Seats;  // outlives every thread of a pool
  return *all;
}

// Calls `work(i)` for each i < count, each once, on this thread and on those of the pool that are
// free. Returns when all are done. This thread takes part and waits only for what another has begun,
// so a pool that is busy, or has no thread but this one, costs time and nothing else.
template <class Work>
void share(xla::ffi::ThreadPool& pool, int64_t count, const Work& work) {
  const int64_t threads =
      std::min<int64_t>({pool.num_threads(), count, static_cast<int64_t>(seats().size())});
  if (threads < 2) {
    for (int64_t i = 0; i < count; ++i) work(i);
    return;
  }
  const auto run = [](const void* work, int64_t i) { (*static_cast<const Work*>(work))(i); };
  const auto job = std::make_shared<Job>(count, threads, run, &work);
  for (int64_t k = 1; k < threads; ++k) {
    const auto answer = seats()[k].leave(job);
    if (answer == Seat::kNobodyHere) pool.Schedule([k] { seats()[k].help(k); });
    if (answer == Seat::kBusy) pool.Schedule([job, k] { job->take_part(k); });
  }
  job->take_part(0);
  for (int spins = 0; !job->finished(); ++spins) {
    spins < 1000 ? relax() : std::this_thread::yield();
  }
}

}  // namespace brainjax
