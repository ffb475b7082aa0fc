// The log of events and the fence: brainjax/ops/_log.py and _fence.py.

#include "batch.h"
#include "events.h"
#include "frame.h"

namespace brainjax {
namespace {

// Appends to the log of an example.
template <class T>
void append(const std::vector<Operand>& args, const std::vector<Operand>& rets, const Batch& batch) {
  int32_t* log = batch.at<int32_t>(rets[0]);
  int32_t* length = batch.at<int32_t>(rets[1]);
  const int64_t capacity = batch.length(rets[0]);
  for_each_event(batch.at<T>(args[2]), batch.length(args[2]), [&](int64_t i) {
    // Unsigned: a length that is negative, or counted past 2^31, writes nothing either.
    if (static_cast<uint32_t>(*length) < capacity) log[*length] = static_cast<int32_t>(i);
    ++*length;
  });
}

void carry_log(const std::vector<Operand>& args, const std::vector<Operand>& rets) {
  carry_over(args[0], rets[0]);
  carry_over(args[1], rets[1]);
}

ffi::Error log_events(ffi::RemainingArgs remaining, ffi::RemainingRets results, int64_t rank) {
  const auto args = operands(remaining), rets = operands(results);
  return with_float(remaining.get<ffi::AnyBuffer>(2)->element_type(), [&](auto* none) {
    carry_log(args, rets);
    Batch batch(rank, rets[1]);
    for (int64_t e = 0; e < batch.size(); ++e) {
      batch.go_to(e);
      append<std::remove_pointer_t<decltype(none)>>(args, rets, batch);
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

Work prepare_log(const Frame& frame) {
  constexpr int64_t kCost = 10;  // of a neuron
  const auto args = frame.operands(), rets = frame.results();
  const Batch batch(0, rets[1]);
  const auto append_to = frame.type(2) == ffi::F32 ? append<float> : append<double>;
  const auto run = [args, rets, batch, append_to](int64_t) {
    carry_log(args, rets);
    append_to(args, rets, batch);
  };
  return {nullptr, run, 1, kCost * batch.length(args[2])};
}

}  // namespace brainjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(LogEvents, brainjax::log_events,
                              xla::ffi::Ffi::Bind().RemainingArgs().RemainingRets().Attr<int64_t>(
                                  "batch"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(Fence, brainjax::fence,
                              xla::ffi::Ffi::Bind().RemainingArgs().RemainingRets());
