"""The COBA network of `configs/coba.toml`, at any size, by the drivers and by hand."""

import handwritten
import jax
import jax.numpy as jnp
from ours import timing

import brainjax as bj

DT = 0.1


def made(size: int, impl: str = "auto"):
    """The built network and the seconds that took."""
    return timing.build(bj.experiments.load("coba", {"scale": size / 4000}).network, impl=impl)


def simulate(size: int, ms: float, counted: bool = True, impl: str = "auto"):
    """`bj.simulate`, from rest; with the spikes of each neuron counted, as peers do, or without."""
    built, build_s = made(size, impl)
    counts = {n: bj.SpikeCount(n) for n in built.names}
    state = built.init_state(key=jax.random.key(1), history=impl != "jax")

    def run(record):
        taken, result = timing.seconds(
            lambda: bj.simulate(built, ms, state=state, record=record)._replace(stats=None)
        )
        return taken, result.records

    record = counts if counted else {}
    facts = {"build_s": build_s, "compile_s": timing.first(lambda: run(record))}
    rates = timing.rates(run(counts)[1], ms)
    return facts | timing.versions(), lambda: {"seconds": run(record)[0], "rates": rates}


def rollout(size: int, ms: float):
    """`bj.rollout`, the differentiable driver; nothing recorded."""
    built, build_s = made(size)
    state, num_steps = built.init_state(key=jax.random.key(1)), round(ms / DT)
    counts = {n: bj.SpikeCount(n) for n in built.names}
    counting = jax.jit(lambda b, s: bj.rollout(b, s, num_steps=num_steps, record=counts)[1])
    quiet = jax.jit(lambda b, s: bj.rollout(b, s, num_steps=num_steps)[0])
    rates = timing.rates(counting(built, state), ms)
    facts = {"build_s": build_s, "compile_s": timing.first(lambda: quiet(built, state))}

    def run():
        return {"seconds": timing.seconds(lambda: quiet(built, state))[0], "rates": rates}

    return facts | timing.versions(), run


def by_hand(size: int, ms: float):
    """The network as one `lax.scan` written for it; nothing recorded."""
    built, build_s = made(size)
    state = built.init_state(key=jax.random.key(1), history=True)
    connections, start, layout = handwritten.by_hand(built, state)
    options = {"layout": layout, "num_steps": round(ms / DT), "dt": DT}
    capacity = max(10 * size, int(size * ms / 5))
    _, log = handwritten.run(connections, start, **options, capacity=capacity)
    rates = {"network": 1000 * float(jnp.asarray(log[1])) / size / ms}

    def quiet():
        return handwritten.run(connections, start, **options)

    facts = {"build_s": build_s, "compile_s": timing.first(quiet)}
    return facts, lambda: {"seconds": timing.seconds(quiet)[0], "rates": rates}
