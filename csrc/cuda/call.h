// The operands of a call, as a kernel is handed them: the one place that knows where they stand.
//
// Nothing on the device may be read here, and nothing is copied to it but the arguments of kernels: a
// call can be recorded in a CUDA graph. So `Call` says where operands lie, and the first kernel works
// out on the device what that means for each example of a batch (network.h).

#pragma once

#include <vector>

#include "../formats.h"
#include "grid.h"

namespace brainjax::cuda {

// The arguments of a kernel have room for some 32 kB. What is larger runs in plain JAX:
// brainjax/ops/_cuda.py knows these numbers too.
constexpr int kMostOperands = 1000, kMostNumbers = 640, kMostProjections = 160,
              kMostPopulations = 48, kMostBatchAxes = 8;

// An operand or result: its first example, the bytes of one, and the batch axes along which it varies.
struct Field {
  char* data;
  uint64_t bytes : 56, axes : 8;
};

struct PopulationPlace {
  int32_t size, span, width;                // of the population; of its table, if it has one
  int32_t first_projection, num_projections;  // in the order of populations
  int32_t first_block;                        // of those that look for its spikes
  int32_t first_source;                       // counted over populations
  int32_t first_teams;                        // blocks whose teams take a source each
};

struct ProjectionPlace {
  int32_t begin, end;        // accumulators that it may reach
  int32_t weight, weight2;   // operands; the second is -1 where there is none
  int32_t delay, field;      // the first array of its delays, and of the rest of its format
  int32_t number;            // the first of its format's fixed numbers
  // Where one weight serves all synapses, what each source adds to it is kept until all is summed.
  int32_t first_shared;
  int32_t first_sums, num_sums;  // blocks that sum for weights that synapses share
  int16_t format;
  bool grouped, wide, narrow, scalar, has_table;  // narrow: targets have 16 bits
};

// Operands as of one example; -1 where a call has none. The k-th of a kind is field at + k.
struct Places {
  int head = -1, ring = -1, due = -1, due_bar = -1;
  int x = -1, x2 = -1;                  // spikes; and those whose weights move
  int live = -1, x_bar = -1;
  int held = -1, tables = -1;           // three and two for each population
  int w = -1, w2 = -1, rows = -1;       // w2: weights that move, or that are summed to
};

struct Call {
  Field fields[kMostOperands];
  int64_t numbers[kMostNumbers];
  PopulationPlace populations[kMostPopulations];
  ProjectionPlace projections[kMostProjections];  // by population, then in the order of the network
  int16_t position[kMostProjections];             // of each in the order of the network
  int64_t dims[kMostBatchAxes];                   // of the batch
  Places at;
  int32_t rank, num_populations, num_projections, num_slots, num_targets;
  // Of an example: blocks that look for spikes, of teams, and that sum for shared weights; neurons, and
  // what `first_shared` counts.
  int64_t num_examples, num_blocks, num_teams, num_sums, num_sources, num_shared;

  // Where an operand begins, of an example.
  template <class T>
  BRAINJAX_DEVICE T* pointer(int field, int64_t example) const {
    if (field < 0) return nullptr;
    const Field& f = fields[field];
    int64_t number = 0, stride = 1;
    for (int i = rank - 1; i >= 0; --i) {
      const int64_t index = example % dims[i];
      example /= dims[i];
      if (!(f.axes >> i & 1)) continue;
      number += index * stride;
      stride *= dims[i];
    }
    return reinterpret_cast<T*>(f.data + number * static_cast<int64_t>(f.bytes));
  }
};

constexpr int kBlockSources = 4 * kThreads;  // neurons that a block looks at for spikes
constexpr int kTeams = kThreads / kLanes;    // of a block: the threads that share a source

// Operands and results of a handler, and what is fixed of a network, as a `Call`.
class Decoded {
 public:
  Decoded(ffi::RemainingArgs args, ffi::RemainingRets rets, int64_t rank)
      : args_(operands(args)), rets_(operands(rets)), call_() {
    call_.rank = static_cast<int32_t>(rank);
  }

  const std::vector<Operand>& args() const { return args_; }
  const std::vector<Operand>& rets() const { return rets_; }
  Call& call() { return call_; }
  // What aliased results start from: `count` of them, and as many operands.
  ffi::Error carry_over(const Stream& stream, size_t arg, size_t ret, size_t count) const {
    for (size_t i = 0; i < count; ++i) {
      const Operand &from = args_[arg + i], &to = rets_[ret + i];
      ffi::Error error = copy(stream, to.data, from.data, to.bytes());
      if (error.failure()) return error;
    }
    return ffi::Error::Success();
  }

  // The field of a result.
  int result(size_t i) const { return static_cast<int>(args_.size() + i); }

