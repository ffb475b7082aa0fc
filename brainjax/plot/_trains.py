"""What the figures are given: one population's spikes, or several by name."""

from collections.abc import Mapping

from ..analysis import Spikes
from ..analysis._spikes import require_spikes
from ..core import explain


def named(trains: Mapping[str, Spikes] | Spikes) -> dict[str, Spikes]:
    """`trains` as a mapping from name to spikes; the spikes of a single population get no name.

    **Raises:**

    `ValueError` for an empty mapping; `TypeError` for what is not the spikes of a population.
    """
    if not isinstance(trains, Mapping):
        trains = {"": trains}
    if not trains:
        raise ValueError(
            explain(
                "trains",
                got={},
                expected="the spikes of at least one population",
                mend='For instance `{"exc": spikes}`.',
            )
        )
    for spikes in trains.values():
        require_spikes(spikes)
    return {str(name): spikes for name, spikes in trains.items()}


def common_window(
    trains: Mapping[str, Spikes], start: float | None, stop: float | None
) -> tuple[float, float]:
    """`start` and `stop` in ms, by default the stretch that every recording covers."""
    start = max(float(s.t_start) for s in trains.values()) if start is None else float(start)
    stop = min(float(s.t_stop) for s in trains.values()) if stop is None else float(stop)
    return start, stop
