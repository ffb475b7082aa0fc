"""Delivery from a history of spikes: cost in proportion to spikes, one accumulator, no derivative.

Operands: `head; per population (neuron, value, count); per population spikes; per projection
weight; per population table of groups; per projection rows`. Results: `per population (neuron,
value, count); per port what is due`.

A table says in one place what takes a search in the rows of each projection. It is for the native
implementation; what is defined here does without.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax

from ._connections import (
    WORTH_SHARING,
    attributes_of,
    events_of,
    last_rows,
    num_populations,
    projections_from,
)
from ._cuda import on_gpu
from ._primitive import (
    align_varying,
    batch_by_leading_axis,
    like,
    lower_natively,
    lower_on_gpu,
    new_primitive,
    over_batch,
    set_jvp,
)


def _split(args, layout):
    populations, projections = num_populations(layout.sources), len(layout.sources)
    held = [tuple(args[1 + 3 * i : 4 + 3 * i]) for i in range(populations)]
    at = 1 + 3 * populations
    spikes = args[at : at + populations]
    weights = args[at + populations : at + populations + projections]
    return args[0], held, spikes, weights, last_rows(args, layout)


def _remember(held, spikes, slot):
    """Write the spikes of one step into their slot."""
    neuron, value, count = held
    events, number = events_of(spikes != 0)
    return (
        lax.dynamic_update_index_in_dim(neuron, events, slot, 0),
        lax.dynamic_update_index_in_dim(value, spikes[events], slot, 0),
        lax.dynamic_update_index_in_dim(count, number, slot, 0),
    )


def _add_group(due, source, value, delay, row, weight):
    """Add the synapses of `source` whose delay is `delay` steps, if there are any."""
    found = row.group(source, delay, weight)
    return due.at[found.target].add(jnp.where(found.valid, found.weights[0] * value, 0))


def _one(args, layout):
    head, held, spikes, weights, rows = _split(args, layout)
    slots = layout.num_slots
    held = [_remember(h, x, jnp.mod(head - 1, slots)) for h, x in zip(held, spikes, strict=True)]
    due, _ = align_varying(jnp.zeros(layout.num_targets, weights[0].dtype), head)

    def of_delay(i, due):
        delay = slots - i
        slot = jnp.mod(head - delay, slots)
        for p, (neuron, value, count) in enumerate(held):
            if not neuron.shape[1]:
                continue

            def of_spike(e, due, p=p, neuron=neuron, value=value):
                for j in projections_from(p, layout.sources):
                    if rows[j].num_synapses:
                        source, spike = neuron[slot, e], value[slot, e]
                        due = _add_group(due, source, spike, delay, rows[j], weights[j])
                return due

            due = lax.fori_loop(0, count[slot], of_spike, due)
        return due

    due = lax.fori_loop(0, slots, of_delay, due)
    return [a for h in held for a in h] + jnp.split(due, np.cumsum(_port_sizes(layout))[:-1])


def _port_sizes(layout):
    return layout.sizes or (layout.num_targets,)


def _reference(*args, layout, impl, batch):
    return over_batch(lambda *a: _one(a, layout), batch, args)


def _abstract(*args, layout, impl, batch):
    _, held, _, weights, _ = _split(args, layout)
    lead = held[0][0].shape[:batch]
    due = [like(args[0], (*lead, size), weights[0].dtype) for size in _port_sizes(layout)]
    return [a for h in held for a in h] + due


deliver_history_p = new_primitive("deliver_history", _abstract, _reference)


def _held_positions(layout):
    return range(1, 1 + 3 * num_populations(layout.sources))


def _attributes(avals, *, layout, impl, batch):
    return {
        "batch": np.int64(batch),
        "num_slots": np.int64(layout.num_slots),
        "sources": np.asarray(layout.sources, np.int64),
        "formats": attributes_of(layout.formats),
        "ports": np.asarray(layout.ports or (0,) * len(layout.sources), np.int64),
        "sizes": np.asarray(_port_sizes(layout), np.int64),
        "parallel_from": np.int64(WORTH_SHARING),
    }


def _aliases(avals, *, layout, impl, batch):
    return {i: i - 1 for i in _held_positions(layout)}


lower_natively(deliver_history_p, _reference, "brainjax_DeliverHistory", _attributes, _aliases)


def _sizes(avals, *, layout, **_):
    populations = num_populations(layout.sources)
    return [x.shape[-1] for x in avals[1 + 3 * populations : 1 + 4 * populations]]


_on_one_vector = on_gpu(
    "brainjax_CudaDeliverHistory",
    lambda *, layout, **_: {"num_slots": np.int64(layout.num_slots)},
    _aliases,
    _sizes,
)


def cuda_call(avals_in, avals_out, *, layout, **params):
    """The lowering on a GPU, whose handler gives what is due of all ports as one vector."""
    sizes = _port_sizes(layout)
    held, due = avals_out[: -len(sizes)], avals_out[-1]
    whole = like(due, (*due.shape[:-1], layout.num_targets))
    call = _on_one_vector(avals_in, [*held, whole], layout=layout, **params)

    def apart(*args):
        *held, due = call(*args)
        return [*held, *jnp.split(due, np.cumsum(sizes)[:-1], axis=-1)]

    return call and apart


lower_on_gpu(deliver_history_p, _reference, cuda_call)
batch_by_leading_axis(deliver_history_p, lambda *, layout, impl: set(_held_positions(layout)))


def _no_derivative(primals, tangents, **params):
    raise NotImplementedError(
        "A network whose pending spikes are kept as a history was differentiated or pushed "
        "forward: got a tangent, expected none, since who spiked is an integer. Use "
        "brainjax.rollout(built, state, inputs, num_steps), which keeps a ring of currents."
    )


set_jvp(deliver_history_p, _no_derivative)
