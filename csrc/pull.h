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

template <class T>
using Four __attribute__((vector_size(4 * sizeof(T)))) = T;

// The weights of a piece: one a synapse, or one for all.
template <class T>
struct Own {
  const T* __restrict weight;
  T operator[](int64_t s) const { return weight[s]; }
  void four(int64_t s, Four<T>& out) const { std::memcpy(&out, weight + s, sizeof(out)); }
  void fetch(int64_t s) const { __builtin_prefetch(weight + s); }
};
template <class T>
struct Shared {
  T weight;
  T operator[](int64_t) const { return weight; }
  void four(int64_t, Four<T>& out) const { out = Four<T>{} + weight; }
  void fetch(int64_t) const {}
};

template <class Index>
inline void fetch(Listed<Index> to, int64_t s) { __builtin_prefetch(to.target + s); }
inline void fetch(Counted, int64_t) {}

// How many synapses ahead memory is fetched: behind a row lies that of the next source.
constexpr int64_t kAhead = 256;

// A sum of products as four sums, since an addition waits for the one before it. Which product goes
// into which sum is part of the result: it depends on the row, never on the machine.
template <class T>
struct Dot {
  Four<T> sum{};

  T total() const { return (sum[0] + sum[2]) + (sum[1] + sum[3]); }

  template <class Weights, class Targets>
  inline __attribute__((always_inline)) void add(const T* __restrict bar, int64_t count,
                                                 Weights w, Targets to) {
    bar = from_origin(bar, to.origin);
    Four<T> all = sum;
    int64_t s = 0;
    for (; s + 4 <= count; s += 4) {
      if (s % kPerLine<T> == 0) {
        w.fetch(s + kAhead);
        fetch(to, s + kAhead);
      }
      Four<T> own;
      w.four(s, own);
      all += own * Four<T>{bar[to[s]], bar[to[s + 1]], bar[to[s + 2]], bar[to[s + 3]]};
    }
    // How many are left differs from row to row: a branch for each would mostly be guessed wrong. What
    // is there again is not added: no sum is -0, so zero changes nothing.
    if (s < count) {
      const int64_t last = count - 1, second = std::min(s + 1, last), third = std::min(s + 2, last);
      const Four<T> more{w[s] * bar[to[s]], w[second] * bar[to[second]], w[third] * bar[to[third]], 0};
      all += Four<T>{more[0], s + 1 < count ? more[1] : 0, s + 2 < count ? more[2] : 0, 0};
    }
    sum = all;
  }
};

// Calls f(row, bar, count, targets, k, factor) for the pieces of all rows of a source: those of
// `for_each_piece`, with the currents `bar` of the step in which they land. With `known`, of each
// projection, all targets lie within: others are compared. Without, f compares those that are stored.
template <class T, class F>
inline __attribute__((always_inline)) void for_each_landing(
    int64_t source, const Slots<T>& slots, const std::vector<Projection<T>>& all,
    const std::vector<int>& from, const Span* known, F f) {
  for (int j : from) {
    const Projection<T>& row = all[j];
    const auto land = [&](int64_t delay, int64_t first, int64_t last) {
      const T* bar = slots.over(delay);
      row.for_each_piece(source, first, last, [&](int64_t count, auto to, int64_t k,
                                                  const T* factor) {
        f(row, bar, count, to, k, factor);
      });
    };
    row.for_each_group(source, land, known ? known + j : nullptr);
  }
}

// What reaches the spike of a source through the projections `from` its population.
template <class T>
T pull_source(int64_t source, const Slots<T>& slots, const std::vector<Projection<T>>& all,
              const std::vector<int>& from, const Span* known) {
  Dot<T> dot;
  for_each_landing(source, slots, all, from, known, [&](const Projection<T>& row, const T* bar,
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
  for_each_landing(source, slots, all, from, nullptr, [&](const Projection<T>& row, const T* bar,
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

// Appends the sources that are live to the `count` there are, and returns how many there are then.
// All are written, since a branch would be guessed wrong where about half are live.
inline int64_t find_live(const uint8_t* live, int64_t size, int32_t population,
                         std::vector<Source>& out, int64_t count) {
  if (static_cast<int64_t>(out.size()) < count + size + 1) out.resize(count + size + 1);
  for (int64_t begin = 0; begin < size; begin += 8) {
    const int64_t end = std::min(begin + 8, size);
    uint64_t eight = 0;
    std::memcpy(&eight, live + begin, end - begin);
    if (!eight) continue;
    for (int64_t i = begin; i < end; ++i) {
      out[count] = {population, static_cast<int32_t>(i)};
      count += live[i] != 0;
    }
  }
  return count;
}

constexpr int64_t kSourcesAtATime = 64;
// The targets of a number of sources are compared at once where those between take no more than this
// many times the work.
constexpr int64_t kBetween = 3;

// Fills `x_bar`, per population and of these `sizes`: zero where a source is not live.
template <class T>
void pull_spikes(const std::vector<T*>& x_bar, const std::vector<const uint8_t*>& live,
                 const std::vector<int64_t>& sizes, const Slots<T>& slots,
                 const std::vector<Projection<T>>& all,
                 const std::vector<std::vector<int>>& of_population, ffi::ThreadPool& pool,
                 int64_t parallel_from) {
  static thread_local std::vector<Source> memory;
  std::vector<Source>& sources = memory;  // this thread's, also where another reads it
  int64_t count = 0;
  double synapses = 0;
  for (size_t p = 0; p < x_bar.size(); ++p) {
    const int64_t before = count;
    std::memset(x_bar[p], 0, sizes[p] * sizeof(T));
    count = find_live(live[p], sizes[p], static_cast<int32_t>(p), sources, before);
    for (int j : of_population[p]) {
      synapses += static_cast<double>(count - before) * all[j].mean_fan_out(sizes[p]);
    }
  }
  const auto pull = [&](int64_t block) {
    static thread_local std::vector<Span> known;
    known.resize(all.size());
    const int64_t end = std::min((block + 1) * kSourcesAtATime, count);
    for (int64_t k = block * kSourcesAtATime; k < end;) {
      const int32_t p = sources[k].population;
      int64_t last = end;
      while (sources[last - 1].population != p) --last;
      const int64_t from = sources[k].neuron, to = sources[last - 1].neuron;
      const bool dense = to - from < kBetween * (last - k);
      for (int j : of_population[p]) known[j] = dense ? all[j].compared(from, to) : Span{};
      for (; k < last; ++k) {
        const int32_t i = sources[k].neuron;
        x_bar[p][i] = pull_source(i, slots, all, of_population[p], known.data());
      }
    }
  };
  const int64_t blocks = (count + kSourcesAtATime - 1) / kSourcesAtATime;
  if (synapses >= parallel_from) return share(pool, blocks, pull);
  for (int64_t block = 0; block < blocks; ++block) pull(block);
}

}  // namespace brainjax
