// How kernels are written and launched: by nvcc on a GPU, by a C++ compiler as loops, for tests.
//
// A kernel is a functor. Its block of threads works in phases: in a phase every number below a count
// is worked on by some thread, and then all wait for each other. What one phase hands to the next is in
// the block's `Shared` memory, or in the device's. So the threads of a block may be a loop, and that is
// what they are where there is no GPU: in an order that changes from phase to phase, as does that of
// the blocks, since no result may depend on either.
//
// What decides whether there is another phase must be the same for all threads: a number from outside,
// or what `any` and `broadcast` return.

#pragma once

#include <cstdint>

#include "xla/ffi/api/ffi.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#define BRAINJAX_DEVICE __device__ __forceinline__
#else
#include <cstdlib>
#include <cstring>
#define BRAINJAX_DEVICE inline
#endif

namespace brainjax::cuda {

namespace ffi = xla::ffi;

// Threads of a block, and of those that share a row. Phases wait for memory, so many are better than
// few; in a loop few, so that the small networks of tests need several rounds of everything.
#if !defined(BRAINJAX_THREADS)
#if defined(__CUDACC__)
#define BRAINJAX_THREADS 512
#define BRAINJAX_LANES 32
#else
#define BRAINJAX_THREADS 8
#define BRAINJAX_LANES 4
#endif
#endif
constexpr int kThreads = BRAINJAX_THREADS, kLanes = BRAINJAX_LANES;

#if defined(__CUDACC__)
using Stream = cudaStream_t;
inline auto bind() { return ffi::Ffi::Bind().Ctx<ffi::PlatformStream<cudaStream_t>>(); }
#else
using Stream = ffi::ThreadPool;
inline auto bind() { return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>(); }

// Numbers below a count in an order of their own, another one each time.
class Shuffled {
 public:
  explicit Shuffled(int64_t count) : count_(count) {
    static const uint64_t seed = [] {
      const char* given = std::getenv("BRAINJAX_EMULATED_SEED");
      return given ? std::strtoull(given, nullptr, 10) : 0;
    }();
    static thread_local uint64_t state = 0;
    state = (state + seed) * 6364136223846793005ull + 1442695040888963407ull;
    backward_ = state >> 63;
    first_ = count ? static_cast<int64_t>((state >> 33) % static_cast<uint64_t>(count)) : 0;
  }
  int64_t operator[](int64_t k) const {
    const int64_t i = (first_ + k) % count_;
    return backward_ ? count_ - 1 - i : i;
  }

 private:
  int64_t count_, first_;
  bool backward_;
};
#endif

class Block {
 public:
  BRAINJAX_DEVICE explicit Block(int64_t index) : index(index) {}

#if defined(__CUDACC__)
  // Calls f(i) for each i < count.
  template <class F>
  BRAINJAX_DEVICE void each(int count, F f) const {
    for (int i = threadIdx.x; i < count; i += kThreads) f(i);
    __syncthreads();
  }

  // The same; whether any call returned true.
  template <class F>
  BRAINJAX_DEVICE bool any(int count, F f) const {
    bool found = false;
    for (int i = threadIdx.x; i < count; i += kThreads) found |= f(i);
    return __syncthreads_or(found);
  }

  // A number in shared memory, for all threads, before it is written again.
  template <class T>
  BRAINJAX_DEVICE T broadcast(const T& x) const {
    const T value = x;
    __syncthreads();
    return value;
  }
#else
  template <class F>
  void each(int count, F f) const {
    const Shuffled order(count);
    for (int k = 0; k < count; ++k) f(static_cast<int>(order[k]));
  }
  template <class F>
  bool any(int count, F f) const {
    bool found = false;
    each(count, [&](int i) { found |= f(i); });
    return found;
  }
  template <class T>
  T broadcast(const T& x) const { return x; }
#endif

