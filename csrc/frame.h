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

  ffi::DataType type(size_t i) const { return static_cast<ffi::DataType>(buffers[i].dtype); }
  std::vector<Operand> operands() const { return described(0, num_operands); }
  std::vector<Operand> results() const { return described(num_operands, buffers.size()); }

 private:
  std::vector<Operand> described(size_t from, size_t to) const {
    std::vector<Operand> out;
    for (size_t i = from; i < to; ++i) {
      out.push_back(operand(buffers[i]));
    }
    return out;
  }
};

// A call whose buffers stay where they are, ready to be made again and again: `begin`, and then each of
// the parts, on any thread and in any order.
struct Work {
  std::function<ffi::Error()> begin;      // none if null
  std::function<void(int64_t part)> run;  // none if there are no parts
  int64_t parts = 0, cost = 0;            // as kShareFrom has it, of all parts
};

Work prepare_history(const Frame& frame, ffi::ThreadPool& pool);
Work prepare_log(const Frame& frame);
Work prepare_map(const Frame& frame);
Work prepare_poisson(const Frame& frame);

}  // namespace brainjax
