#include "begin.h"

namespace brainjax::cuda {
namespace {

template <class T>
BRAINJAX_DEVICE bool spiked(const Population<T>& p, int64_t i) {
  return p.x[i] != 0 || (p.x2 && p.x2[i] != 0);
}

template <class T>
struct Begin {
  struct Shared {
    int32_t found;
  };

  Call call;
  Scratch<T> scratch;

  BRAINJAX_INLINE int64_t stretches() const {
    if (call.at.due_bar < 0) return call.num_blocks;
    return (call.num_targets + kBlockSources - 1) / kBlockSources;
  }
  int64_t blocks() const { return call.num_examples * (1 + stretches()); }

  BRAINJAX_DEVICE void operator()(const Block& block, Shared& shared) const {
    const int64_t each = 1 + stretches();
    const int64_t example = block.index / each, part = block.index % each - 1;
    const Network<T> net = scratch.network(example);
    if (part >= 0 && call.at.due_bar >= 0) return put_back(block, example, part);
    if (part >= 0) return count(block, shared, net, example, part);
    block.each(1, [&](int) {
      const int32_t* head = call.template pointer<int32_t>(call.at.head, example);
      net.head() = head ? *head : 0;
      net.ring() = call.template pointer<T>(call.at.ring, example);
      net.due() = call.template pointer<T>(call.at.due, example);
    });
    block.each(call.num_populations, [&](int p) { population(net, example, p); });
    block.each(call.num_projections, [&](int j) { projection(net, example, j); });
  }

 private:
  BRAINJAX_DEVICE void count(const Block& block, Shared& shared, const Network<T>& net,
                             int64_t example, int64_t part) const {
    const int p = population_of(part, call.num_populations,
                                [&](int q) { return call.populations[q].first_block; });
    const PopulationPlace& place = call.populations[p];
    Population<T> spikes;
    spikes.x = call.template pointer<const T>(call.at.x + p, example);
    spikes.x2 = call.at.x2 < 0 ? nullptr : call.template pointer<const T>(call.at.x2 + p, example);
    const int64_t first = (part - place.first_block) * kBlockSources;
    const int64_t rest = place.size - first;
    block.each(1, [&](int) { shared.found = 0; });
    block.each(static_cast<int>(rest < kBlockSources ? rest : kBlockSources), [&](int i) {
      if (spiked(spikes, first + i)) atomic_add(&shared.found, 1);
    });
    block.each(1, [&](int) { net.found()[part] = shared.found; });
  }

  BRAINJAX_DEVICE void put_back(const Block& block, int64_t example, int64_t part) const {
    const int64_t head = *call.template pointer<int32_t>(call.at.head, example);
    const T* due_bar = call.template pointer<const T>(call.at.due_bar, example);
    T* slot = call.template pointer<T>(call.at.ring, example) +
              int64_t{slot_of(head, call.num_slots)} * call.num_targets;
    const int64_t first = part * kBlockSources, rest = call.num_targets - first;
    block.each(static_cast<int>(rest < kBlockSources ? rest : kBlockSources),
               [&](int i) { slot[first + i] = due_bar[first + i]; });
  }

  template <class U>
  BRAINJAX_DEVICE U* of_population(int at, int p, int64_t example) const {
    return at < 0 ? nullptr : call.template pointer<U>(at + p, example);
  }

  BRAINJAX_DEVICE void population(const Network<T>& net, int64_t example, int p) const {
    Population<T> out{};
    out.place = call.populations[p];
    out.x = of_population<const T>(call.at.x, p, example);
    out.x2 = of_population<const T>(call.at.x2, p, example);
    out.live = of_population<const uint8_t>(call.at.live, p, example);
    out.x_bar = of_population<T>(call.at.x_bar, p, example);
    if (call.at.held >= 0) {
      out.neuron = call.template pointer<int32_t>(call.at.held + 3 * p, example);
      out.value = call.template pointer<T>(call.at.held + 3 * p + 1, example);
      out.count = call.template pointer<int32_t>(call.at.held + 3 * p + 2, example);
    } else {
      out.neuron = net.active() + out.place.first_source;
      out.count = net.number() + p;
    }
    if (out.place.width) {
      out.table = call.template pointer<int32_t>(call.at.tables + 2 * p, example);
      out.least_delay = *call.template pointer<int32_t>(call.at.tables + 2 * p + 1, example);
    }
    net.population(p) = out;
  }

