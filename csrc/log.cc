// The log of events and the fence: brainjax/ops/_log.py and _fence.py.

#include "batch.h"
#include "events.h"

namespace brainjax {
namespace {

ffi::Error log_events(ffi::RemainingArgs remaining, ffi::RemainingRets results, int64_t rank) {
  const auto args = operands(remaining), rets = operands(results);
  return with_float(remaining.get<ffi::AnyBuffer>(2)->element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    carry_over(args[0], rets[0]);
    carry_over(args[1], rets[1]);
    Batch batch(rank, rets[1]);
    for (int64_t e = 0; e < batch.size(); ++e) {
      batch.go_to(e);
      int32_t* log = batch.at<int32_t>(rets[0]);
      int32_t* length = batch.at<int32_t>(rets[1]);
      const int64_t capacity = batch.length(rets[0]);
      for_each_event(batch.at<T>(args[2]), batch.length(args[2]), [&](int64_t i) {
        // Unsigned: a length that is negative, or counted past 2^31, writes nothing either.
        if (static_cast<uint32_t>(*length) < capacity) log[*length] = static_cast<int32_t>(i);
        ++*length;
      });
    }
    return ffi::Error::Success();
  });
}


ffi::Error fence(ffi::RemainingArgs remaining, ffi::RemainingRets results) {
  const auto args = operands(remaining), rets = operands(results);
  for (size_t i = 0; i < args.size(); ++i) carry_over(args[i], rets[i]);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace brainjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(LogEvents, brainjax::log_events,
                              xla::ffi::Ffi::Bind().RemainingArgs().RemainingRets().Attr<int64_t>(
                                  "batch"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(Fence, brainjax::fence,
                              xla::ffi::Ffi::Bind().RemainingArgs().RemainingRets());
