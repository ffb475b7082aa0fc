// A loop over steps as one call: brainjax/ops/_loop.py.
//
// A program is calls in order, each on places in the buffers of the loop: the index of the step, its
// operands, and scratch memory. They are prepared once. Handlers are called as XLA would call them.

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "frame.h"
#include "share.h"

extern "C" {
XLA_FFI_Error* PushRing(XLA_FFI_CallFrame* frame);
XLA_FFI_Error* Fence(XLA_FFI_CallFrame* frame);
}

namespace brainjax {
namespace {

ffi::Error failed(std::string_view what) {
  return ffi::Error(ffi::ErrorCode::kInvalidArgument,
                    "brainjax: got a program with " + std::string(what) +
                        "; expected one that this version of brainjax has made");
}

// Memory that begins where a vector does.
class Scratch {
 public:
  explicit Scratch(int64_t size) : held_(new char[size + kLine]()) {}
  char* data() const {
    return held_.get() + (kLine - reinterpret_cast<uintptr_t>(held_.get()) % kLine);
  }

 private:
  std::unique_ptr<char[]> held_;
};

// The row of `whole` that an index names, kept inside as XLA keeps it.
char* row(const Operand& whole, const Operand& index) {
  const int64_t rows = whole.dims[0], at = *reinterpret_cast<int32_t*>(index.data);
  return whole.data + std::clamp<int64_t>(at, 0, rows - 1) * (whole.bytes() / rows);
}

template <class T>
T sum_of(const T* x, int64_t n) {
  constexpr int64_t kLanes = 16;
  T lanes[kLanes] = {};
  const int64_t whole = n - n % kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) lanes[k] += x[i + k];
  }
  for (int64_t i = whole; i < n; ++i) lanes[i - whole] += x[i];
  T sum = 0;
  for (T lane : lanes) sum += lane;
  return sum;
}

// What moves memory. Nothing for a name that there is none of.
Work prepare_move(std::string_view name, const Frame& frame) {
  const auto args = frame.operands(), rets = frame.results();
  const auto moved = [](auto f) -> Work {
    return {[f] {
              f();
              return ffi::Error::Success();
            },
            nullptr};
  };
  const Operand x = args[0], last = args.back(), out = rets[0];
  if (name == "copy") return moved([x, out] { std::memcpy(out.data, x.data, out.bytes()); });
  if (name == "sum") {
    return moved([x, out, n = x.dims[0]] {
      if (x.item == sizeof(float)) {
        *reinterpret_cast<float*>(out.data) = sum_of(reinterpret_cast<const float*>(x.data), n);
      } else {
        *reinterpret_cast<double*>(out.data) = sum_of(reinterpret_cast<const double*>(x.data), n);
      }
    });
  }
  if (name == "read_row") {
    return moved([x, out, last] { std::memcpy(out.data, row(x, last), out.bytes()); });
  }
  if (name == "write_row") {
    return moved([x, out, last, part = args[1]] {
      carry_over(x, out);
      std::memcpy(row(out, last), part.data, part.bytes());
    });
  }
  if (name == "take") {
    return moved([x, out, last, n = last.dims[0]] {
      const auto* index = reinterpret_cast<const int32_t*>(last.data);
      for (int64_t i = 0; i < n; ++i) {
        const int64_t at = std::clamp<int64_t>(index[i], 0, x.dims[0] - 1);
        std::memcpy(out.data + i * x.item, x.data + at * x.item, x.item);
      }
    });
  }
  return {};
}

// A call of a handler as XLA makes it.
struct Called {
  std::vector<XLA_FFI_Buffer> buffers;
  std::vector<void*> places;
  std::vector<XLA_FFI_ArgType> operand_types;
  std::vector<XLA_FFI_RetType> result_types;
  XLA_FFI_CallFrame frame;

