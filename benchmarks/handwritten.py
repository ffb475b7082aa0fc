"""The COBA network written by hand for one purpose: what the library is measured against.

One array per variable over all neurons, propagators computed before the loop, no modules and no
populations. The ops that deliver and log spikes are the library's. Equations, the order of a step
and connections are those of the built network it is made from, so both must spike alike.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from brainjax.ops import (
    GroupTable,
    History,
    Layout,
    Rows,
    deliver,
    empty_history,
    group_tables,
    log_events,
)

C_M, TAU_M, E_L, V_TH, V_RESET, T_REF, I_E = 200.0, 20.0, -60.0, -50.0, -60.0, 5.0, 200.0
TAU_AMPA, E_AMPA, TAU_GABA, E_GABA = 5.0, 0.0, 10.0, -80.0


class State(NamedTuple):
    """What evolves, one entry per neuron of the network."""

    u: jax.Array  # mV, v - E_L
    g_ampa: jax.Array  # nS
    g_gaba: jax.Array  # nS
    refractory: jax.Array  # steps left
    spikes: jax.Array  # 1 where a neuron spiked in the last step
    pending: History


class Connections(NamedTuple):
    """Synapses of the excitatory neurons on the AMPA, of the inhibitory on the GABA receptors."""

    rows: tuple[Rows, Rows]
    weights: tuple[jax.Array, jax.Array]  # nS
    tables: tuple[GroupTable, ...]


def by_hand(built, state) -> tuple[Connections, State, Layout]:
    """The connections, initial state and layout of a built COBA network, for `run`."""
    num_exc, num_inh = (built.populations[n].size for n in ("exc", "inh"))
    size = num_exc + num_inh
    exc, inh = _rows(built, "exc", "ampa", 0), _rows(built, "inh", "gaba", size)
    weights = [built.projections[n].weight for n in ("exc->exc.ampa", "inh->inh.gaba")]
    layout = Layout(1, 2 * size, (0, 1), (0, 1), (size, size))
    u = jnp.concatenate([state.populations[n].neuron.membrane.u for n in ("exc", "inh")])
    zero, pending = jnp.zeros_like(u), empty_history(layout, (num_exc, num_inh), u.dtype)
    start = State(u, zero, zero, jnp.zeros(size, jnp.int32), zero, pending)
    tables = group_tables((exc, inh), layout.sources)
    return Connections((exc, inh), tuple(weights), tables), start, layout


def _rows(built, source: str, receptor: str, offset: int) -> Rows:
    """All synapses of a population, its two projections as one."""
    to_exc, to_inh = (built.edges(f"{source}->{n}.{receptor}") for n in ("exc", "inh"))
    pre = np.concatenate([to_exc.pre, to_inh.pre])
    post = np.concatenate([to_exc.post, to_inh.post + built.populations["exc"].size])
    order = np.lexsort((post, pre))
    counts = np.bincount(pre, minlength=built.populations[source].size)
    # All delays are one step, so that a source with any synapse has one group.
    source_ptr = np.append(0, np.cumsum(counts > 0))
    group_ptr = np.append(0, np.cumsum(counts[counts > 0]))
    arrays = (source_ptr, np.ones(len(group_ptr) - 1), group_ptr, post[order] + offset)
    longest = int(counts.max())
    return Rows(*(jnp.asarray(a, jnp.int32) for a in arrays), longest, longest)


def _mean(tau: float, dt: float) -> float:
    """The mean over a step of a conductance that starts it at 1."""
    return tau * -np.expm1(-dt / tau) / dt


@functools.partial(jax.jit, static_argnames=("layout", "num_steps", "dt", "capacity"))
def run(
    connections: Connections,
    state: State,
    *,
    layout: Layout,
    num_steps: int,
    dt: float,
    capacity: int = 0,
):
    """`num_steps` steps of `dt` ms.

    **Returns:**

    `(state, log)`: the last state; with a `capacity`, also who spiked, in order, how many spikes
    that are, and the total at the end of each step.
    """
    rows, weights, tables = connections
    slack = tuple(jnp.zeros_like(w) for w in weights)
    size, num_exc = state.u.shape[0], state.pending.neuron[0].shape[1]
    decay_ampa, decay_gaba = float(np.exp(-dt / TAU_AMPA)), float(np.exp(-dt / TAU_GABA))
    mean_ampa, mean_gaba = float(_mean(TAU_AMPA, dt)), float(_mean(TAU_GABA, dt))
    hold = round(T_REF / dt)

    def step(carry, index):
        state, log = carry
        emitted = (state.spikes[:num_exc], state.spikes[num_exc:])
        pending, due, _ = deliver(
            state.pending,
            emitted,
            rows,
            weights,
            slack,
            index=index,
            layout=layout,
            tables=tables,
        )
        ampa, gaba = state.g_ampa * mean_ampa, state.g_gaba * mean_gaba
        g_total = C_M / TAU_M + ampa + gaba
        u_inf = (I_E + ampa * (E_AMPA - E_L) + gaba * (E_GABA - E_L)) / g_total
        moved = u_inf + (state.u - u_inf) * jnp.exp(-dt / C_M * g_total)
        active = state.refractory == 0
        u = jnp.where(active, moved, state.u)
        spiked = active & (u >= V_TH - E_L)
        state = State(
            jnp.where(spiked, V_RESET - E_L, u),
            state.g_ampa * decay_ampa + due[:size],
            state.g_gaba * decay_gaba + due[size:],
            jnp.where(spiked, hold, jnp.maximum(state.refractory - 1, 0)),
            spiked.astype(state.spikes.dtype),
            pending,
        )
        if not capacity:
            return (state, log), None
        log = log_events(*log, state.spikes)
        return (state, log), log[1]

    log = (jnp.zeros(capacity, jnp.int32), jnp.zeros((), jnp.int32))
    steps = jnp.arange(num_steps, dtype=jnp.int32)
    (state, log), totals = lax.scan(step, (state, log), steps)
    return (state, (*log, totals)) if capacity else (state, None)
