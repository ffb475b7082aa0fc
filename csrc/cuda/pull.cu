// The transpose of a push into a ring on a GPU: csrc/pull.h.
//
// A team of threads reads the row of a source, each thread every so many synapses, and their sums are
// joined in one order: the bits depend neither on the run nor on the machine, and are not those of the
// CPU. Weights of which every synapse has its own are summed on the way. Those that synapses share are
// summed by a kernel of their own: one weight for all from what each source gives to it, weights of a
// convolution from all places in which they stand.

#include "begin.h"

namespace brainjax::cuda {
namespace {

// Sums of `width` numbers each (a power of two), of the kThreads in `x`: they are where each begins.
template <class T>
BRAINJAX_DEVICE void join(const Block& block, T* x, int width) {
  for (int half = width / 2; half; half /= 2) {
    block.each(kThreads, [=](int i) {
      if (i % width < half) x[i] += x[i + half];
    });
  }
}

// The currents of the step in which a spike lands over a delay.
template <class T>
BRAINJAX_DEVICE const T* landing(const Network<T>& net, int64_t delay, int32_t num_slots,
                                 int32_t num_targets) {
  return net.ring() + int64_t{slot_of(net.head() - 1 + delay, num_slots)} * num_targets;
}

// What a synapse of a projection lands in, of these.
template <class T>
BRAINJAX_DEVICE T landed(const Projection<T>& row, const T* bar, int64_t target) {
  return row.reaches(target) ? bar[target] : unknown<T>();
}

// What reaches each source that is live, and the weights of the synapses of each that spiked.
template <class T, bool kWeights>
struct PullRows {
  struct Shared {
    T dot[kThreads], given[kThreads];
  };

  Scratch<T> scratch;
  int64_t num_examples, num_teams;
  int32_t num_slots, num_targets;

  int64_t blocks() const { return num_examples * num_teams; }

  BRAINJAX_DEVICE void operator()(const Block& block, Shared& s) const {
    const int64_t example = block.index / num_teams, part = block.index % num_teams;
    const Network<T> net = scratch.network(example);
    const int at = population_of(part, scratch.num_populations, [&](int q) {
      return net.population(q).place.first_teams;
    });
    const Population<T>& p = net.population(at);
    const int64_t first = (part - p.place.first_teams) * kTeams;
    const auto live = [&](int64_t i) { return p.live[i] != 0; };
    const auto spike = [&](int64_t i) { return kWeights ? p.x[i] : T{0}; };
    const bool some = block.any(kTeams, [&](int i) {
      if (first + i >= p.place.size) return false;
      p.x_bar[first + i] = 0;
      return live(first + i) || spike(first + i) != 0;
    });
    if (!some) return;
    block.each(kThreads, [&](int i) { s.dot[i] = 0; });
    for (int j = 0; j < p.place.num_projections; ++j) {
      const Projection<T>& row = net.projection(p.place.first_projection + j);
      block.each(kThreads, [&](int i) {
        const int64_t source = first + i / kLanes;
        s.given[i] = 0;
        if (source >= p.place.size) return;
        const T x = spike(source);
        if (!live(source) && x == 0) return;
        const Run run = row.row(source);
        if (run.lost()) {
          s.dot[i] = s.given[i] = unknown<T>();
          return;
        }
        const T sum = read(net, row, source, run, i % kLanes, live(source), x, s.given[i]);
        if (live(source)) s.dot[i] += sum;
      });
      if (!kWeights || row.stride) continue;
      join(block, s.given, kLanes);
      T* kept = scratch.shared(example) + row.place.first_shared;
      block.each(kTeams, [&](int i) {
        if (first + i < p.place.size) kept[first + i] = s.given[i * kLanes];
      });
    }
    join(block, s.dot, kLanes);
    block.each(kTeams, [&](int i) {
      const T sum = s.dot[i * kLanes];  // 0 where a source is not live, unless its row is lost
      if (first + i < p.place.size && sum != 0) p.x_bar[first + i] = sum;
    });
  }

 private:
  // What a thread finds in its part of a row, that of a source: what reaches the spike; in `given`, what
  // would with a weight of 1 where all synapses have one.
  BRAINJAX_DEVICE T read(const Network<T>& net, const Projection<T>& row, int64_t source, Run run,
                         int lane, bool live, T x, T& given) const {
    const bool own = row.stride && row.place.format != kConvolution;
    T sum = 0, of_one = 0;
    for (int64_t k = run.first + lane; k < run.last; k += kLanes) {
      Synapse<T> s;
      if (!row.synapse(source, k, s)) continue;
      const T bar = landed(
          row, landing(net, row.delay_of(source, k), num_slots, num_targets), s.target);
      if (!row.stride) {
        of_one += row.has_factors() ? s.factor * bar : bar;
        continue;
      }
      if (live) sum += row.weight[s.weight] * bar;
      if (kWeights && own && x != 0) row.weight2[s.weight] += x * bar;
    }
    given = of_one;
    return row.stride ? sum : row.weight[0] * of_one;
  }
};

// What reaches weights that synapses share.
template <class T>
struct PullShared {
  struct Shared {
    T sum[kThreads];
  };

  Scratch<T> scratch;
  int64_t num_examples, num_sums;
  int32_t num_slots, num_targets;

  int64_t blocks() const { return num_examples * num_sums; }

