"""Cost of a step against neurons, synapses a neuron, rate and the spread of delays, one at a time.

Neurons are driven by a constant current that gives the rate, from phases spread evenly; synapses
are too weak to matter. So each of the four can be changed without the others.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from ours import timing
from ours.neurons import stepping

import brainjax as bj

USUAL = {"neurons": 10_000, "synapses": 100, "rate": 10.0, "spread": 0.0}
AXES = {
    "neurons": (1000, 3000, 10_000, 30_000, 100_000, 300_000),
    "synapses": (10, 30, 100, 300, 1000, 3000),
    "rate": (1.0, 3.0, 10.0, 30.0, 100.0),
    "spread": (0.0, 1.0, 3.0, 10.0, 30.0),
}
# A membrane slow enough that rates are those asked for in float32 too.
TAU, T_REF, C_M, HEIGHT, DT = 1000.0, 2.0, 250.0, 15.0, 0.1  # ms, ms, pF, mV, ms


def points(steps: int, most: int):
    """Seconds of `steps` steps at each value of each axis, up to `most` neurons."""
    usual = {**USUAL, "neurons": min(USUAL["neurons"], most)}
    values = {a: [v for v in vs if a != "neurons" or v <= most] for a, vs in AXES.items()}
    works, facts = {}, {}
    for axis, along in values.items():
        made = [network(**{**usual, axis: value}) for value in along]
        works[axis] = [work for work, _ in made]
        facts[axis] = [{"value": v, "rate": r} for v, (_, r) in zip(along, made, strict=True)]

    def run():
        taken = {
            axis: [timing.seconds(functools.partial(work, steps))[0] for work in along]
            for axis, along in works.items()
        }
        return {"seconds": sum(map(sum, taken.values())), "points": taken}

    run()  # compiles
    return {"axes": facts, "usual": usual} | timing.versions(), run


def network(neurons: int, synapses: int, rate: float, spread: float):
    """A call that takes that many steps of such a network, and its measured rate, Hz."""
    active = 1000 / rate - T_REF  # ms from reset to threshold
    above = HEIGHT / -np.expm1(-active / TAU)  # mV that the current holds the membrane at
    phase = np.random.default_rng(0).uniform(size=neurons)
    v = -70.0 - above * np.expm1(-phase * active / TAU)
    cells = bj.Population(
        neurons,
        bj.LIF(tau_m=TAU, t_ref=T_REF, c_m=C_M, i_e=above * C_M / TAU),
        {"in": bj.ExponentialCurrent()},
        initial={"v": v},
    )
    delay = bj.Uniform(DT, DT + spread) if spread else DT
    rule = bj.FixedOutDegree(min(synapses, neurons))
    network = bj.Network({"n": cells}, [bj.Projection("n", "n.in", rule, 1e-6, delay)])
    built, _ = timing.build(network)
    state = built.init_state(key=jax.random.key(1), history=True)
    counts = bj.simulate(built, 100.0, state=state, record={"n": bj.SpikeCount("n")}).records["n"]
    return lambda steps: stepping(built, steps)(), float(jnp.mean(counts)) * 10
