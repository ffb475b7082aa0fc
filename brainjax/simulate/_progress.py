"""A progress bar: `init`, `step`, `close`, as everything that evolves."""

import sys
import time
from typing import NamedTuple


class ProgressState(NamedTuple):
    """When a run began, and when the bar was last drawn, s."""

    begin: float
    drawn: float


class Progress:
    """Writes how far a run is, and its real-time factor, to standard error."""

    def __init__(self, duration: float, label: bool | str = True):
        self.duration = duration
        self.label = f"{label} " if isinstance(label, str) else ""

    def init(self) -> ProgressState:
        """Before the first step."""
        return ProgressState(time.perf_counter(), 0.0)

    def step(self, state: ProgressState, done: float) -> ProgressState:
        """After `done` ms of the run."""
        now = time.perf_counter()
        if now - state.drawn < 0.1 and done < self.duration:
            return state
        share = done / self.duration if self.duration else 1.0
        bar = "#" * round(30 * share)
        factor = (now - state.begin) / (done / 1000) if done else float("nan")
        where = f"{done:.0f} of {self.duration:.0f} ms, {factor:.2f} x real time "
        sys.stderr.write(f"\r{self.label}[{bar:<30}] {where}")
        sys.stderr.flush()
        return state._replace(drawn=now)

    def close(self, state: ProgressState) -> None:
        """After the last step."""
        del state
        sys.stderr.write("\n")
        sys.stderr.flush()
