"""Delivery: the spikes of a network to the receptors they reach, each over its delay.

All receptors of a network are one vector of `num_targets` accumulators, and all projections end in
it. A *pending* state holds what is under way; one op adds new spikes to it and takes out what is
due. It has two forms that give the same bits:

- a **ring** of currents `(num_slots, num_targets)`: linear in the spikes, hence differentiable;
- a **history** of who spiked in the last `num_slots` steps: cheaper, since one accumulator stays in
  the cache whatever the delays, but without derivatives.

The sum into a target has one order in both: longest delay first, then source by its index in the
network, then projection, then synapse. Nothing else (layout, threads, chunks) decides it.

At the start of step k the op is given `spikes`, those of step k - 1. A spike of step j is due in
step j + d for a synapse of delay d >= 1; slot `(j + d) % num_slots` of the ring is where it waits.
"""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ._check_rows import check_contents
from ._check_types import check_array, check_delivery, check_number, refuse
from ._connections import Connections, flat, num_populations
from ._deliver_history import deliver_history_p
from ._deliver_ring import deliver_ring_p
from ._primitive import align_varying, check_impl, varying_alike


class GroupTable(NamedTuple):
    """Where the groups of a source population begin, in all of its projections side by side.

    What a spike makes due in a step is then one place in memory, and the next one in the next step.
    Synapses of source `i` over `least_delay + d` steps in the `j`-th projection from the population
    are `begin[i, d, j]:begin[i, d + 1, j]`.
    """

    begin: Int[Array, "sources delays_plus_1 projections"]  # of no elements: there is no table
    least_delay: Int[Array, ""]  # steps


class Layout(NamedTuple):
    """What of a network's connections is fixed when it is compiled. Hashable."""

    num_slots: int  # the longest delay, steps
    num_targets: int
    sources: tuple[int, ...]  # per projection: the position of its source among the populations
    # Accumulators lie port by port: per projection, the port it ends in; per port, the number of
    # its accumulators. Threads share the ports. Where both are empty all is one port.
    ports: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    formats: Any = None  # the structure of the connections; `deliver` fills it in


class Ring(NamedTuple):
    """What is under way, as currents that wait in their slots."""

    slots: Float[Array, "num_slots num_targets"]


class History(NamedTuple):
    """What is under way, as who spiked in the last `num_slots` steps; per source population."""

    neuron: tuple[Int[Array, "num_slots size"], ...]
    value: tuple[Float[Array, "num_slots size"], ...]
    counts: tuple[Int[Array, " num_slots"], ...]


Pending = TypeVar("Pending", bound=Ring | History)


def empty_ring(layout: Layout, dtype) -> Ring:
    """A ring for `layout`, of numbers of `dtype`, with nothing under way."""
    return Ring(jnp.zeros((layout.num_slots, layout.num_targets), dtype))


def empty_history(layout: Layout, sizes: tuple[int, ...], dtype) -> History:
    """A history for `layout`, without spikes, of source populations of these `sizes`.

    Graded spikes are of `dtype`.
    Every neuron of a population may spike in every step: it cannot overflow.
    """
    slots = layout.num_slots
    return History(
        tuple(jnp.zeros((slots, n), jnp.int32) for n in sizes),
        tuple(jnp.zeros((slots, n), dtype) for n in sizes),
        tuple(jnp.zeros((slots,), jnp.int32) for _ in sizes),
    )


def no_tables(layout: Layout) -> tuple[GroupTable, ...]:
    """Tables that hold nothing: the groups of every source are searched."""
    empty = GroupTable(jnp.zeros((0, 0, 0), jnp.int32), jnp.zeros((), jnp.int32))
    return (empty,) * num_populations(layout.sources)


