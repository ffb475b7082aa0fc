// Delivery into a ring of currents, and its transpose: brainjax/ops/_deliver_ring.py.

#include "events.h"
#include "pull.h"
#include "rows.h"
#include "slots.h"

namespace brainjax {
namespace {

template <class T>
void push_example(T* ring, int64_t num_slots, int64_t num_targets, int64_t head, T* due,
                  const std::vector<const T*>& x_dot, const std::vector<const T*>& x,
                  const std::vector<int64_t>& sizes, const std::vector<Projection<T>>& all,
                  const std::vector<std::vector<int>>& of_population) {
  const Slots<T> slots(ring, num_slots, num_targets, head);
  for (size_t p = 0; p < x_dot.size(); ++p) {
    const auto push_source = [&](int64_t i) {
      for (int j : of_population[p]) {
        const Projection<T>& row = all[j];
        row.for_each_group(i, [&](int64_t delay, int64_t first, int64_t last) {
          T* sum = slots.over(delay);
          if (!row.weight_dot) return add_synapses(sum, row, i, first, last, x_dot[p][i]);
          const T a = x_dot[p][i], b = x[p][i];
          row.for_each_piece(i, first, last, [&](int64_t count, auto to, int64_t k,
                                                 const T* factor) {
            const T *w = row.weight + k * row.stride, *w_dot = row.weight_dot + k * row.stride;
            T* const own = from_origin(sum, to.origin);
            for_each_target(count, to, [&](int64_t s, int64_t i) {
              if (factor) own[i] += w[0] * factor[s] * a + w_dot[0] * factor[s] * b;
              else own[i] += w[s * row.stride] * a + w_dot[s * row.stride] * b;
            });
          });
        });
      }
    };
    if (x.empty()) for_each_event(x_dot[p], sizes[p], push_source);
    else for_each_event(x_dot[p], x[p], sizes[p], push_source);
  }
  T* slot = ring + modulo(head, num_slots) * num_targets;
  std::memcpy(due, slot, num_targets * sizeof(T));
  std::memset(slot, 0, num_targets * sizeof(T));
}

ffi::Error push_ring(ffi::RemainingArgs remaining, ffi::RemainingRets results, int64_t rank,
                     int64_t with_weights, Sources sources, Numbers formats) {
  const auto args = operands(remaining), rets = operands(results);
  const auto of_population = by_population(sources);
  const size_t n = of_population.size(), m = sources.size();
  // Operand 2 and those after it say which spikes are live: that is for the transpose.
  const size_t x_dot_at = 2 + n, x_at = x_dot_at + n, w_dot_at = x_at + n * with_weights,
               w_at = w_dot_at + m * with_weights, rows_at = w_at + m;
  return with_float(remaining.get<ffi::AnyBuffer>(0)->element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    carry_over(args[0], rets[0]);
    for (size_t j = 0; j < m * with_weights; ++j) carry_over(args[w_dot_at + j], rets[2 + j]);
    Batch batch(rank, rets[0]);
    Fault fault;
    const int64_t num_slots = args[0].dims[rank], num_targets = args[0].dims[rank + 1];
    for (int64_t e = 0; e < batch.size(); ++e) {
      batch.go_to(e);
      auto all = projections<T>(args, w_at, rows_at, formats, batch);
      for (size_t j = 0; j < m; ++j) all[j].confine(j, 0, num_targets, fault);
      std::vector<const T*> x_dot(n), x;
      std::vector<int64_t> sizes(n);
      for (size_t p = 0; p < n; ++p) {
        x_dot[p] = batch.at<T>(args[x_dot_at + p]);
        sizes[p] = batch.length(args[x_dot_at + p]);
        if (with_weights) x.push_back(batch.at<T>(args[x_at + p]));
      }
      for (size_t j = 0; j < m * with_weights; ++j) all[j].weight_dot = batch.at<T>(rets[2 + j]);
      push_example<T>(batch.at<T>(rets[0]), num_slots, num_targets, *batch.at<int32_t>(args[1]),
                      batch.at<T>(rets[1]), x_dot, x, sizes, all, of_population);
    }
    return fault.take();
  });
}

ffi::Error pull_ring(ffi::ThreadPool pool, ffi::RemainingArgs remaining,
                     ffi::RemainingRets results, int64_t rank, int64_t with_weights,
                     Sources sources, Numbers formats, int64_t parallel_from) {
  const auto args = operands(remaining), rets = operands(results);
  const auto of_population = by_population(sources);
  const size_t n = of_population.size(), m = sources.size();
  const size_t live_at = 3, w_bar_at = live_at + n, x_at = w_bar_at + m * with_weights,
               w_at = x_at + n * with_weights, rows_at = w_at + m;
  return with_float(remaining.get<ffi::AnyBuffer>(0)->element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    carry_over(args[0], rets[0]);
    for (size_t j = 0; j < m * with_weights; ++j) carry_over(args[w_bar_at + j], rets[1 + n + j]);
    Batch batch(rank, rets[0]);
    Fault fault;
    const int64_t num_slots = args[0].dims[rank], num_targets = args[0].dims[rank + 1];
    for (int64_t e = 0; e < batch.size(); ++e) {
      batch.go_to(e);
      auto all = projections<T>(args, w_at, rows_at, formats, batch);
      for (size_t j = 0; j < m; ++j) all[j].confine(j, 0, num_targets, fault);
      T* ring = batch.at<T>(rets[0]);
      const int64_t head = *batch.at<int32_t>(args[2]);
      std::memcpy(ring + modulo(head, num_slots) * num_targets, batch.at<T>(args[1]),
                  num_targets * sizeof(T));
      for (size_t j = 0; j < m * with_weights; ++j) all[j].weight_bar = batch.at<T>(rets[1 + n + j]);
      const Slots<T> slots(ring, num_slots, num_targets, head);
      std::vector<T*> x_bar(n);
      std::vector<const uint8_t*> live(n);
      std::vector<int64_t> sizes(n);
      for (size_t p = 0; p < n; ++p) {
        x_bar[p] = batch.at<T>(rets[1 + p]);
        live[p] = batch.at<uint8_t>(args[live_at + p]);
        sizes[p] = batch.length(rets[1 + p]);
        if (!with_weights) continue;
        const T* x = batch.at<T>(args[x_at + p]);
        for_each_event(x, sizes[p], [&](int64_t i) {
          pull_weights(i, x[i], slots, all, of_population[p]);
        });
      }
      pull_spikes(x_bar, live, sizes, slots, all, of_population, pool, parallel_from);
    }
    return fault.take();
  });
}

}  // namespace
}  // namespace brainjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(PushRing, brainjax::push_ring,
                              xla::ffi::Ffi::Bind()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("batch")
                                  .Attr<int64_t>("with_weights")
                                  .Attr<xla::ffi::Span<const int64_t>>("sources")
                                  .Attr<xla::ffi::Span<const int64_t>>("formats"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(PullRing, brainjax::pull_ring,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("batch")
                                  .Attr<int64_t>("with_weights")
                                  .Attr<xla::ffi::Span<const int64_t>>("sources")
                                  .Attr<xla::ffi::Span<const int64_t>>("formats")
                                  .Attr<int64_t>("parallel_from"));