  // Fills in all but `at`, which must be there. `full` is a result that every example has.
  ffi::Error network(Numbers sources, Numbers formats, Numbers reach, int64_t num_slots,
                     int64_t num_targets, const Operand& full) {
    const auto of_population = by_population(sources);
    if (args_.size() + rets_.size() > kMostOperands || formats.size() > kMostNumbers ||
        sources.size() > kMostProjections || of_population.size() > kMostPopulations ||
        call_.rank > kMostBatchAxes) {
      return ffi::Error::InvalidArgument("brainjax: more operands than a CUDA kernel takes");
    }
    call_.num_slots = static_cast<int32_t>(num_slots);
    call_.num_targets = static_cast<int32_t>(num_targets);
    call_.num_examples = 1;
    for (int i = 0; i < call_.rank; ++i) {
      call_.dims[i] = full.dims[i];
      call_.num_examples *= full.dims[i];
    }
    for (size_t i = 0; i < args_.size(); ++i) call_.fields[i] = field(args_[i]);
    for (size_t i = 0; i < rets_.size(); ++i) call_.fields[args_.size() + i] = field(rets_[i]);
    for (size_t i = 0; i < formats.size(); ++i) call_.numbers[i] = formats[i];
    populations(of_population);
    projections(sources, of_population, formats, reach);
    return ffi::Error::Success();
  }

 private:
  Field field(const Operand& x) const {
    Field f{x.data, static_cast<uint64_t>(x.item), 0};
    for (int64_t i = call_.rank; i < x.rank; ++i) f.bytes *= static_cast<uint64_t>(x.dims[i]);
    for (int i = 0; i < call_.rank; ++i) f.axes |= static_cast<uint64_t>(x.dims[i] != 1) << i;
    return f;
  }

  int64_t length(const Operand& x) const {
    return static_cast<int64_t>(field(x).bytes) / x.item;
  }

  void populations(const std::vector<std::vector<int>>& of_population) {
    call_.num_populations = static_cast<int32_t>(of_population.size());
    int32_t projection = 0;
    for (int p = 0; p < call_.num_populations; ++p) {
      PopulationPlace& place = call_.populations[p];
      const int x = call_.at.x >= 0 ? call_.at.x : call_.at.live;
      place.size = static_cast<int32_t>(length(args_[x + p]));
      place.first_projection = projection;
      place.num_projections = static_cast<int32_t>(of_population[p].size());
      projection += place.num_projections;
      place.first_source = static_cast<int32_t>(call_.num_sources);
      call_.num_sources += place.size;
      place.first_teams = static_cast<int32_t>(call_.num_teams);
      call_.num_teams += (place.size + kTeams - 1) / kTeams;
      place.first_block = static_cast<int32_t>(call_.num_blocks);
      // One at least, which says that there was no spike.
      call_.num_blocks += place.size ? (place.size + kBlockSources - 1) / kBlockSources : 1;
      if (call_.at.tables < 0) continue;
      const Operand& table = args_[call_.at.tables + 2 * p];
      if (!length(table)) continue;
      place.span = static_cast<int32_t>(table.dims[table.rank - 2] - 1);
      place.width = static_cast<int32_t>(table.dims[table.rank - 1]);
    }
  }

  void projections(Numbers sources, const std::vector<std::vector<int>>& of_population,
                   Numbers formats, Numbers reach) {
    int16_t next = 0;
    for (const auto& of_one : of_population) {
      for (int j : of_one) call_.position[j] = next++;
    }
    call_.num_projections = next;
    const int64_t* numbers = formats.begin();
    int row = call_.at.rows;
    for (size_t j = 0; j < sources.size(); ++j, numbers += 1 + numbers[0]) {
      ProjectionPlace& place = call_.projections[call_.position[j]];
      place.begin = reach.size() ? static_cast<int32_t>(reach[2 * j]) : 0;
      place.end = reach.size() ? static_cast<int32_t>(reach[2 * j + 1]) : call_.num_targets;
      place.format = static_cast<int16_t>(numbers[1]);
      place.number = static_cast<int32_t>(numbers + 2 - formats.begin());
      place.weight = call_.at.w + static_cast<int>(j);
      place.weight2 = call_.at.w2 < 0 ? -1 : call_.at.w2 + static_cast<int>(j);
      place.scalar = args_[place.weight].rank == call_.rank;
      sums(place, call_.populations[sources[j]].size, numbers + 2);
      place.delay = row;
      place.grouped = has_groups(numbers + 1);
      place.wide = place.grouped && args_[row + 2].rank != call_.rank + 1;
      row += place.grouped ? 3 : 1;
      place.field = row;
      switch (numbers[1]) {
        case kRows:
        case kFixedFanOut:
          place.narrow = args_[row].item == sizeof(uint16_t);
          row += 1;
          break;
        case kProcedural:
          place.has_table = length(args_[row + 4]) > 0;
          row += 5;
          break;
        default: row += 1;
      }
    }
  }

  // What a transpose needs where synapses share a weight, in the order of the network: what becomes of
  // it does not depend on that order.
  void sums(ProjectionPlace& place, int64_t size, const int64_t* numbers) {
    place.first_sums = static_cast<int32_t>(call_.num_sums);
    if (call_.at.w2 < 0 || call_.at.x_bar < 0) return;
    if (place.scalar) {
      place.first_shared = static_cast<int32_t>(call_.num_shared);
      call_.num_shared += size;
      call_.num_sums += 1;
    } else if (place.format == kConvolution) {
      call_.num_sums += (numbers[0] * numbers[2] + kThreads - 1) / kThreads;  // kernel's weights
    }
    place.num_sums = static_cast<int32_t>(call_.num_sums) - place.first_sums;
  }

  std::vector<Operand> args_, rets_;
  Call call_;
};

}  // namespace brainjax::cuda
