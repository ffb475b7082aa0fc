// The transpose of a push: what the currents of the ring say of spikes and of weights.
//
// What reaches a spike depends on the row of its source alone, so threads share the sources and no
// bit depends on their number. Synapses may share a weight: weights are summed on one thread.

#pragma once

#include <cstring>
#include <vector>

#include "events.h"
#include "rows.h"
#include "share.h"
#include "slots.h"

namespace brainjax {

// The weights of a piece: one a synapse, or one for all.
template <class T>
struct Own {
  const T* __restrict weight;
  T operator[](int64_t s) const { return weight[s]; }
  void fetch(int64_t s) const { __builtin_prefetch(weight + s); }
};
template <class T>
struct Shared {
  T weight;
  T operator[](int64_t) const { return weight; }
  void fetch(int64_t) const {}
};

template <class Index>
inline void fetch(Listed<Index> to, int64_t s) { __builtin_prefetch(to.target + s); }
inline void fetch(Counted, int64_t) {}

// How many synapses ahead memory is fetched: behind a row lies that of the next source.
constexpr int64_t kAhead = 256;
template <class T>
constexpr int64_t kPerLine = 64 / sizeof(T);  // numbers in a line of the cache

// A sum of products as four sums, since an addition waits for the one before it. Which product goes
// into which sum is part of the result: it depends on the row, never on the machine.
template <class T>
struct Dot {
  T sum[4] = {0, 0, 0, 0};

  T total() const { return (sum[0] + sum[2]) + (sum[1] + sum[3]); }

  template <class Weights, class Targets>
  inline __attribute__((always_inline)) void add(const T* __restrict bar, int64_t count,
                                                 Weights w, Targets to) {
    bar = from_origin(bar, to.origin);
    T a = sum[0], b = sum[1], c = sum[2], d = sum[3];
    int64_t s = 0;
    for (; s + 4 <= count; s += 4) {
      if (s % kPerLine<T> == 0) {
        w.fetch(s + kAhead);
        fetch(to, s + kAhead);
      }
      a += w[s] * bar[to[s]];
      b += w[s + 1] * bar[to[s + 1]];
      c += w[s + 2] * bar[to[s + 2]];
      d += w[s + 3] * bar[to[s + 3]];
    }
    if (s < count) a += w[s] * bar[to[s]];
    if (s + 1 < count) b += w[s + 1] * bar[to[s + 1]];
    if (s + 2 < count) c += w[s + 2] * bar[to[s + 2]];
    sum[0] = a, sum[1] = b, sum[2] = c, sum[3] = d;
  }
};

// Calls f(row, bar, count, targets, k, factor) for the pieces of all rows of a source: those of
// `for_each_piece`, with the currents `bar` of the step in which they land. All targets lie within.
template <class T, class F>
inline __attribute__((always_inline)) void for_each_landing(
    int64_t source, const Slots<T>& slots, const std::vector<Projection<T>>& all,
    const std::vector<int>& from, F f) {
  for (int j : from) {
    const Projection<T>& row = all[j];
    row.template for_each_group<true>(source, [&](int64_t delay, int64_t first, int64_t last) {
      const T* bar = slots.over(delay);
      row.for_each_piece(source, first, last, [&](int64_t count, auto to, int64_t k,
                                                  const T* factor) {
        f(row, bar, count, to, k, factor);
      });
    });
  }
}

// What reaches the spike of a source through the projections `from` its population.
template <class T>
T pull_source(int64_t source, const Slots<T>& slots, const std::vector<Projection<T>>& all,
              const std::vector<int>& from) {
  Dot<T> dot;
  for_each_landing(source, slots, all, from, [&](const Projection<T>& row, const T* bar,
                                                 int64_t count, auto to, int64_t k,
                                                 const T* factor) {
    if (factor) {
      Dot<T> given;
      given.add(bar, count, Own<T>{factor}, to);
      dot.sum[0] += row.weight[k * row.stride] * given.total();
      return;
    }
    if (row.stride) dot.add(bar, count, Own<T>{row.weight + k}, to);
    else dot.add(bar, count, Shared<T>{row.weight[0]}, to);
  });
  return dot.total();
}

// Adds to `weight_bar` what reaches the weights of the rows of a source, whose spike is `x`.
template <class T>
void pull_weights(int64_t source, T x, const Slots<T>& slots,
                  const std::vector<Projection<T>>& all, const std::vector<int>& from) {
  for_each_landing(source, slots, all, from, [&](const Projection<T>& row, const T* bar,
                                                 int64_t count, auto to, int64_t k,
                                                 const T* factor) {
    T* w_bar = row.weight_bar + k * row.stride;
    if (factor) {
      Dot<T> given;
      given.add(bar, count, Own<T>{factor}, to);
      w_bar[0] += x * given.total();
      return;
    }
    const T* const own = from_origin(bar, to.origin);
    for_each_target(count, to, [&](int64_t s, int64_t i) { w_bar[s * row.stride] += x * own[i]; });
  });
}

struct Source {
  int32_t population, neuron;
};

// Appends the sources that are live.
inline void find_live(const uint8_t* live, int64_t size, int32_t population,
                      std::vector<Source>& out) {
  for (int64_t begin = 0; begin < size; begin += 8) {
    const int64_t end = std::min(begin + 8, size);
    uint64_t eight = 0;
    std::memcpy(&eight, live + begin, end - begin);
    if (!eight) continue;
    for (int64_t i = begin; i < end; ++i) {
      if (live[i]) out.push_back({population, static_cast<int32_t>(i)});
    }
  }
}

constexpr int64_t kSourcesAtATime = 64;

// Fills `x_bar`, per population and of these `sizes`: zero where a source is not live.
template <class T>
void pull_spikes(const std::vector<T*>& x_bar, const std::vector<const uint8_t*>& live,
                 const std::vector<int64_t>& sizes, const Slots<T>& slots,
                 const std::vector<Projection<T>>& all,
                 const std::vector<std::vector<int>>& of_population, ffi::ThreadPool& pool,
                 int64_t parallel_from) {
  static thread_local std::vector<Source> memory;
  std::vector<Source>& sources = memory;  // this thread's, also where another reads it
  sources.clear();
  double synapses = 0;
  for (size_t p = 0; p < x_bar.size(); ++p) {
    const size_t before = sources.size();
    std::memset(x_bar[p], 0, sizes[p] * sizeof(T));
    find_live(live[p], sizes[p], static_cast<int32_t>(p), sources);
    for (int j : of_population[p]) {
      synapses += static_cast<double>(sources.size() - before) * all[j].mean_fan_out(sizes[p]);
    }
  }
  const auto pull = [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      const auto [p, i] = sources[k];
      x_bar[p][i] = pull_source(i, slots, all, of_population[p]);
    }
  };
  const int64_t count = sources.size();
  if (synapses < parallel_from) return pull(0, count);
  share(pool, (count + kSourcesAtATime - 1) / kSourcesAtATime, [&](int64_t block) {
    pull(block * kSourcesAtATime, std::min((block + 1) * kSourcesAtATime, count));
  });
}

}  // namespace brainjax
