"""Delivery into a ring of currents: linear, hence differentiable by every rule.

Three primitives. `deliver_ring_p` is what the network calls. `push_ring_p` is its linear core, the
tangents' rule and its own derivative; `pull_ring_p` is the transpose of `push_ring_p`, and back.
With `S` the synapses, `x` spikes, `w` weights and a dot for what is linear:

    push:  ring' = ring. + S (w x. + w. x),  due = the slot that is due, which is cleared
    pull:  x_bar = S^T (w ring_bar'),  w_bar += x S^T ring_bar'

The residual of a step of the backward pass is `x` alone. Work is in proportion to the sources with
`x` or `x.` not zero; the pull with respect to `x` reads all synapses.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax

from ._primitive import (
    add_tangents,
    align_varying,
    batch_by_leading_axis,
    dense,
    is_linear,
    is_zero,
    like,
    lower_natively,
    new_primitive,
    over_batch,
    set_jvp,
    set_transpose,
    zero_tangent,
)
from ._rows import (
    events_of,
    group_of,
    num_populations,
    operands_per_projection,
    projections_from,
    window,
)


def _chunks(args, *lengths):
    """Consecutive pieces of `args` of the given lengths."""
    ends = np.cumsum(lengths)
    return [list(args[e - n : e]) for e, n in zip(ends, lengths, strict=True)]


def _counts(layout):
    return num_populations(layout.sources), len(layout.sources)


# ---- push: operands ring, head, x. (per population), w, rows; with_weights: x, w. as well ---------


def _split_push(args, layout, with_weights):
    n, m = _counts(layout)
    (ring, head), x_dot, x, w_dot, w, _ = _chunks(
        args, 2, n, n * with_weights, m * with_weights, m, 4 * m
    )
    return ring, head, x_dot, x, w_dot, w, operands_per_projection(args, m)


def _push_row(ring, head, source, x_dot, x, w_dot, w, row, longest):
    """Add the synapses of one source, each `delay` slots ahead."""
    source_ptr, group_delay, group_ptr, target = row
    first, last = group_ptr[source_ptr[source]], group_ptr[source_ptr[source + 1]]
    position, valid, targets, weights = window(first, last, longest, target, w)
    amount = weights * x_dot
    if w_dot is not None:
        amount = amount + window(first, last, longest, target, w_dot)[3] * x
    delay = group_delay[group_of(position, group_ptr)]
    slot = jnp.mod(head - 1 + delay, ring.shape[0])
    return ring.at[slot, targets].add(jnp.where(valid, amount, 0))


def _push_one(args, layout, with_weights):
    ring, head, x_dot, x, w_dot, w, rows = _split_push(args, layout, with_weights)
    for p in range(len(x_dot)):
        active = (x_dot[p] != 0) | (x[p] != 0) if with_weights else x_dot[p] != 0
        events, number = events_of(active)

        def of_event(e, ring, p=p, events=events):
            source = events[e]
            for j in projections_from(p, layout.sources):
                if rows[j][3].shape[0]:
                    ring = _push_row(
                        ring,
                        head,
                        source,
                        x_dot[p][source],
                        x[p][source] if with_weights else None,
                        w_dot[j] if with_weights else None,
                        w[j],
                        rows[j],
                        layout.longest_row[j],
                    )
            return ring

        ring = lax.fori_loop(0, number, of_event, ring)
    slot = jnp.mod(head, layout.num_slots)
    due = lax.dynamic_index_in_dim(ring, slot, 0, keepdims=False)
    ring = lax.dynamic_update_index_in_dim(ring, jnp.zeros_like(due), slot, 0)
    return [ring, due, *w_dot]


def _push_reference(*args, layout, impl, batch, with_weights):
    n, m = _counts(layout)
    ring, due, *_ = over_batch(lambda *a: _push_one(a, layout, with_weights)[:2], batch, args)
    return [ring, due, *_split_push(args, layout, with_weights)[4]]


def _push_abstract(*args, layout, impl, batch, with_weights):
    ring, _, _, _, w_dot, _, _ = _split_push(args, layout, with_weights)
    return [ring, like(ring, (*ring.shape[:batch], layout.num_targets)), *w_dot]


push_ring_p = new_primitive("push_ring", _push_abstract, _push_reference)


def _weight_positions(layout, with_weights):
    """Where the linear operands of the weights stand among those of push."""
    n, m = _counts(layout)
    return range(2 + 2 * n, 2 + 2 * n + m) if with_weights else range(0)


def _attributes(*, layout, impl, batch, with_weights):
    return {
        "batch": np.int64(batch),
        "with_weights": np.int64(with_weights),
        "sources": np.asarray(layout.sources, np.int64),
    }


def _push_aliases(avals, *, layout, impl, batch, with_weights):
    positions = _weight_positions(layout, with_weights)
    return {0: 0, **{i: 2 + k for k, i in enumerate(positions)}}


lower_natively(push_ring_p, _push_reference, "brainjax_PushRing", _attributes, _push_aliases)
batch_by_leading_axis(push_ring_p, lambda *, layout, impl, with_weights: {0})


# ---- pull: operands ring_bar, due_bar, head, w_bar, x (with_weights), w, rows ---------------------


def _split_pull(args, layout, with_weights):
    n, m = _counts(layout)
    (ring, due, head), w_bar, x, w, _ = _chunks(
        args, 3, m * with_weights, n * with_weights, m, 4 * m
    )
    return ring, due, head, w_bar, x, w, operands_per_projection(args, m)


def _source_of(source_ptr, group_ptr, num_synapses):
    """The source of each synapse, in row order."""
    per_source = jnp.diff(group_ptr[source_ptr])
    sources = jnp.arange(per_source.shape[0], dtype=jnp.int32)
    return jnp.repeat(sources, per_source, total_repeat_length=num_synapses)


def _pull_one(args, layout, sizes, with_weights):
    ring, due, head, w_bar, x, w, rows = _split_pull(args, layout, with_weights)
    ring = lax.dynamic_update_index_in_dim(ring, due, jnp.mod(head, layout.num_slots), 0)
    x_bar = [jnp.zeros(size, ring.dtype) for size in sizes]
    w_bar = list(w_bar)
    for j, p in enumerate(layout.sources):
        source_ptr, group_delay, group_ptr, target = rows[j]
        if not target.shape[0]:
            continue
        position = jnp.arange(target.shape[0], dtype=jnp.int32)
        delay = group_delay[group_of(position, group_ptr)]
        seen = ring[jnp.mod(head - 1 + delay, layout.num_slots), target]
        source = _source_of(source_ptr, group_ptr, target.shape[0])
        x_bar[p] = x_bar[p].at[source].add(w[j] * seen)
        if with_weights:
            of_weight = x[p][source] * seen
            w_bar[j] = w_bar[j] + (of_weight if w[j].ndim else jnp.sum(of_weight))
    return [ring, *x_bar, *w_bar]


def _pull_reference(*args, layout, impl, batch, with_weights, sizes):
    n, _ = _counts(layout)
    w_bar = _split_pull(args, layout, with_weights)[3]
    # A weight shared by the examples of a batch collects from all of them: per example from zero,
    # then summed over the axes it does not have.
    full = args[0].shape[:batch]
    fresh = list(args)
    for i in range(len(w_bar)):
        fresh[3 + i] = jnp.zeros((*full, *w_bar[i].shape[batch:]), w_bar[i].dtype)
    ring, *rest = over_batch(lambda *a: _pull_one(a, layout, sizes, with_weights), batch, fresh)
    out = []
    for old, new in zip(w_bar, rest[n:], strict=True):
        new = jnp.broadcast_to(new, (*full, *new.shape[batch:]))
        shared = tuple(i for i in range(batch) if old.shape[i] == 1 and full[i] > 1)
        out.append(old + jnp.sum(new, axis=shared, keepdims=True))
    x_bar = [jnp.broadcast_to(b, (*full, *b.shape[batch:])) for b in rest[:n]]
    return [ring, *x_bar, *out]


def _pull_abstract(*args, layout, impl, batch, with_weights, sizes):
    ring, _, _, w_bar, _, _, _ = _split_pull(args, layout, with_weights)
    return [ring, *[like(ring, (*ring.shape[:batch], size)) for size in sizes], *w_bar]


pull_ring_p = new_primitive("pull_ring", _pull_abstract, _pull_reference)


def _pull_attributes(*, layout, impl, batch, with_weights, sizes):
    return _attributes(layout=layout, impl=impl, batch=batch, with_weights=with_weights)


def _pull_aliases(avals, *, layout, impl, batch, with_weights, sizes):
    n, m = _counts(layout)
    return {0: 0, **{3 + j: 1 + n + j for j in range(m * with_weights)}}


def _pull_expanded(*, layout, impl, with_weights, sizes):
    return {0, 1, *range(3, 3 + _counts(layout)[1] * with_weights)}


lower_natively(pull_ring_p, _pull_reference, "brainjax_PullRing", _pull_attributes, _pull_aliases)
batch_by_leading_axis(pull_ring_p, _pull_expanded)


# ---- derivatives: push and pull are each other's transpose, and bilinear in (x, w) ----------------


def _rest(x, w, rows):
    return [*x, *w, *[a for r in rows for a in r]]


def _push_jvp(primals, tangents, *, layout, impl, batch, with_weights):
    params = {"layout": layout, "impl": impl, "batch": batch, "with_weights": with_weights}
    ring, head, x_dot, x, w_dot, w, rows = _split_push(primals, layout, with_weights)
    d_ring, _, d_x_dot, d_x, d_w_dot, d_w, _ = _split_push(tangents, layout, with_weights)
    outs = push_ring_p.bind(*primals, **params)
    linear = [dense(d_ring), head, *map(dense, d_x_dot)]
    moved = push_ring_p.bind(
        *align_varying(*linear, *x, *map(dense, d_w_dot), *w, *_rest([], [], rows)), **params
    )
    if not all(map(is_zero, [*d_x, *d_w])):
        bent = push_ring_p.bind(
            *align_varying(
                jnp.zeros_like(ring),
                head,
                *x_dot,
                *map(dense, d_x),
                *w_dot,
                *map(dense, d_w),
                *_rest([], [], rows),
            ),
            **params,
        )
        moved = [moved[0] + bent[0], moved[1] + bent[1], *moved[2:]]
    return outs, moved


def _push_transpose(cotangents, *args, layout, impl, batch, with_weights):
    n, m = _counts(layout)
    ring, head, x_dot, x, w_dot, w, rows = _split_push(args, layout, with_weights)
    ring_bar, due_bar, *w_bar = map(dense, cotangents)
    shapes = [(v.aval if is_linear(v) else v).shape for v in x_dot]
    outs = pull_ring_p.bind(
        *align_varying(ring_bar, due_bar, head, *w_bar, *_rest(x, w, rows)),
        layout=layout,
        impl=impl,
        batch=batch,
        with_weights=with_weights,
        sizes=tuple(shape[-1] for shape in shapes),
    )
    x_bar = [_unbroadcast(b, shape) for b, shape in zip(outs[1 : 1 + n], shapes, strict=True)]
    bars = [outs[0], None, *x_bar, *[None] * len(x), *outs[1 + n :], *[None] * (m + 4 * m)]
    return [b if is_linear(v) else None for b, v in zip(bars, args, strict=True)]


def _unbroadcast(x, shape):
    axes = tuple(i for i, (a, b) in enumerate(zip(x.shape, shape, strict=True)) if b == 1 < a)
    return jnp.sum(x, axis=axes, keepdims=True) if axes else x


def _pull_jvp(primals, tangents, *, layout, impl, batch, with_weights, sizes):
    params = {"layout": layout, "impl": impl, "batch": batch, "with_weights": with_weights}
    params["sizes"] = sizes
    n, _ = _counts(layout)
    ring, due, head, w_bar, x, w, rows = _split_pull(primals, layout, with_weights)
    d_ring, d_due, _, d_w_bar, d_x, d_w, _ = _split_pull(tangents, layout, with_weights)
    outs = pull_ring_p.bind(*primals, **params)
    linear = [dense(d_ring), dense(d_due), head, *map(dense, d_w_bar)]
    moved = pull_ring_p.bind(*align_varying(*linear, *_rest(x, w, rows)), **params)
    if not all(map(is_zero, [*d_x, *d_w])):
        fresh = [jnp.zeros_like(b) for b in w_bar]
        rest = _rest(map(dense, d_x), map(dense, d_w), rows)
        bent = pull_ring_p.bind(*align_varying(ring, due, head, *fresh, *rest), **params)
        moved = [moved[0], *[a + b for a, b in zip(moved[1:], bent[1:], strict=True)]]
    return outs, moved


def _pull_transpose(cotangents, *args, layout, impl, batch, with_weights, sizes):
    n, m = _counts(layout)
    ring, due, head, w_bar, x, w, rows = _split_pull(args, layout, with_weights)
    ring_dot, *rest = map(dense, cotangents)
    x_dot, w_dot = rest[:n], rest[n:]
    outs = push_ring_p.bind(
        *align_varying(ring_dot, head, *x_dot, *x, *w_dot, *_rest([], w, rows)),
        layout=layout,
        impl=impl,
        batch=batch,
        with_weights=with_weights,
    )
    bars = [outs[0], outs[1], None, *outs[2:], *[None] * (len(x) + m + 4 * m)]
    return [b if is_linear(v) else None for b, v in zip(bars, args, strict=True)]


set_jvp(push_ring_p, _push_jvp)
set_transpose(push_ring_p, _push_transpose)
set_jvp(pull_ring_p, _pull_jvp)
set_transpose(pull_ring_p, _pull_transpose)


# ---- deliver: operands ring, head, spikes, slack, weights, rows ------------------------------------


def _split_deliver(args, layout):
    n, m = _counts(layout)
    (ring, head), spikes, slack, weights, _ = _chunks(args, 2, n, m, m, 4 * m)
    return ring, head, spikes, slack, weights, operands_per_projection(args, m)


def _deliver_reference(*args, layout, impl, batch):
    ring, head, spikes, slack, weights, rows = _split_deliver(args, layout)
    ring, due = push_ring_p.bind(
        ring,
        head,
        *spikes,
        *_rest([], weights, rows),
        layout=layout,
        impl=impl,
        batch=batch,
        with_weights=False,
    )
    return [ring, due, *slack]


def _deliver_abstract(*args, layout, impl, batch):
    ring, _, _, slack, _, _ = _split_deliver(args, layout)
    return [ring, like(ring, (*ring.shape[:batch], layout.num_targets)), *slack]


deliver_ring_p = new_primitive("deliver_ring", _deliver_abstract, _deliver_reference)
batch_by_leading_axis(deliver_ring_p, lambda *, layout, impl: {0})


def _deliver_jvp(primals, tangents, *, layout, impl, batch):
    ring, head, spikes, slack, weights, rows = _split_deliver(primals, layout)
    d_ring, _, d_spikes, d_slack, d_weights, _ = _split_deliver(tangents, layout)
    outs = deliver_ring_p.bind(*primals, layout=layout, impl=impl, batch=batch)
    with_weights = not all(map(is_zero, [*d_slack, *d_weights]))
    through = map(add_tangents, d_slack, d_weights) if with_weights else []
    moved = push_ring_p.bind(
        *align_varying(
            dense(d_ring),
            head,
            *map(dense, d_spikes),
            *(spikes if with_weights else []),
            *map(dense, through),
            *_rest([], weights, rows),
        ),
        layout=layout,
        impl=impl,
        batch=batch,
        with_weights=with_weights,
    )
    # The slack comes back as it went in: where only it moves, push hands its tangent on in place.
    given = moved[2:] if with_weights and all(map(is_zero, d_weights)) else d_slack
    return outs, [*moved[:2], *(given or [zero_tangent(s) for s in slack])]


set_jvp(deliver_ring_p, _deliver_jvp)
