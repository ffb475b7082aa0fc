// A call of a handler that the library itself makes, and what is made of it once to be run many times.

#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "batch.h"
#include "xla/ffi/api/ffi.h"

namespace brainjax {

using Numbers = ffi::Span<const int64_t>;

// What a call says beside its buffers, by name. Null where it does not say it.
class Attributes {
 public:
  explicit Attributes(const XLA_FFI_Attrs& attrs) : attrs_(&attrs) {}

  int64_t size() const { return attrs_->size; }
  Attributes dictionary(int64_t i) const {
    return Attributes(*static_cast<XLA_FFI_Attrs*>(attrs_->attrs[i]));
  }
  Attributes dictionary(std::string_view name) const {
    return Attributes(*static_cast<XLA_FFI_Attrs*>(at(name)));
  }
  int64_t number(std::string_view name) const {
    return *static_cast<int64_t*>(static_cast<XLA_FFI_Scalar*>(at(name))->value);
  }
  Numbers numbers(std::string_view name) const {
    const auto* array = static_cast<XLA_FFI_Array*>(at(name));
    return Numbers(static_cast<const int64_t*>(array->data), array->size);
  }
  std::string_view text(std::string_view name) const {
    const auto* span = static_cast<XLA_FFI_ByteSpan*>(at(name));
    return std::string_view(span->ptr, span->len);
  }
  const XLA_FFI_Attrs& raw() const { return *attrs_; }

 private:
  void* at(std::string_view name) const {
    for (int64_t i = 0; i < attrs_->size; ++i) {
      const XLA_FFI_ByteSpan& found = *attrs_->names[i];
      if (name == std::string_view(found.ptr, found.len)) return attrs_->attrs[i];
    }
    return nullptr;
  }

  const XLA_FFI_Attrs* attrs_;
};

// The buffers of a call and what it says of them.
struct Frame {
  std::vector<XLA_FFI_Buffer> buffers;  // operands, then results
  size_t num_operands;
  Attributes attributes;

  std::vector<Operand> operands() const { return described(0, num_operands); }
  std::vector<Operand> results() const { return described(num_operands, buffers.size()); }

 private:
  std::vector<Operand> described(size_t from, size_t to) const {
    std::vector<Operand> out;
    for (size_t i = from; i < to; ++i) {
      const XLA_FFI_Buffer& x = buffers[i];
      const auto item = ffi::ByteWidth(static_cast<ffi::DataType>(x.dtype));
      out.push_back({static_cast<char*>(x.data), x.dims, x.rank, static_cast<int64_t>(item)});
    }
    return out;
  }
};

// A call whose buffers stay where they are, ready to be made again and again.
using Step = std::function<ffi::Error()>;

Step prepare_history(const Frame& frame, ffi::ThreadPool& pool);
// Of calls of compiled loops that do not depend on one another.
Step prepare_maps(const std::vector<Frame>& frames, ffi::ThreadPool& pool);

}  // namespace brainjax