  Called(const Frame& call, const XLA_FFI_CallFrame& outer) : buffers(call.buffers), frame(outer) {
    for (XLA_FFI_Buffer& x : buffers) places.push_back(&x);
    const size_t n = call.num_operands, m = buffers.size() - n;
    operand_types.assign(n, XLA_FFI_ArgType_BUFFER);
    result_types.assign(m, XLA_FFI_RetType_BUFFER);
    frame.args.size = static_cast<int64_t>(n);
    frame.args.types = operand_types.data();
    frame.args.args = places.data();
    frame.rets.size = static_cast<int64_t>(m);
    frame.rets.types = result_types.data();
    frame.rets.rets = places.data() + n;
    frame.attrs = call.attributes.raw();
  }
};

template <XLA_FFI_Error* (*handler)(XLA_FFI_CallFrame*)>
Work prepare_handler(const Frame& frame, ffi::ThreadPool&, const XLA_FFI_CallFrame& outer) {
  const auto call = std::make_shared<Called>(frame, outer);
  const auto begin = [call, api = outer.api]() -> ffi::Error {
    XLA_FFI_Error* error = handler(&call->frame);
    if (!error) return ffi::Error::Success();
    XLA_FFI_Error_GetMessage_Args said{};
    said.struct_size = XLA_FFI_Error_GetMessage_Args_STRUCT_SIZE;
    said.error = error;
    api->XLA_FFI_Error_GetMessage(&said);
    ffi::Error again(ffi::ErrorCode::kInvalidArgument, std::string(said.message));
    XLA_FFI_Error_Destroy_Args gone{};
    gone.struct_size = XLA_FFI_Error_Destroy_Args_STRUCT_SIZE;
    gone.error = error;
    api->XLA_FFI_Error_Destroy(&gone);
    return again;
  };
  return {begin, nullptr};
}

template <Work (*prepare)(const Frame&)>
Work prepare_alone(const Frame& frame, ffi::ThreadPool&, const XLA_FFI_CallFrame&) {
  return prepare(frame);
}

// What prepares a call of a handler; null for a name that a program cannot call.
using Prepare = Work (*)(const Frame&, ffi::ThreadPool&, const XLA_FFI_CallFrame& outer);

Prepare prepare_of(std::string_view name) {
  static const std::map<std::string_view, Prepare> all = {
      {"map", prepare_alone<prepare_map>},
      {"brainjax_DeliverHistory",
       [](const Frame& frame, ffi::ThreadPool& pool, const XLA_FFI_CallFrame&) {
         return prepare_history(frame, pool);
       }},
      {"brainjax_LogEvents", prepare_alone<prepare_log>},
      {"brainjax_Poisson", prepare_alone<prepare_poisson>},
      {"brainjax_PushRing", prepare_handler<PushRing>},
      {"brainjax_Fence", prepare_handler<Fence>}};
  const auto found = all.find(name);
  return found == all.end() ? nullptr : found->second;
}

// Calls that do not depend on one another, with their parts shared among threads where that is worth it.
struct Wave {
  int64_t number = 0, cost = 0;
  std::vector<Work> works;
  std::vector<std::pair<const Work*, int64_t>> parts;

  void prepare() {
    for (const Work& work : works) {
      cost += work.cost;
      for (int64_t part = 0; part < work.parts; ++part) parts.emplace_back(&work, part);
    }
  }

  ffi::Error run(ffi::ThreadPool& pool) const {
    for (const Work& work : works) {
      if (!work.begin) continue;
      if (ffi::Error error = work.begin(); error.failure()) return error;
    }
    const int64_t count = static_cast<int64_t>(parts.size());
    const auto run = [this](int64_t i) { parts[i].first->run(parts[i].second); };
    if (cost >= kShareFrom) {
      share(pool, count, run);
    } else {
      for (int64_t i = 0; i < count; ++i) run(i);
    }
    return ffi::Error::Success();
  }
};

