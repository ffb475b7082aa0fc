"""The gradient of a run of COBA by its weights, one weight a synapse."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from ours import timing

import brainjax as bj


class Triangle(bj.Surrogate):
    """A surrogate of compact support: (1 - |x| / w) / w where |x| < w = 1 mV, else zero."""

    def derivative(self, x):
        return jnp.maximum(1 - jnp.abs(x), 0)


SURROGATES = {"fast sigmoid": bj.SuperSpike, "compact": Triangle}


def by_weights(size: int, steps: int, surrogate: str, checkpoint: bool, impl: str = "auto"):
    """The gradient of the mean number of spikes in `steps` steps, from a state of full activity."""
    network = bj.experiments.load("coba", {"scale": size / 4000}).network
    shape = SURROGATES[surrogate]()
    populations = {
        n: dataclasses.replace(p, neuron=dataclasses.replace(p.neuron, surrogate=shape))
        for n, p in network.populations.items()
    }
    built, build_s = timing.build(dataclasses.replace(network, populations=populations), impl=impl)
    state = bj.simulate(built, 100.0, key=jax.random.key(1)).state
    for name in built.projection_names:
        held = built.projections[name]
        weight = jnp.broadcast_to(held.weight, (held.num_synapses,))
        built = built.with_weights(name, weight)
    train, fixed = eqx.partition(built, bj.trainable(built))
    record = {n: bj.SpikeCount(n) for n in built.names}

    def loss(train, fixed, state):
        network = eqx.combine(train, fixed)
        _, counts = bj.rollout(
            network, state, num_steps=steps, record=record, checkpoint=checkpoint
        )
        return sum(jnp.mean(c) for c in counts.values())

    taken, compiled = timing.seconds(
        lambda: jax.jit(jax.value_and_grad(loss)).lower(train, fixed, state).compile()
    )

    def work():
        return compiled(train, fixed, state)

    gradient = jnp.concatenate([g.ravel() for g in jax.tree.leaves(work()[1])])
    facts = {
        "build_s": build_s,
        "compile_s": taken,
        "temp_mb": compiled.memory_analysis().temp_size_in_bytes / 1e6,
        "synapses": gradient.size,
        "finite": bool(jnp.isfinite(gradient).all()),
        "nonzero_share": float(jnp.mean(gradient != 0)),
        "active_share": active_share(built, state, steps, shape),
    }
    return facts | timing.versions(), lambda: {"seconds": timing.seconds(work)[0]}


def active_share(built, state, steps: int, surrogate: bj.Surrogate) -> float:
    """The share of (neuron, step) at which a spike has a derivative that is not zero.

    From recorded potentials: those of neurons that spiked were reset, and they count as active.
    """
    traces = {
        f"{n}.{field}": bj.Trace(n, field) for n in built.names for field in ("v", "refractory")
    }
    spikes = {n: bj.Spikes(n) for n in built.names}
    records = bj.simulate(built, steps * built.dt, state=state, record=traces | spikes).records
    active = total = 0
    for name, population in built.populations.items():
        v, refractory = (jnp.asarray(records[f"{name}.{f}"].value) for f in ("v", "refractory"))
        near = surrogate.derivative(v - population.neuron.v_th) != 0
        active += int(jnp.sum(near & (refractory == 0))) + len(records[name].time)
        total += v.size
    return active / total
