// The ring of currents: where a spike lands.

#pragma once

#include "batch.h"

namespace brainjax {

// A ring of currents, at the step whose slot is `head`.
template <class T>
class Slots {
 public:
  Slots(T* ring, int64_t num_slots, int64_t num_targets, int64_t head)
      : ring_(ring), num_slots_(num_slots), num_targets_(num_targets),
        before_(modulo(head - 1, num_slots)) {}

  // Where a spike of the step before lands over `delay`: without a division where that is from 1 to
  // num_slots, as it should be.
  T* over(int64_t delay) const {
    int64_t slot = before_ + delay;
    if (slot >= num_slots_) slot -= num_slots_;
    if (static_cast<uint64_t>(slot) >= static_cast<uint64_t>(num_slots_)) {
      slot = modulo(slot, num_slots_);
    }
    return ring_ + slot * num_targets_;
  }

 private:
  T* ring_;
  int64_t num_slots_, num_targets_, before_;
};

}  // namespace brainjax
