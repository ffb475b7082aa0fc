// Operands of a handler: typed pointers, and where each example of a batch lies in them.
//
// An op has `batch` leading axes. Every operand has all of them; an axis along which an operand does
// not vary has length one. `Batch` walks the examples; `at(operand)` is the operand of an example.

#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace brainjax {

namespace ffi = xla::ffi;

constexpr int64_t kLine = 64;  // bytes of a cache line
template <class T>
constexpr int64_t kPerLine = kLine / sizeof(T);  // numbers in one

// A buffer as XLA describes it; its dimensions stay XLA's, since a call must not cost allocations.
struct Operand {
  char* data = nullptr;
  const int64_t* dims = nullptr;
  int64_t rank = 0;
  int64_t item = 0;

  int64_t bytes() const {
    int64_t n = item;
    for (int64_t i = 0; i < rank; ++i) n *= dims[i];
    return n;
  }
};

inline Operand operand(ffi::AnyBuffer buffer) {
  const auto dims = buffer.dimensions();
  return {static_cast<char*>(buffer.untyped_data()), dims.begin(),
          static_cast<int64_t>(dims.size()),
          static_cast<int64_t>(ffi::ByteWidth(buffer.element_type()))};
}

inline Operand operand(const XLA_FFI_Buffer& x) {
  const auto item = ffi::ByteWidth(static_cast<ffi::DataType>(x.dtype));
  return {static_cast<char*>(x.data), x.dims, x.rank, static_cast<int64_t>(item)};
}

inline std::vector<Operand> operands(ffi::RemainingArgs args) {
  std::vector<Operand> out;
  out.reserve(args.size());
  for (size_t i = 0; i < args.size(); ++i) out.push_back(operand(*args.get<ffi::AnyBuffer>(i)));
  return out;
}

inline std::vector<Operand> operands(ffi::RemainingRets rets) {
  std::vector<Operand> out;
  out.reserve(rets.size());
  for (size_t i = 0; i < rets.size(); ++i) out.push_back(operand(**rets.get<ffi::AnyBuffer>(i)));
  return out;
}

// What an aliased result starts from: the same buffer, or a copy where XLA gave another.
inline void carry_over(const Operand& from, const Operand& to) {
  if (from.data != to.data) std::memcpy(to.data, from.data, to.bytes());
}

class Batch {
 public:
  Batch(int64_t rank, const Operand& full) : rank_(rank), index_(rank, 0) {
    dims_.assign(full.dims, full.dims + rank);
    for (int64_t d : dims_) size_ *= d;
  }

  int64_t size() const { return size_; }

  void go_to(int64_t example) {
    for (int64_t i = rank_ - 1; i >= 0; --i) {
      index_[i] = example % dims_[i];
      example /= dims_[i];
    }
  }

  // The elements of one example.
  int64_t length(const Operand& x) const {
    int64_t n = 1;
    for (int64_t i = rank_; i < x.rank; ++i) n *= x.dims[i];
    return n;
  }

  bool is_scalar(const Operand& x) const { return x.rank == rank_; }
  bool is_vector(const Operand& x) const { return x.rank == rank_ + 1; }

  template <class T>
  T* at(const Operand& x) const {
    return reinterpret_cast<T*>(x.data) + offset(x);
  }

  // The same, whatever an element is.
  const void* at_bytes(const Operand& x) const { return x.data + offset(x) * x.item; }

 private:
  // Elements before those of the example.
  int64_t offset(const Operand& x) const {
    int64_t stride = length(x), offset = 0;
    for (int64_t i = rank_ - 1; i >= 0; --i) {
      if (x.dims[i] != 1) offset += index_[i] * stride;
      stride *= x.dims[i];
    }
    return offset;
  }

  int64_t rank_, size_ = 1;
  std::vector<int64_t> dims_, index_;
};

inline int64_t modulo(int64_t a, int64_t n) { return ((a % n) + n) % n; }

// Calls f with a null pointer of the floating type of `element_type`.
template <class F>
inline ffi::Error with_float(ffi::DataType element_type, F f) {
  if (element_type == ffi::F32) return f(static_cast<float*>(nullptr));
  if (element_type == ffi::F64) return f(static_cast<double*>(nullptr));
  return ffi::Error::InvalidArgument("brainjax: weights and spikes must be float32 or float64");
}

}  // namespace brainjax