def deliver(
    pending: Pending,
    spikes: tuple[Float[Array, " size"], ...],
    rows: tuple[Connections, ...],
    weights: tuple[Float[Array, "..."], ...],
    slack: tuple[Float[Array, "..."], ...],
    *,
    index: Int[Array, ""],
    layout: Layout,
    live: tuple[Bool[Array, " size"], ...] = (),
    tables: tuple[GroupTable, ...] = (),
    impl: str = "auto",
) -> tuple[Pending, Float[Array, " num_targets"], tuple[Float[Array, "..."], ...]]:
    """Take in the spikes of step `index - 1`, and out what is due in step `index`.

    **Arguments:**

    - `pending`: what is under way.
    - `spikes`: per source population; 0 is no spike, any other number multiplies the weights.
    - `rows`, `weights`: per projection; a weight is one number or one per synapse, in row order
      (of a `Convolution`: the kernel, flat).
    - `slack`: per projection, `weight - stop_gradient(weight)`: zeros that come back unchanged and
      whose derivative stands for that of the weights. Carried through a scan, their cotangent is
      one buffer that each step of the backward pass adds to in place. Give the weights as they
      are, without `stop_gradient`: second derivatives read theirs. Where the slack is constant
      (zeros), the weights are differentiated directly: right, but slower.
    - `index`: the number of the step, int32.
    - `layout`, `impl`: fixed when compiled; `impl` is `"auto"`, `"jax"` or `"native"`.
    - `live`: per source population, whose spikes have a derivative; all by default. A backward pass
      reads the rows of these alone, and gives zero to others. Every tangent of a spike that is not
      live must be zero. No value depends on it.
    - `tables`: per source population, made of `rows` by `group_tables`, or none. They change the
      time it takes to deliver from a history, and no bit.

    **Returns:**

    `(pending, due, slack)`, `due` one number for each accumulator: pA, nS or mV, as the receptor
    takes it.

    **Raises:**

    - `NotImplementedError` when a history is differentiated: use a ring, as `brainjax.rollout`
      does.
    - `ValueError` and `TypeError` for operands that do not fit each other or `layout`, and, where
      arrays are concrete, for rows, tables and a history that lead out of bounds (`check_rows`).
    - `ValueError` or `jax.errors.JaxRuntimeError` while it runs natively on the CPU, where arrays
      that were traced lead out of bounds.
    """
    check_impl(impl)
    check_delivery("deliver", pending, spikes, rows, weights, index, layout, tables)
    check_contents("deliver", pending, rows, layout, tables)
    check_number("deliver: slack", slack, len(weights), "projection")
    for j, (s, w) in enumerate(zip(slack, weights, strict=True)):
        mend = "slack = [w - jax.lax.stop_gradient(w) for w in weights]"
        check_array(f"deliver: slack[{j}]", s, w.dtype, w.shape, mend)
    head = jnp.asarray(index, jnp.int32)
    how: Any = {
        "layout": layout._replace(formats=jax.tree.structure(rows)),
        "impl": impl,
        "batch": 0,
    }
    if isinstance(pending, Ring):
        live = live or tuple(jnp.ones(x.shape, bool) for x in spikes)
        check_number("deliver: live", live, len(spikes), "source population")
        for p, (of, x) in enumerate(zip(live, spikes, strict=True)):
            check_array(f"deliver: live[{p}]", of, bool, x.shape)
        args = align_varying(pending.slots, head, *live, *spikes, *slack, *weights, *flat(rows))
        slots, due, *handed_on = deliver_ring_p.bind(*args, **how)
        return pending._replace(slots=slots), due, tuple(handed_on)
    held = [a for of_population in zip(*pending, strict=True) for a in of_population]
    flat_tables = [a for t in tables or no_tables(layout) for a in t]
    args = align_varying(head, *held, *spikes, *weights, *flat_tables, *flat(rows))
    out = deliver_history_p.bind(*args, **how)
    held, due = out[: len(held)], out[len(held) :]
    neuron, value, counts = (tuple(held[i::3]) for i in range(3))
    pending = pending._replace(neuron=neuron, value=value, counts=counts)
    # Whoever takes the ports out again takes what came in: XLA does not build the vector then.
    return pending, jnp.concatenate(due) if len(due) > 1 else due[0], slack


def as_ring(
    history: History,
    rows: tuple[Connections, ...],
    weights: tuple[Float[Array, "..."], ...],
    *,
    index: Int[Array, ""],
    layout: Layout,
    impl: str = "auto",
) -> Ring:
    """The ring that holds what `history` holds at the start of step `index`, to the bit.

    The steps of the history are replayed from the oldest; what they made due in the past is taken
    out on the way, as it was then. `rows`, `weights`, `layout` and `impl` are as of `deliver`.
    """
    check_impl(impl)
    if not isinstance(history, History):
        refuse("as_ring: history", type(history).__name__, "brainjax.ops.History", error=TypeError)
    check_delivery("as_ring", history, (), rows, weights, index, layout, ())
    check_contents("as_ring", history, rows, layout, ())
    sizes = [a.shape[1] for a in history.neuron]
    dtype = history.value[0].dtype if sizes else weights[0].dtype
    slack = tuple(jnp.zeros_like(w) for w in weights)

    def replay(ring, ago):
        step = index - ago  # its spikes are delivered at the start of step + 1
        slot = jnp.mod(step, layout.num_slots)
        spikes = []
        for neuron, value, counts, size in zip(*history, sizes, strict=True):
            known = jnp.arange(size, dtype=jnp.int32) < counts[slot]
            spikes.append(
                jnp.zeros(size, dtype)
                .at[jnp.where(known, neuron[slot], size)]
                .set(value[slot], mode="drop")
            )
        ring, _, _ = deliver(
            ring, tuple(spikes), rows, weights, slack, index=step + 1, layout=layout, impl=impl
        )
        return ring, None

    # The spikes of step index - 1 are not in the history yet: they come with the next delivery.
    ago = jnp.arange(layout.num_slots, 1, -1, dtype=jnp.int32)
    ring = varying_alike(empty_ring(layout, dtype), history, weights, rows, index)
    return jax.lax.scan(replay, ring, ago)[0]
