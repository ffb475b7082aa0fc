// `map_neurons`: kernels that Python compiled, one loop over neurons each, behind one handler.
//
// A program names a kernel by the digest of its IR and carries the IR. The table below turns digests
// into addresses; what it lacks it asks Python for. Kernels are never freed.

#include <array>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "batch.h"

namespace brainjax {
namespace {

using Kernel = void (*)(void** arguments, int64_t size);
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

ffi::Error load(int64_t, std::string_view digest, std::string_view ir) {
  if (digest.size() != kDigest) return ffi::Error::InvalidArgument("brainjax: not a digest");
  return resolve(digest, ir) ? ffi::Error::Success() : unknown(digest);
}

ffi::Error map_neurons(ffi::RemainingArgs remaining, ffi::RemainingRets results, int64_t rank,
                       std::string_view digest, std::string_view ir) {
  const Kernel kernel = kernel_of(digest, ir);
  if (!kernel) return unknown(digest);
  const size_t num_args = remaining.size(), count = num_args + results.size();
  const auto buffer = [&](size_t i) -> ffi::AnyBuffer {
    return i < num_args ? *remaining.get<ffi::AnyBuffer>(i)
                        : **results.get<ffi::AnyBuffer>(i - num_args);
  };
  // A call is short: it must not allocate.
  std::array<void*, 128> few;
  std::vector<void*> many(count > few.size() ? count : 0);
  void** pointers = many.empty() ? few.data() : many.data();
  int64_t size = 0;
  for (size_t i = 0; i < count; ++i) {
    const ffi::AnyBuffer x = buffer(i);
    pointers[i] = x.untyped_data();
    const auto dims = x.dimensions();
    if (size != 0 || static_cast<int64_t>(dims.size()) <= rank) continue;
    size = 1;
    for (size_t d = rank; d < dims.size(); ++d) size *= dims[d];
  }
  if (rank == 0) {
    kernel(pointers, size);
    return ffi::Error::Success();
  }
  const auto args = operands(remaining), rets = operands(results);
  Batch batch(rank, rets[0]);
  for (int64_t e = 0; e < batch.size(); ++e) {
    batch.go_to(e);
    for (size_t i = 0; i < count; ++i) {
      const Operand& x = i < num_args ? args[i] : rets[i - num_args];
      pointers[i] = batch.at<char>(x, x.item);
    }
    kernel(pointers, size);
  }
  return ffi::Error::Success();
}

}  // namespace
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
                                  .Attr<std::string_view>("digest")
                                  .Attr<std::string_view>("ir"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(Map, brainjax::map_neurons,
                              xla::ffi::Ffi::Bind()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("batch")
                                  .Attr<std::string_view>("digest")
                                  .Attr<std::string_view>("ir"));
