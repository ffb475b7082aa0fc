// Synapses of the spikes that are due, added to their accumulators in the order of rows.h.
//
// A block owns a stretch of the accumulators and walks all that is due, in order: from slots to spikes
// and projections, from these to synapses, each time a chunk at a time whose parts are found by sums
// and searches. It keeps what ends in its own accumulators. Of a chunk of synapses, those that are the
// first to go to their accumulator are added at once, then the next; there are as many rounds as the
// most that go to one, two or three as a rule. So every accumulator gets its terms one by one, in the
// same order as on the CPU, without atomic additions.
//
// A block that meets what leads out of an array hands out NaN in the place of all that is due in its
// stretch: some that a projection may end in, and which these are depends on the machine.
//
// That a block looks at synapses that are not its own is the price. It looks at those of projections
// that may end in its stretch, a receptor as a rule, and where targets are sorted it finds its own by
// two searches. Sorting the events by target costs more launches, and memory for as many events as
// there may be at most, which are all synapses; atomic additions of integers do not give the bits of
// the CPU, and no one knows the scale of weights beforehand. None of this was measured on a GPU yet, nor
// were the sizes of blocks and tiles.

#pragma once

#include "begin.h"

namespace brainjax::cuda {

constexpr int kChunk = 4 * kThreads;  // synapses
constexpr int kBuckets = kChunk;
constexpr int32_t kNone = 0x7fffffff;
constexpr int64_t kLeastTile = kThreads / 4;

// How many blocks share the accumulators of an example.
inline int64_t tiles_for(int64_t num_targets, int64_t num_examples) {
  const int64_t wanted = (2 * multiprocessors() + num_examples - 1) / num_examples;
  const int64_t most = (num_targets + kLeastTile - 1) / kLeastTile;
  return wanted < most ? wanted : most < 1 ? 1 : most;
}

// `kHistory`: from the spikes of all slots into `due`; else from those of this step into a ring, whose
// slot that is due is then moved to `due`. `kMoves`: weights move too.
template <class T, bool kHistory, bool kMoves>
struct Deliver {
  struct Task {
    int64_t first;  // synapse
    int32_t source, projection;
    T spike, spike2;
  };
  struct Shared {
    int16_t relevant[kMostProjections];     // projections that may end here, by population
    int16_t first_relevant[kMostPopulations + 1];
    int64_t list_end[kThreads], task_end[kThreads], spare[kThreads];
    Task task[kThreads];
    int32_t to[kChunk];       // accumulators, or -1
    T amount[kChunk];
    int32_t first[kBuckets];  // of a chunk, the first synapse of a bucket
    int32_t lost;             // whether something led out; all who say so write the same
  };

  Scratch<T> scratch;
  int64_t num_examples, tiles;
  int32_t num_slots, num_targets;

  int64_t blocks() const { return num_examples * tiles; }

  BRAINJAX_DEVICE void operator()(const Block& block, Shared& s) const {
    const Network<T> net = scratch.network(block.index / tiles);
    const int64_t tile = block.index % tiles;
    const auto begin = static_cast<int32_t>(tile * num_targets / tiles),
               end = static_cast<int32_t>((tile + 1) * num_targets / tiles);
    T* due = net.due();
    block.each(kBuckets, [&](int i) { s.first[i] = kNone; });
    block.each(1, [&](int) { s.lost = 0; });
    if (kHistory) block.each(end - begin, [&](int i) { due[begin + i] = 0; });
    select(block, s, net, begin, end);
    const int n = scratch.num_populations;
    const int64_t lists = kHistory ? int64_t{num_slots} * n : n;
    for (int64_t first = 0; first < lists; first += kThreads) {
      const int count = static_cast<int>(lists - first < kThreads ? lists - first : kThreads);
      block.each(count, [&](int i) {
        const List list = of(net, first + i);
        const bool holds = ordered(0, list.count, net.population(list.population).place.size);
        if (!holds) s.lost = 1;
        s.list_end[i] = holds ? int64_t{list.count} * width(s, list.population) : 0;
      });
      const int64_t tasks = sums(block, s.list_end, s.spare, count);
      for (int64_t t = 0; t < tasks; t += kThreads) {
        const int some = static_cast<int>(tasks - t < kThreads ? tasks - t : kThreads);
        block.each(some, [&](int i) { find(s, net, first, count, t, i, begin, end); });
        const int64_t synapses = sums(block, s.task_end, s.spare, some);
        for (int64_t k = 0; k < synapses; k += kChunk) {
          const int here = static_cast<int>(synapses - k < kChunk ? synapses - k : kChunk);
          add(block, s, net, some, k, here, begin, end);
        }
      }
    }
    if (!kHistory) {
      T* slot = net.ring() + int64_t{slot_of(net.head(), num_slots)} * num_targets;
      block.each(end - begin, [&](int i) {
        due[begin + i] = slot[begin + i];
        slot[begin + i] = 0;
      });
    }
    if (!block.broadcast(s.lost)) return;
    block.each(end - begin, [&](int i) { due[begin + i] = unknown<T>(); });
  }

 private:
  // Spikes of one population: of a slot, or of this step.
  struct List {
    int32_t population, delay, slot, count;
  };

  BRAINJAX_DEVICE List of(const Network<T>& net, int64_t list) const {
    const int n = scratch.num_populations;
    List out{static_cast<int32_t>(list % n), 0, 0, 0};
    if (kHistory) {
      out.delay = num_slots - static_cast<int32_t>(list / n);
      out.slot = slot_of(net.head() - out.delay, num_slots);
    }
    out.count = net.population(out.population).count[out.slot];
    return out;
  }

  BRAINJAX_DEVICE static int width(const Shared& s, int p) {
    return s.first_relevant[p + 1] - s.first_relevant[p];
  }