  const int64_t index;
};

BRAINJAX_DEVICE void atomic_min(int32_t* at, int32_t x) {
#if defined(__CUDACC__)
  atomicMin(at, x);
#else
  *at = x < *at ? x : *at;
#endif
}

BRAINJAX_DEVICE void atomic_add(int32_t* at, int32_t x) {
#if defined(__CUDACC__)
  atomicAdd(at, x);
#else
  *at += x;
#endif
}

constexpr size_t kMostArguments = 32764;  // bytes, of a kernel

#if defined(__CUDACC__)

inline ffi::Error checked(cudaError_t error) {
  if (error == cudaSuccess) return ffi::Error::Success();
  return ffi::Error::Internal(std::string("brainjax: ") + cudaGetErrorString(error));
}

template <class Kernel>
__global__ void __launch_bounds__(kThreads) run(const __grid_constant__ Kernel kernel) {
  extern __shared__ __align__(16) char memory[];
  kernel(Block(blockIdx.x), *reinterpret_cast<typename Kernel::Shared*>(memory));
}

template <class Kernel>
ffi::Error launch(const Stream& stream, int64_t blocks, const Kernel& kernel) {
  static_assert(sizeof(Kernel) <= kMostArguments);
  constexpr int kBytes = sizeof(typename Kernel::Shared);
  if (kBytes > 48 * 1024) {  // more than that is given to those who ask, up to 99 kB anywhere
    const cudaError_t error =
        cudaFuncSetAttribute(run<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
    if (error != cudaSuccess) return checked(error);
  }
  if (blocks) run<<<static_cast<unsigned>(blocks), kThreads, kBytes, stream>>>(kernel);
  return checked(cudaGetLastError());
}

inline ffi::Error copy(const Stream& stream, void* to, const void* from, int64_t bytes) {
  if (to == from || !bytes) return ffi::Error::Success();
  return checked(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream));
}

inline int64_t multiprocessors() {
  int device = 0, count = 1;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count;
}

#else

template <class Kernel>
ffi::Error launch(const Stream&, int64_t blocks, const Kernel& kernel) {
  static_assert(sizeof(Kernel) <= kMostArguments);
  const Shuffled order(blocks);
  for (int64_t k = 0; k < blocks; ++k) {
    typename Kernel::Shared shared;
    std::memset(static_cast<void*>(&shared), 0xa5, sizeof(shared));  // it holds anything
    kernel(Block(order[k]), shared);
  }
  return ffi::Error::Success();
}

inline ffi::Error copy(const Stream&, void* to, const void* from, int64_t bytes) {
  if (to != from && bytes) std::memcpy(to, from, bytes);
  return ffi::Error::Success();
}

inline int64_t multiprocessors() { return 2; }

#endif

// Inclusive sums of the `count` <= kThreads numbers in `x`, which are then in `x`; their total. `spare`
// is as long.
BRAINJAX_DEVICE int64_t sums(const Block& block, int64_t* x, int64_t* spare, int count) {
  if (!count) return 0;
  int64_t *from = x, *to = spare;
  for (int step = 1; step < count; step *= 2) {
    block.each(count, [=](int i) { to[i] = i < step ? from[i] : from[i] + from[i - step]; });
    int64_t* const done = to;
    to = from, from = done;
  }
  if (from != x) block.each(count, [=](int i) { x[i] = from[i]; });
  return block.broadcast(x[count - 1]);
}

// The first i whose number exceeds `value`, of `count` numbers in order; `count` if none does.
template <class T>
BRAINJAX_DEVICE int first_above(const T* x, int count, int64_t value) {
  int low = 0, high = count;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (x[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

// The slot of a step, of `num_slots`.
BRAINJAX_DEVICE int32_t slot_of(int64_t step, int64_t num_slots) {
  return static_cast<int32_t>((step % num_slots + num_slots) % num_slots);
}

// Where part i of those with inclusive sums `end` begins.
BRAINJAX_DEVICE int64_t begin_of(const int64_t* end, int i) { return i ? end[i - 1] : 0; }

}  // namespace brainjax::cuda
