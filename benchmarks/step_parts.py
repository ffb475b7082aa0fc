"""The parts of a step of a network, each alone in a compiled loop. Import it after pinning."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import brainjax as bj
from brainjax.network import PopulationInput
from brainjax.ops import deliver, empty_ring


class Operands(NamedTuple):
    """What a part reads and does not change."""

    built: Any
    raster: dict[str, Any]  # int8 (steps, size) by population: who spiked
    arrivals: dict[str, dict[str, Any]]  # what keeps all conductances where they are, nS
    record: dict[str, Any]


def parts(built, state, steps: int) -> dict[str, Any]:
    """Name to a call that runs one part for `steps` steps and waits for the result."""
    record = {n: bj.Spikes(n) for n in built.names}
    ring = empty_ring(built.layout, built.dt_leaf.dtype)
    due = jnp.zeros(built.layout.num_targets, built.dt_leaf.dtype)
    of = Operands(built, _raster(built, state, steps, record), _arrivals(built, state), record)
    spikes = jax.tree.map(jnp.zeros_like, state.spikes)
    logs = {n: (r.init(built, steps), jnp.zeros((), jnp.int32)) for n, r in record.items()}
    carries = {
        "reading spikes": (_read, spikes),
        "deliver (history)": (_deliver, (state.pending, due)),
        "deliver (ring)": (_deliver, (ring, due)),
        "neurons": (_neurons, (state.populations, state.spikes)),
        "record spikes": (_record, (logs, state)),
    }
    return {
        name: functools.partial(_run, step, steps, of, carry)
        for name, (step, carry) in carries.items()
    }


def _run(step, steps: int, of: Operands, carry):
    return jax.block_until_ready(_loop(step, of, carry, steps))


@eqx.filter_jit
def _loop(step, of: Operands, carry, steps: int):
    return lax.fori_loop(0, steps, lambda i, c: step(of, i, c), carry)


def _spikes(of: Operands, i):
    # The barrier makes arrays of them, as those that neurons emit are.
    read = {n: x[i].astype(of.built.dt_leaf.dtype) for n, x in of.raster.items()}
    return lax.optimization_barrier(read)


def _read(of: Operands, i, carry):
    return _spikes(of, i)


def _deliver(of: Operands, i, carry):
    built, spikes = of.built, _spikes(of, i)
    projections = [built.projections[n] for n in built.projection_names]
    pending, due, _ = deliver(
        carry[0],
        tuple(spikes[n] for n in built.sources),
        tuple(p.rows for p in projections),
        tuple(p.weight for p in projections),
        tuple(jnp.zeros_like(p.weight) for p in projections),
        index=i,
        layout=built.layout,
        tables=built.tables,
        impl=built.impl,
    )
    return pending, due


def _neurons(of: Operands, i, carry):
    moved, spikes = {}, {}
    for name, population in of.built.populations.items():
        into = PopulationInput(jnp.zeros((), of.built.dt_leaf.dtype), of.arrivals[name])
        at = bj.Instant(i, of.built.dt_leaf, population.stream(jnp.zeros(2, jnp.uint32), name))
        moved[name], spikes[name] = population.step(carry[0][name], into, at=at)
    return moved, spikes


def _record(of: Operands, i, carry):
    logs, state = carry
    state = state._replace(spikes=_spikes(of, i))
    return {n: r.step(of.built, logs[n][0], state) for n, r in of.record.items()}, state


def _raster(built, state, steps: int, record) -> dict[str, Any]:
    trains = bj.simulate(built, steps * built.dt, state=state, record=record).records
    raster = {}
    for name, train in trains.items():
        held = np.zeros((steps, train.size), np.int8)
        step = np.round((train.time - train.t_start) / built.dt).astype(int) - 1
        held[step, train.neuron] = 1
        raster[name] = jnp.asarray(held)
    return raster


def _arrivals(built, state) -> dict[str, dict[str, Any]]:
    return {
        name: {
            r: state.populations[name].receptors[r].g
            * (1 - jnp.exp(-built.dt_leaf / receptor.tau_syn))
            for r, receptor in population.receptors.items()
        }
        for name, population in built.populations.items()
    }
