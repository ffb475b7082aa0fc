// Delivery into a ring of currents on a GPU: csrc/ring.cc.

#include "deliver.h"

namespace brainjax::cuda {
namespace {

ffi::Error push_ring(Stream stream, ffi::RemainingArgs args, ffi::RemainingRets rets,
                     int64_t batch, int64_t with_weights, Numbers sources, Numbers formats,
                     Numbers reach) {
  Decoded decoded(args, rets, batch);
  const int n = static_cast<int>(num_populations(sources)), m = static_cast<int>(sources.size());
  Call& call = decoded.call();
  // Operands 2 to 2 + n say which spikes are live: that is for the transpose.
  call.at.x = 2 + n;
  const int w_dot = call.at.x + n + (with_weights ? n : 0);
  if (with_weights) {
    call.at.x2 = call.at.x + n;
    call.at.w2 = decoded.result(2);
  }
  call.at.w = w_dot + (with_weights ? m : 0);
  call.at.rows = call.at.w + m;
  call.at.head = 1;
  call.at.ring = decoded.result(0);
  call.at.due = decoded.result(1);
  const Operand& ring = decoded.rets()[0];
  ffi::Error error = decoded.network(sources, formats, reach, ring.dims[batch],
                                     ring.dims[batch + 1], ring);
  if (error.success()) error = decoded.carry_over(stream, 0, 0, 1);
  if (error.success()) error = decoded.carry_over(stream, w_dot, 2, with_weights ? m : 0);
  if (error.failure()) return error;
  return with_float(args.get<ffi::AnyBuffer>(0)->element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    Scratch<T> scratch;
    const ffi::Error failed = scratch_of(call, decoded.rets().back(), scratch);
    if (failed.failure()) return failed;
    return with_weights ? run<T, false, true>(stream, call, scratch)
                        : run<T, false, false>(stream, call, scratch);
  });
}

}  // namespace
}  // namespace brainjax::cuda

XLA_FFI_DEFINE_HANDLER_SYMBOL(CudaPushRing, brainjax::cuda::push_ring,
                              brainjax::cuda::bind()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("batch")
                                  .Attr<int64_t>("with_weights")
                                  .Attr<brainjax::Numbers>("sources")
                                  .Attr<brainjax::Numbers>("formats")
                                  .Attr<brainjax::Numbers>("reach"),
                              {xla::ffi::Traits::kCmdBufferCompatible});