  BRAINJAX_DEVICE void projection(const Network<T>& net, int64_t example, int j) const {
    const ProjectionPlace& place = call.projections[j];
    const auto row = [&](int k) { return call.template pointer<int32_t>(k, example); };
    Projection<T>& out = net.projection(j);
    out.place = place;
    const int64_t* numbers = call.numbers + place.number;
    for (int i = 0; i < kMostFixed; ++i) out.shape[i] = i < numbers[-2] - 1 ? numbers[i] : 0;
    out.stride = place.scalar ? 0 : 1;
    out.weight = call.template pointer<const T>(place.weight, example);
    out.weight2 = call.template pointer<T>(place.weight2, example);
    const int delay = place.delay, field = place.field;
    if (place.grouped) {
      out.source_ptr = row(delay), out.group_delay = row(delay + 1), out.group_ptr = row(delay + 2);
      out.num_groups = call.fields[delay + 1].bytes / sizeof(int32_t);
    } else {
      out.delay = *row(delay);
    }
    if (place.format == kRows || place.format == kFixedFanOut) {
      out.target = row(field);
      out.num_synapses =
          call.fields[field].bytes / (place.narrow ? sizeof(uint16_t) : sizeof(int32_t));
      out.origin = numbers[place.format == kRows ? 0 : 1];
      return;
    }
    out.origin = *row(field);
    if (place.format != kProcedural) return;
    out.held_from = *row(field + 1);
    const void* table = place.has_table ? row(field + 4) : nullptr;
    out.made = Procedural(numbers + 2, call.template pointer<uint32_t>(field + 2, example),
                          row(field + 3), table);
  }
};

template <class T>
struct List {
  struct Shared {
    int64_t found[kThreads], spare[kThreads];
    int32_t before;
  };

  Scratch<T> scratch;
  int64_t num_examples;
  int32_t num_slots;  // of a history; 0 if there is none

  int64_t blocks() const { return num_examples * scratch.num_blocks; }

  BRAINJAX_DEVICE void operator()(const Block& block, Shared& shared) const {
    const int64_t example = block.index / scratch.num_blocks,
                  part = block.index % scratch.num_blocks;
    const Network<T> net = scratch.network(example);
    const int p = population_of(part, scratch.num_populations, [&](int q) {
      return net.population(q).place.first_block;
    });
    const Population<T>& of = net.population(p);
    const int64_t first = (part - of.place.first_block) * kBlockSources;
    const bool last = first + kBlockSources >= of.place.size;
    if (!net.found()[part] && !last) return;
    block.each(1, [&](int) { shared.before = 0; });
    block.each(static_cast<int>(part - of.place.first_block), [&](int i) {
      atomic_add(&shared.before, net.found()[of.place.first_block + i]);
    });
    constexpr int kEach = kBlockSources / kThreads;
    const auto for_each = [&](int i, auto f) {
      for (int64_t k = first + i * kEach; k < first + (i + 1) * kEach; ++k) {
        if (k < of.place.size && spiked(of, k)) f(k);
      }
    };
    block.each(kThreads, [&](int i) {
      shared.found[i] = 0;
      for_each(i, [&](int64_t) { ++shared.found[i]; });
    });
    const int64_t total = sums(block, shared.found, shared.spare, kThreads);
    const int32_t slot = num_slots ? slot_of(net.head() - 1, num_slots) : 0;
    const int64_t at = int64_t{slot} * of.place.size + shared.before;
    block.each(kThreads, [&](int i) {
      int64_t k = at + begin_of(shared.found, i);
      for_each(i, [&](int64_t source) {
        of.neuron[k] = static_cast<int32_t>(source);
        if (of.value) of.value[k] = of.x[source];
        ++k;
      });
    });
    if (!last) return;
    block.each(1, [&](int) {
      of.count[slot] = shared.before + static_cast<int32_t>(total);
    });
  }
};

}  // namespace

template <class T>
ffi::Error begin(const Stream& stream, const Call& call, const Scratch<T>& scratch) {
  const Begin<T> kernel{call, scratch};
  return launch(stream, kernel.blocks(), kernel);
}

template <class T>
ffi::Error list(const Stream& stream, const Call& call, const Scratch<T>& scratch) {
  const bool history = call.at.held >= 0;
  const List<T> kernel{scratch, call.num_examples, history ? call.num_slots : 0};
  return launch(stream, kernel.blocks(), kernel);
}

template ffi::Error begin(const Stream&, const Call&, const Scratch<float>&);
template ffi::Error begin(const Stream&, const Call&, const Scratch<double>&);
template ffi::Error list(const Stream&, const Call&, const Scratch<float>&);
template ffi::Error list(const Stream&, const Call&, const Scratch<double>&);

}  // namespace brainjax::cuda
