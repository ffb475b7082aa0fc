// `map_neurons`: kernels that Python compiled, one loop over neurons each, behind one handler.
//
// A program names a kernel by the digest of its IR and carries the IR. The table below turns digests
// into addresses; what it lacks it asks Python for. Kernels are never freed.

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "frame.h"
#include "share.h"

namespace brainjax {
namespace {

namespace ffi = xla::ffi;

// Works on the neurons from `begin` to before `end`.
using Kernel = void (*)(void** arguments, int64_t begin, int64_t end);
using Resolver = void* (*)(const char* digest, const char* ir);

constexpr size_t kDigest = 64;

struct Table {
  std::mutex mutex;
  std::unordered_map<std::string, Kernel> kernels;
  Resolver resolver = nullptr;
};

Table& table() {
  static Table* const all = new Table;  // outlives every thread that may still run a program
  return *all;
}

Kernel known(const std::string& digest) {
  std::lock_guard<std::mutex> guard(table().mutex);
  const auto found = table().kernels.find(digest);
  return found == table().kernels.end() ? nullptr : found->second;
}

Kernel resolve(std::string_view digest, std::string_view ir) {
  const std::string name(digest);
  if (Kernel kernel = known(name)) return kernel;
  Resolver resolver;
  {
    std::lock_guard<std::mutex> guard(table().mutex);
    resolver = table().resolver;
  }
  // Not under the lock: Python may have to wait for its own.
  const auto made = resolver ? resolver(name.c_str(), std::string(ir).c_str()) : nullptr;
  if (!made) return nullptr;
  std::lock_guard<std::mutex> guard(table().mutex);
  return table().kernels.emplace(name, reinterpret_cast<Kernel>(made)).first->second;
}

// The kernel of a call. A thread remembers those it has called: a lock would cost more than small
// populations do.
Kernel kernel_of(std::string_view digest, std::string_view ir) {
  struct Seen {
    char digest[kDigest];
    Kernel kernel = nullptr;
  };
  static thread_local std::array<Seen, 64> seen;
  Seen& slot = seen[(static_cast<unsigned char>(digest[0]) * 7 + digest[1]) % seen.size()];
  if (slot.kernel && std::memcmp(slot.digest, digest.data(), kDigest) == 0) return slot.kernel;
  slot.kernel = resolve(digest, ir);
  std::memcpy(slot.digest, digest.data(), kDigest);
  return slot.kernel;
}

ffi::Error unknown(std::string_view digest) {
  return ffi::Error(ffi::ErrorCode::kFailedPrecondition,
                    "brainjax: got a program with the compiled step " + std::string(digest) +
                        ", which cannot be compiled here; expected brainjax of the same version, "
                        "with llvmlite, to be imported and brainjax.info() called before the "
                        "program is loaded");
}

// What a call says beside its buffers, in the order of its attributes, which is alphabetical.
struct Settings {
  int64_t rank;  // of the batch
  int64_t cost;  // instructions a neuron
  std::string_view digest, ir;
  int64_t size;  // neurons
};

ffi::Error load(int64_t rank, int64_t cost, std::string_view digest, std::string_view ir,
                int64_t size) {
  if (digest.size() != kDigest || rank < 0 || cost < 0 || size < 0) {
    return ffi::Error::InvalidArgument("brainjax: a damaged call of a compiled step");
  }
  return resolve(digest, ir) ? ffi::Error::Success() : unknown(digest);
}

// `load` has checked number, names and types of the attributes: a program is loaded before it runs.
Settings settings(const XLA_FFI_Attrs& attrs) {
  const auto number = [&](int i) {
    return *static_cast<int64_t*>(static_cast<XLA_FFI_Scalar*>(attrs.attrs[i])->value);
  };
  const auto text = [&](int i) {
    const auto* span = static_cast<XLA_FFI_ByteSpan*>(attrs.attrs[i]);
    return std::string_view(span->ptr, span->len);
  };
  return {number(0), number(1), text(2), text(3), number(4)};
}

// The buffers of a call, operands and then results. XLA's C++ interface would decode them one by one.
struct Buffers {
  const XLA_FFI_Args& args;
  const XLA_FFI_Rets& rets;

