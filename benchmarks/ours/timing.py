"""What the contenders of the library share: timing a call, building a network, counting rates."""

import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

import brainjax as bj


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """The wall time of `work()` until its last array is there, and what it returned."""
    start = time.perf_counter()
    done = jax.block_until_ready(work())
    return time.perf_counter() - start, done


def first(work: Callable[[], Any]) -> float:
    """How much longer the first call takes than the second: compilation."""
    return max(seconds(work)[0] - seconds(work)[0], 0.0)


def build(network: bj.Network, *, seed: int = 0, impl: str = "auto", dt: float = 0.1):
    """The built network, and the seconds that took."""

    def work():
        built = bj.build(network, dt=dt, key=jax.random.key(seed), impl=impl)
        return jax.block_until_ready(eqx.filter(built, eqx.is_array)), built

    taken, (_, built) = seconds(work)
    return built, taken


def rates(records: dict[str, Any], ms: float) -> dict[str, float]:
    """Hz of each population, from its spike trains or counts; also that of the whole network."""
    counts = {n: len(r.time) if hasattr(r, "time") else int(r.sum()) for n, r in records.items()}
    sizes = {n: r.size for n, r in records.items()}
    found = {n: 1000 * counts[n] / sizes[n] / ms for n in records}
    return {**found, "network": 1000 * sum(counts.values()) / sum(sizes.values()) / ms}


def versions() -> dict[str, str]:
    """What ran."""
    return {"jax": jax.__version__, "ops": str(bj.info()["ops"])}