// The calls of a program on the buffers of one run of it.
class Program {
 public:
  Program(const XLA_FFI_CallFrame& outer, ffi::ThreadPool& pool) : outer_(outer), pool_(pool) {
    const Attributes attributes(outer.attrs);
    const int64_t num_carried = attributes.number("carried"), n = outer.args.size;
    places_.push_back(reinterpret_cast<char*>(&index_));
    for (int64_t i = 1; i < n; ++i) {
      const bool carried = i >= n - num_carried;
      const XLA_FFI_Buffer& given = buffer(outer.args.args[i]);
      if (carried) {
        const XLA_FFI_Buffer& kept = buffer(outer.rets.rets[i - (n - num_carried)]);
        carry_over(operand(given), operand(kept));
        places_.push_back(static_cast<char*>(kept.data));
      } else {
        places_.push_back(static_cast<char*>(given.data));
      }
    }
    for (int64_t size : attributes.numbers("sizes")) {
      scratch_.emplace_back(size);
      places_.push_back(scratch_.back().data());
    }
    prepare(attributes.dictionary("calls"));
  }

  ffi::Error run(int32_t num_steps) {
    if (error_.failure()) return error_;
    for (index_ = 0; index_ < num_steps; ++index_) {
      for (const Wave& wave : waves_) {
        if (ffi::Error error = wave.run(pool_); error.failure()) return error;
      }
    }
    return ffi::Error::Success();
  }

 private:
  static const XLA_FFI_Buffer& buffer(const void* x) { return *static_cast<const XLA_FFI_Buffer*>(x); }

  Frame frame(const Attributes& call) const {
    Frame out{{}, static_cast<size_t>(call.number("operands")), call.dictionary("attributes")};
    const Numbers at = call.numbers("buffers");
    const int64_t* type = call.numbers("types").begin();
    for (size_t i = 0; i < at.size(); i += 2) {
      XLA_FFI_Buffer x{};
      x.struct_size = XLA_FFI_Buffer_STRUCT_SIZE;
      x.dtype = static_cast<XLA_FFI_DataType>(type[0]);
      x.data = places_[at.begin()[i]] + at.begin()[i + 1];
      x.rank = type[1];
      x.dims = const_cast<int64_t*>(type + 2);
      type += 2 + x.rank;
      out.buffers.push_back(x);
    }
    return out;
  }

  void prepare(const Attributes& calls) {
    for (int64_t i = 0; i < calls.size(); ++i) {
      const Attributes call = calls.dictionary(i);
      const int64_t number = call.number("wave");
      if (waves_.empty() || waves_.back().number != number) waves_.emplace_back().number = number;
      Work work = prepare(call.text("name"), frame(call));
      if (!work.begin && !work.run) error_ = failed("'" + std::string(call.text("name")) + "'");
      waves_.back().works.push_back(std::move(work));
    }
    for (Wave& wave : waves_) wave.prepare();
  }

  Work prepare(std::string_view name, const Frame& frame) {
    const Prepare found = prepare_of(name);
    return found ? found(frame, pool_, outer_) : prepare_move(name, frame);
  }

  const XLA_FFI_CallFrame& outer_;
  ffi::ThreadPool& pool_;
  int32_t index_ = 0;
  std::vector<char*> places_;
  std::vector<Scratch> scratch_;
  std::vector<Wave> waves_;
  ffi::Error error_;
};

ffi::Error described() { return ffi::Error::Success(); }

}  // namespace
}  // namespace brainjax

// Whether a program may call a handler.
extern "C" bool brainjax_has_call(const char* name) {
  return brainjax::prepare_of(name) != nullptr;
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(LoopDescribe, brainjax::described, xla::ffi::Ffi::Bind());

extern "C" XLA_FFI_Error* Loop(XLA_FFI_CallFrame* frame) {
  namespace ffi = xla::ffi;
  const XLA_FFI_Extension_Base* extension = frame->extension_start;
  if (extension && extension->type == XLA_FFI_Extension_Metadata) return LoopDescribe(frame);
  ffi::DiagnosticEngine unused;
  auto pool = *ffi::CtxDecoding<ffi::ThreadPool>::Decode(frame->api, frame->ctx, unused);
  const auto* num_steps = static_cast<const XLA_FFI_Buffer*>(frame->args.args[0]);
  brainjax::Program program(*frame, pool);
  const ffi::Error error = program.run(*static_cast<const int32_t*>(num_steps->data));
  return error.success() ? nullptr : ffi::internal::CreateError(frame->api, error);
}
