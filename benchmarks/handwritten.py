"""The COBA network as one writes it by hand for one purpose: what the library is measured against.

One array per variable over all neurons, propagators computed before the loop, no modules, no
populations. Only the delivery of spikes is the library's op. The equations, the order of a step and
the connections are those of the built network it is made from, so both must spike alike.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from brainjax.ops import History, Layout, Rows, deliver, empty_history

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


def by_hand(built, state):
    """The connections and the state of a built COBA network, rewritten for `run`.

    **Returns:**

    `(connections, state, layout)`.
    """
    num_exc, size = built.populations["exc"].size, sum(p.size for p in built.populations.values())
    rows, weights, longest = [], [], []
    for i, (source, receptor) in enumerate((("exc", "ampa"), ("inh", "gaba"))):
        names = [f"{source}->{target}.{receptor}" for target in ("exc", "inh")]
        edges = [built.edges(name) for name in names]
        pre = np.concatenate([e.pre for e in edges])
        post = np.concatenate([edges[0].post, edges[1].post + num_exc])
        order = np.lexsort((post, pre))
        pre, post = pre[order], post[order]
        sources = built.populations[source].size
        counts = np.bincount(pre, minlength=sources)
        # One delay: a source with synapses has one group.
        first = np.append(np.flatnonzero(np.diff(pre, prepend=-1)), len(pre))
        source_ptr = np.append(0, np.cumsum(counts > 0))
        arrays = (source_ptr, np.ones(len(first) - 1), first, post + i * size)
        rows.append(Rows(*(jnp.asarray(a, jnp.int32) for a in arrays)))
        weights.append(built.projections[names[0]].weight)
        longest.append(int(counts.max()))
    layout = Layout(1, 2 * size, (0, 1), tuple(longest), tuple(longest))
    pending = empty_history(layout, (num_exc, size - num_exc), jnp.float32)
    u = jnp.concatenate([state.populations[n].neuron.membrane.u for n in ("exc", "inh")])
    zero = jnp.zeros_like(u)
    start = State(u, zero, zero, jnp.zeros(size, jnp.int32), zero, pending)
    return Connections(tuple(rows), tuple(weights)), start, layout


def _mean(tau: float, dt: float) -> float:
    return tau * -np.expm1(-dt / tau) / dt


@functools.partial(jax.jit, static_argnames=("layout", "num_steps", "dt"))
def run(connections: Connections, state: State, *, layout: Layout, num_steps: int, dt: float):
    """`num_steps` steps of `dt` ms.

    **Returns:**

    `(state, counts)`: the last state, and how many neurons spiked in each step.
    """
    rows, weights = connections
    slack = tuple(jnp.zeros_like(w) for w in weights)
    size, num_exc = state.u.shape[0], state.pending.neuron[0].shape[1]
    decay_ampa, decay_gaba = np.float32(np.exp(-dt / TAU_AMPA)), np.float32(np.exp(-dt / TAU_GABA))
    mean_ampa, mean_gaba = np.float32(_mean(TAU_AMPA, dt)), np.float32(_mean(TAU_GABA, dt))
    hold = round(T_REF / dt)

    def step(state, index):
        spikes = (state.spikes[:num_exc], state.spikes[num_exc:])
        pending, due, _ = deliver(
            state.pending, spikes, rows, weights, slack, index=index, layout=layout
        )
        ampa, gaba = state.g_ampa * mean_ampa, state.g_gaba * mean_gaba
        g_total = C_M / TAU_M + ampa + gaba
        u_inf = (I_E + ampa * (E_AMPA - E_L) + gaba * (E_GABA - E_L)) / g_total
        moved = u_inf + (state.u - u_inf) * jnp.exp(-dt / C_M * g_total)
        u = jnp.where(state.refractory == 0, moved, state.u)
        spiked = (state.refractory == 0) & (u >= V_TH - E_L)
        state = State(
            jnp.where(spiked, V_RESET - E_L, u),
            state.g_ampa * decay_ampa + due[:size],
            state.g_gaba * decay_gaba + due[size:],
            jnp.where(spiked, hold, jnp.maximum(state.refractory - 1, 0)),
            spiked.astype(jnp.float32),
            pending,
        )
        return state, None

    index = jnp.arange(num_steps, dtype=jnp.int32)
    return lax.scan(step, state, index)[0]