  // Which projections may end in begin..end.
  BRAINJAX_DEVICE void select(const Block& block, Shared& s, const Network<T>& net, int32_t begin,
                              int32_t end) const {
    const int m = scratch.num_projections;
    int kept = 0;
    block.each(scratch.num_populations + 1, [&](int p) { s.first_relevant[p] = 0; });
    for (int first = 0; first < m; first += kThreads) {
      const int count = m - first < kThreads ? m - first : kThreads;
      const auto reaches = [&](int j) {
        const ProjectionPlace& place = net.projection(j).place;
        return place.begin < end && place.end > begin;
      };
      block.each(count, [&](int i) { s.task_end[i] = reaches(first + i); });
      const int some = static_cast<int>(sums(block, s.task_end, s.spare, count));
      block.each(count, [&](int i) {
        const int at = kept + static_cast<int>(begin_of(s.task_end, i));
        if (reaches(first + i)) s.relevant[at] = static_cast<int16_t>(first + i);
      });
      // Where the projections of a population end that end in this stretch.
      block.each(scratch.num_populations, [&](int p) {
        const PopulationPlace& place = net.population(p).place;
        const int behind = place.first_projection + place.num_projections;
        if (behind <= first || behind > first + count) return;
        s.first_relevant[p + 1] =
            static_cast<int16_t>(kept + begin_of(s.task_end, behind - first));
      });
      kept += some;
    }
  }

  // The i-th spike and projection of a chunk, with what is due of them.
  BRAINJAX_DEVICE void find(Shared& s, const Network<T>& net, int64_t first_list, int lists,
                            int64_t chunk, int i, int32_t begin, int32_t end) const {
    const int at = first_above(s.list_end, lists, chunk + i);
    const List list = of(net, first_list + at);
    const int64_t k = chunk + i - begin_of(s.list_end, at);
    const int across = width(s, list.population);
    const Population<T>& p = net.population(list.population);
    const int64_t spike = k / across + int64_t{list.slot} * p.place.size;
    Task& task = s.task[i];
    task.source = p.neuron[spike];
    task.projection = s.relevant[s.first_relevant[list.population] + k % across];
    const Projection<T>& row = net.projection(task.projection);
    const int64_t later = int64_t{list.delay} - p.least_delay;
    Run run{0, 0};
    if (kHistory && (task.source < 0 || task.source >= p.place.size)) {
      run = {0, -1};
    } else if (!kHistory) {
      task.spike = p.x[task.source];
      if (kMoves) task.spike2 = p.x2[task.source];
      run = row.row(task.source);
    } else {
      task.spike = p.value[spike];
      if (!p.table) {
        run = row.group(task.source, list.delay);
      } else if (later >= 0 && later < p.place.span) {
        const int64_t line = task.source * int64_t{p.place.span + 1} + later;
        const int32_t* cell =
            p.table + line * p.place.width + task.projection - p.place.first_projection;
        run = {cell[0], cell[p.place.width]};  // to where the next delay begins
        run = run.first == run.last ? Run{0, 0} : row.held(task.source, run);
      }
    }
    run = row.clipped(task.source, run, kHistory, begin, end);
    if (run.lost()) s.lost = 1, run = {0, 0};
    task.first = run.first;
    s.task_end[i] = run.last - run.first;
  }

  // Adds synapses of a chunk of tasks, from the k-th on.
  BRAINJAX_DEVICE void add(const Block& block, Shared& s, const Network<T>& net, int tasks,
                           int64_t k, int count, int32_t begin, int32_t end) const {
    const int64_t before = kHistory ? 0 : slot_of(net.head() - 1, num_slots);
    bool left = block.any(count, [&](int i) {
      s.to[i] = -1;
      const int at = first_above(s.task_end, tasks, k + i);
      const Task& task = s.task[at];
      const Projection<T>& row = net.projection(task.projection);
      const int64_t number = task.first + k + i - begin_of(s.task_end, at);
      Synapse<T> synapse;
      if (!row.synapse(task.source, number, synapse)) return false;
      if (!row.reaches(synapse.target)) s.lost = 1;
      else if (synapse.target >= begin && synapse.target < end) s.to[i] = synapse.target;
      if (s.to[i] < 0) return false;
      if (!kHistory) {
        const int32_t slot = slot_of(before + row.delay_of(task.source, number), num_slots);
        s.to[i] += slot * num_targets;
      }
      s.amount[i] = kMoves ? row.amount(synapse, task.spike, task.spike2)
                           : row.amount(synapse, task.spike);
      return true;
    });
    T* sum = kHistory ? net.due() : net.ring();
    while (left) {
      block.each(count, [&](int i) {
        if (s.to[i] >= 0) atomic_min(&s.first[s.to[i] % kBuckets], i);
      });
      left = block.any(count, [&](int i) {
        if (s.to[i] < 0) return false;
        int32_t& first = s.first[s.to[i] % kBuckets];
        if (first != i) return true;  // so too where the one that is first has just said kNone
        sum[s.to[i]] += s.amount[i];
        s.to[i] = -1;
        first = kNone;
        return false;
      });
    }
  }
};

// The launches of a delivery: to describe the call, to list who spiked, to add.
template <class T, bool kHistory, bool kMoves>
ffi::Error run(const Stream& stream, const Call& call, const Scratch<T>& scratch) {
  const Deliver<T, kHistory, kMoves> deliver{scratch, call.num_examples,
                                             tiles_for(call.num_targets, call.num_examples),
                                             call.num_slots, call.num_targets};
  ffi::Error error = begin(stream, call, scratch);
  if (error.success()) error = list(stream, call, scratch);
  if (error.success()) error = launch(stream, deliver.blocks(), deliver);
  return error;
}

}  // namespace brainjax::cuda