  BRAINJAX_DEVICE void operator()(const Block& block, Shared& s) const {
    const int64_t example = block.index / num_sums, part = block.index % num_sums;
    const Network<T> net = scratch.network(example);
    for (int p = 0; p < scratch.num_populations; ++p) {
      const Population<T>& of = net.population(p);
      for (int k = 0; k < of.place.num_projections; ++k) {
        const Projection<T>& row = net.projection(of.place.first_projection + k);
        const int64_t here = part - row.place.first_sums;
        if (here < 0 || here >= row.place.num_sums) continue;
        return row.stride ? kernel(block, net, of, row, here) : one(block, s, example, of, row);
      }
    }
  }

 private:
  BRAINJAX_DEVICE void one(const Block& block, Shared& s, int64_t example, const Population<T>& of,
                           const Projection<T>& row) const {
    const T* kept = scratch.shared(example) + row.place.first_shared;
    block.each(kThreads, [&](int i) {
      T sum = 0;
      for (int64_t k = i; k < of.place.size; k += kThreads) {
        if (of.x[k] != 0) sum += of.x[k] * kept[k];
      }
      s.sum[i] = sum;
    });
    join(block, s.sum, kThreads);
    block.each(1, [&](int) { row.weight2[0] += s.sum[0]; });
  }

  // A weight of a convolution for each thread: over all outputs, the source that it joins to them.
  BRAINJAX_DEVICE void kernel(const Block& block, const Network<T>& net, const Population<T>& of,
                              const Projection<T>& row, int64_t part) const {
    const auto& n = *reinterpret_cast<const typename Projection<T>::Geometry*>(row.shape);
    const int64_t height = of.place.size / (n.width * n.in), number = n.fan_out * n.in;
    const T* bar = landing(net, row.delay, num_slots, num_targets);
    block.each(kThreads, [&](int i) {
      const int64_t w = part * kThreads + i;
      if (w >= number) return;
      const int64_t to = w % n.out, channel = w / n.out % n.in, at = w / n.out / n.in;
      T sum = 0;
      for (int64_t pixel = 0; pixel < n.out_height * n.out_width; ++pixel) {
        const int64_t y = pixel / n.out_width * n.stride_y + at / n.kernel_width - n.pad_y,
                      x = pixel % n.out_width * n.stride_x + at % n.kernel_width - n.pad_x;
        if (y < 0 || y >= height || x < 0 || x >= n.width) continue;
        const T spike = of.x[(y * n.width + x) * n.in + channel];
        if (spike != 0) sum += spike * landed(row, bar, row.origin + pixel * n.out + to);
      }
      row.weight2[w] += sum;
    });
  }
};

template <class T>
ffi::Error pull(const Stream& stream, const Call& call, const Scratch<T>& scratch, bool weights) {
  const PullRows<T, false> rows{scratch, call.num_examples, call.num_teams, call.num_slots,
                                call.num_targets};
  ffi::Error error = begin(stream, call, scratch);
  if (error.failure()) return error;
  if (!weights) return launch(stream, rows.blocks(), rows);
  const PullRows<T, true> both{scratch, call.num_examples, call.num_teams, call.num_slots,
                               call.num_targets};
  const PullShared<T> shared{scratch, call.num_examples, call.num_sums, call.num_slots,
                             call.num_targets};
  error = launch(stream, both.blocks(), both);
  return error.success() ? launch(stream, shared.blocks(), shared) : error;
}

ffi::Error pull_ring(Stream stream, ffi::RemainingArgs args, ffi::RemainingRets rets,
                     int64_t batch, int64_t with_weights, Numbers sources, Numbers formats,
                     Numbers reach) {
  Decoded decoded(args, rets, batch);
  const int n = static_cast<int>(num_populations(sources)),
            m = static_cast<int>(sources.size()), moved = with_weights ? m : 0;
  Call& call = decoded.call();
  call.at.due_bar = 1;
  call.at.head = 2;
  call.at.live = 3;
  const int w_bar = 3 + n;
  call.at.ring = decoded.result(0);
  call.at.x_bar = decoded.result(1);
  call.at.w = w_bar + moved;
  if (with_weights) {
    call.at.x = call.at.w;
    call.at.w += n;
    call.at.w2 = decoded.result(1 + n);
  }
  call.at.rows = call.at.w + m;
  const Operand& ring = decoded.rets()[0];
  ffi::Error error = decoded.network(sources, formats, reach, ring.dims[batch],
                                     ring.dims[batch + 1], ring);
  if (error.success()) error = decoded.carry_over(stream, 0, 0, 1);
  if (error.success()) error = decoded.carry_over(stream, w_bar, 1 + n, moved);
  if (error.failure()) return error;
  return with_float(args.get<ffi::AnyBuffer>(0)->element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    Scratch<T> scratch;
    const ffi::Error failed = scratch_of(call, decoded.rets().back(), scratch);
    if (failed.failure()) return failed;
    return pull(stream, call, scratch, with_weights != 0);
  });
}

}  // namespace
}  // namespace brainjax::cuda

XLA_FFI_DEFINE_HANDLER_SYMBOL(CudaPullRing, brainjax::cuda::pull_ring,
                              brainjax::cuda::bind()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("batch")
                                  .Attr<int64_t>("with_weights")
                                  .Attr<brainjax::Numbers>("sources")
                                  .Attr<brainjax::Numbers>("formats")
                                  .Attr<brainjax::Numbers>("reach"),
                              {xla::ffi::Traits::kCmdBufferCompatible});
