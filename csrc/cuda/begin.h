// How a call begins: what it was handed is written to scratch memory, and its spikes are listed.

#pragma once

#include "network.h"

namespace brainjax::cuda {

// The scratch memory of a call.
template <class T>
struct Scratch {
  char* data;
  int64_t bytes_each, num_blocks, num_sources;
  int32_t num_populations, num_projections;

  BRAINJAX_DEVICE Network<T> network(int64_t example) const {
    return Network<T>(data + example * bytes_each, num_populations, num_projections, num_blocks);
  }
  BRAINJAX_DEVICE T* shared(int64_t example) const {
    return network(example).shared(num_sources);
  }
};

template <class T>
ffi::Error scratch_of(const Call& call, const Operand& given, Scratch<T>& out) {
  const int64_t each = Network<T>::bytes(call, call.num_sources, call.num_shared);
  out = {given.data, each, call.num_blocks, call.num_sources, call.num_populations,
         call.num_projections};
  if (given.bytes() >= each * call.num_examples) return ffi::Error::Success();
  return ffi::Error::Internal("brainjax: too little scratch memory for a CUDA kernel");
}

// The population whose spikes a block looks for; populations are few.
template <class Number>
BRAINJAX_DEVICE int population_of(int64_t block, int count, Number first_block) {
  int p = 0;
  while (p + 1 < count && first_block(p + 1) <= block) ++p;
  return p;
}

// Writes the network of each example into scratch memory, for the kernels that follow. Beside that it
// counts the spikes in each stretch of neurons, or, for a transpose, puts back into the ring what was
// taken out of it. For float and double.
template <class T>
ffi::Error begin(const Stream& stream, const Call& call, const Scratch<T>& scratch);

// Lists who spiked, ascending: in the slot of the step before of a history, or for this step alone.
template <class T>
ffi::Error list(const Stream& stream, const Call& call, const Scratch<T>& scratch);

}  // namespace brainjax::cuda