  int64_t size() const { return args.size + rets.size; }
  const XLA_FFI_Buffer& operator[](int64_t i) const {
    return *static_cast<XLA_FFI_Buffer*>(i < args.size ? args.args[i] : rets.rets[i - args.size]);
  }
};

int64_t product(const int64_t* dims, int64_t rank) {
  int64_t n = 1;
  for (int64_t i = 0; i < rank; ++i) n *= dims[i];
  return n;
}

// Where an example lies in a buffer, which has length one along the axes that it does not vary over.
void* at(const XLA_FFI_Buffer& x, int64_t example, const int64_t* batch, int64_t rank) {
  int64_t stride = product(x.dims + rank, x.rank - rank), offset = 0;
  for (int64_t i = rank - 1; i >= 0; --i) {
    if (x.dims[i] != 1) offset += example % batch[i] * stride;
    example /= batch[i];
    stride *= x.dims[i];
  }
  const auto item = ffi::ByteWidth(static_cast<ffi::DataType>(x.dtype));
  return static_cast<char*>(x.data) + offset * static_cast<int64_t>(item);
}

constexpr int64_t kLane = 64;  // blocks begin at multiples of it: vectors cover the same neurons

int64_t block_size(int64_t cost) { return (kBlockCost / (cost + 1) / kLane + 1) * kLane; }

void map_neurons(Kernel kernel, const Settings& call, const Buffers& buffers,
                 const XLA_FFI_CallFrame& frame) {
  const int64_t* batch = buffers[buffers.size() - 1].dims;  // a result has all examples
  const int64_t examples = product(batch, call.rank);
  const auto work = [&](int64_t example, int64_t begin, int64_t end) {
    // A call is short: it must not allocate.
    std::array<void*, 64> few;
    std::vector<void*> many(buffers.size() > 64 ? buffers.size() : 0);
    void** pointers = many.empty() ? few.data() : many.data();
    for (int64_t i = 0; i < buffers.size(); ++i) {
      const XLA_FFI_Buffer& x = buffers[i];
      pointers[i] = call.rank ? at(x, example, batch, call.rank) : x.data;
    }
    kernel(pointers, begin, end);
  };
  const int64_t neurons = block_size(call.cost);
  const int64_t blocks = std::max<int64_t>(1, (call.size + neurons - 1) / neurons);
  if (examples * call.size * call.cost < kShareFrom) {
    for (int64_t e = 0; e < examples; ++e) work(e, 0, call.size);
    return;
  }
  ffi::DiagnosticEngine unused;
  auto pool = *ffi::CtxDecoding<ffi::ThreadPool>::Decode(frame.api, frame.ctx, unused);
  share(pool, examples * blocks, [&](int64_t i) {
    const int64_t begin = i % blocks * neurons;
    work(i / blocks, begin, std::min(begin + neurons, call.size));
  });
}

ffi::Error described() { return ffi::Error::Success(); }

}  // namespace

Work prepare_map(const Frame& frame) {
  const Attributes& said = frame.attributes;
  const auto digest = said.text("digest");
  const Kernel kernel = digest.size() == kDigest ? kernel_of(digest, said.text("ir")) : nullptr;
  if (!kernel) return {[name = std::string(digest)] { return unknown(name); }, nullptr};
  const int64_t size = said.number("size"), cost = said.number("cost"), most = block_size(cost);
  const auto buffers = std::make_shared<std::vector<void*>>();
  for (const XLA_FFI_Buffer& x : frame.buffers) buffers->push_back(x.data);
  const auto run = [buffers, kernel, size, most](int64_t part) {
    kernel(buffers->data(), part * most, std::min((part + 1) * most, size));
  };
  return {nullptr, run, (size + most - 1) / most, size * cost};
}

}  // namespace brainjax

extern "C" void brainjax_set_resolver(brainjax::Resolver resolver) {
  std::lock_guard<std::mutex> guard(brainjax::table().mutex);
  brainjax::table().resolver = resolver;
}

extern "C" void brainjax_add_kernel(const char* digest, void* kernel) {
  std::lock_guard<std::mutex> guard(brainjax::table().mutex);
  brainjax::table().kernels.emplace(digest, reinterpret_cast<brainjax::Kernel>(kernel));
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(MapLoad, brainjax::load,
                              xla::ffi::Ffi::BindInstantiate()
                                  .Attr<int64_t>("batch")
                                  .Attr<int64_t>("cost")
                                  .Attr<std::string_view>("digest")
                                  .Attr<std::string_view>("ir")
                                  .Attr<int64_t>("size"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(MapDescribe, brainjax::described, xla::ffi::Ffi::Bind());

extern "C" XLA_FFI_Error* Map(XLA_FFI_CallFrame* frame) {
  const XLA_FFI_Extension_Base* extension = frame->extension_start;
  if (extension && extension->type == XLA_FFI_Extension_Metadata) return MapDescribe(frame);
  const auto call = brainjax::settings(frame->attrs);
  const auto kernel = brainjax::kernel_of(call.digest, call.ir);
  if (!kernel) return xla::ffi::internal::CreateError(frame->api, brainjax::unknown(call.digest));
  brainjax::map_neurons(kernel, call, {frame->args, frame->rets}, *frame);
  return nullptr;
}
