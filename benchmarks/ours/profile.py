"""Where the time of a step goes, by leaving out: a network without recorders, connections, stimuli.

A part costs what the step takes less what it takes without it, so parts add up to the whole. The
bare loop is the same network with one neuron a population.
"""

import dataclasses

import equinox as eqx
import jax
from ours import limits, timing
from ours.neurons import stepping

import brainjax as bj

TRANSCENDENTAL = 10  # operations that one counts as


def step(config: str, changes: dict, steps: int):
    """Seconds of `steps` steps of each form of the network, and what bounds each part."""
    network = bj.experiments.load(config, changes).network
    one_each = {n: dataclasses.replace(p, size=1) for n, p in network.populations.items()}
    described = {
        "whole": network,
        "unconnected": bj.Network(network.populations, (), network.stimuli),
        **({"undriven": bj.Network(network.populations)} if network.stimuli else {}),
        "bare": bj.Network(one_each),
    }
    made = {name: timing.build(n)[0] for name, n in described.items()}
    built = made["whole"]
    state = bj.simulate(built, 100.0, key=jax.random.key(1)).state
    record = {n: bj.Spikes(n) for n in built.names}

    def recorded():
        return bj.simulate(built, steps * built.dt, state=state, record=record).state

    runs = {
        "recorded": recorded,
        "whole": lambda: bj.simulate(built, steps * built.dt, state=state).state,
        **{name: stepping(made[name], steps) for name in described if name != "whole"},
    }
    compile_s = sum(timing.first(work) for work in runs.values())
    facts = {"compile_s": compile_s, "limits": bounds(built, state, made, steps)}

    def run():
        taken = {name: timing.seconds(work)[0] for name, work in runs.items()}
        return {"seconds": taken["recorded"], "parts": taken}

    return facts | timing.versions(), run


def bounds(built, state, made, steps: int) -> dict[str, dict[str, float]]:
    """Of each part: bytes and operations of a step, bytes a second, operations a second."""
    ms = steps * built.dt
    record = {n: bj.SpikeCount(n) for n in built.names}
    counts = bj.simulate(built, ms, state=state, record=record).records
    spikes = {n: float(c.sum()) / steps for n, c in counts.items()}
    sizes = {n: p.size for n, p in built.populations.items()}
    width = built.dt_leaf.nbytes
    held = nbytes(state.populations)
    ports = width * sum(sizes[n] * len(p.receptors) for n, p in built.populations.items())
    neurons = width * sum(sizes.values())
    projections = built.projections.values()
    stored, synapses = nbytes(built.projections), sum(p.num_synapses for p in projections)
    events = sum(spikes[p.source] * p.num_synapses / sizes[p.source] for p in projections)
    quiet = count(made.get("undriven", made["unconnected"]))
    parts = {
        "populations": (2 * held + ports + neurons, quiet, held + ports + neurons),
        "stimuli": (0.0, count(made["unconnected"]) - quiet, 0.0),
        # A synapse is read, added to its target; accumulators are cleared.
        "deliver": (events * stored / max(synapses, 1) + ports, events, stored + ports),
        "recorders": (neurons + width * sum(spikes.values()), 0.0, 2 * neurons),
    }
    peak = limits.arithmetic()
    return {
        name: {
            "bytes": moved,
            "operations": done,
            "bandwidth": limits.bandwidth(working_set) if moved else 0.0,
            "peak": peak,
            "events": events if name == "deliver" else 0.0,
        }
        for name, (moved, done, working_set) in parts.items()
    }


def nbytes(tree) -> float:
    """Bytes of the arrays of a PyTree."""
    return float(sum(x.nbytes for x in jax.tree.leaves(eqx.filter(tree, eqx.is_array))))


def count(built) -> float:
    """Operations of a step, as XLA counts them in the plain JAX form before it optimises."""
    plain = dataclasses.replace(built, impl="jax")
    state = plain.init_state(key=jax.random.key(1))
    counted = jax.jit(lambda b, s: b.step(s)).lower(plain, state).cost_analysis()
    return counted.get("flops", 0.0) + TRANSCENDENTAL * counted.get("transcendentals", 0.0)
