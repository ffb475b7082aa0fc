// Delivery from a history of spikes on a GPU: csrc/history.cc.

#include "deliver.h"

namespace brainjax::cuda {
namespace {

ffi::Error deliver_history(Stream stream, ffi::RemainingArgs args, ffi::RemainingRets rets,
                           int64_t batch, int64_t num_slots, Numbers sources, Numbers formats,
                           Numbers reach) {
  Decoded decoded(args, rets, batch);
  const int n = static_cast<int>(num_populations(sources)), m = static_cast<int>(sources.size());
  Call& call = decoded.call();
  call.at.head = 0;
  call.at.held = decoded.result(0);
  call.at.due = decoded.result(3 * n);
  call.at.x = 1 + 3 * n;
  call.at.w = call.at.x + n;
  call.at.tables = call.at.w + m;
  call.at.rows = call.at.tables + 2 * n;
  const Operand &due = decoded.rets()[3 * n], &memory = decoded.rets()[3 * n + 1];
  const int64_t num_targets = due.dims[due.rank - 1];
  ffi::Error error = decoded.network(sources, formats, reach, num_slots, num_targets, due);
  if (error.success()) error = decoded.carry_over(stream, 1, 0, 3 * n);
  if (error.failure()) return error;
  return with_float(args.get<ffi::AnyBuffer>(call.at.w)->element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    Scratch<T> scratch;
    const ffi::Error failed = scratch_of(call, memory, scratch);
    if (failed.failure()) return failed;
    return run<T, true, false>(stream, call, scratch);
  });
}

}  // namespace
}  // namespace brainjax::cuda

XLA_FFI_DEFINE_HANDLER_SYMBOL(CudaDeliverHistory, brainjax::cuda::deliver_history,
                              brainjax::cuda::bind()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("batch")
                                  .Attr<int64_t>("num_slots")
                                  .Attr<brainjax::Numbers>("sources")
                                  .Attr<brainjax::Numbers>("formats")
                                  .Attr<brainjax::Numbers>("reach"),
                              {xla::ffi::Traits::kCmdBufferCompatible});
