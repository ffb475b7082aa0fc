"""Delivery into a ring of currents: linear, hence differentiable by every rule.

Three primitives. `deliver_ring_p` is what the network calls. `push_ring_p` is its linear core, the
tangents' rule and its own derivative; `pull_ring_p` is the transpose of `push_ring_p`, and back.
With `S` the synapses, `x` spikes, `w` weights and a dot for what is linear:

    push:  ring' = ring. + S (w x. + w. x),  due = the slot that is due, which is cleared
    pull:  x_bar = S^T (w ring_bar'),  w_bar += x S^T ring_bar'

The residual of a step of the backward pass is `x` and `live`. Work is in proportion to the sources
with `x` or `x.` not zero, and that of `x_bar` to the sources that are live.

`live`, one truth for each source, says whose spikes have a derivative. Where it is false `x_bar` is
zero and the row is not read. That is right only where `x_bar` would be multiplied by zero, in
derivatives of any order: every tangent of a spike must be zero there. Push reads no more than it
must anyway; it only keeps `live` for its transpose.

For derivatives of any order the three are closed. Both are bilinear, in (what is dotted or barred)
and in (x, w). A push whose (x, w) moves is a push with the parts exchanged, so that what moves
stands where push is linear. A pull whose (x, w) moves is a pull, and that map of (x, w) is its own
transpose, with the parts exchanged.
"""

from itertools import zip_longest

import jax.numpy as jnp
import numpy as np
from jax import lax

from ._connections import (
    WORTH_SHARING,
    attributes_of,
    events_of,
    flat,
    last_rows,
    num_populations,
    projections_from,
)
from ._cuda import on_gpu
from ._primitive import (
    MADE_OF,
    align_varying,
    aval_of,
    batch_by_leading_axis,
    dense,
    is_linear,
    is_zero,
    like,
    lower_natively,
    lower_on_gpu,
    new_primitive,
    over_batch,
    set_jvp,
    set_transpose,
    sum_to,
)

_ROWS_AT_A_TIME = 64  # that are made anew, in plain JAX


def _chunks(args, *lengths):
    """Consecutive pieces of `args` of the given lengths."""
    ends = np.cumsum(lengths)
    return [list(args[e - n : e]) for e, n in zip(ends, lengths, strict=True)]


def _counts(layout):
    return num_populations(layout.sources), len(layout.sources)


# ---- push: operands ring, head, live, x. (per population), w, rows; with_weights: x, w. as well --


def _split_push(args, layout, with_weights):
    n, m = _counts(layout)
    (ring, head), live, x_dot, x, w_dot, w = _chunks(
        args, 2, n, n, n * with_weights, m * with_weights, m
    )
    return ring, head, live, x_dot, x, w_dot, w, last_rows(args, layout)


def _push_row(ring, head, source, x_dot, x, w_dot, w, row):
    """Add the synapses of one source, each `delay` slots ahead."""
    found = row.row(source, w, *([] if w_dot is None else [w_dot]))
    amount = found.weights[0] * x_dot
    if w_dot is not None:
        amount = amount + found.weights[1] * x
    slot = jnp.mod(head - 1 + found.delay, ring.shape[0])
    return ring.at[slot, found.target].add(jnp.where(found.valid, amount, 0))


def _push_one(args, layout, with_weights):
    ring, head, _, x_dot, x, w_dot, w, rows = _split_push(args, layout, with_weights)
    for p in range(len(x_dot)):
        if not x_dot[p].shape[0]:
            continue
        active = (x_dot[p] != 0) | (x[p] != 0) if with_weights else x_dot[p] != 0
        events, number = events_of(active)

        def of_event(e, ring, p=p, events=events):
            source = events[e]
            for j in projections_from(p, layout.sources):
                if rows[j].num_synapses:
                    ring = _push_row(
                        ring,
                        head,
                        source,
                        x_dot[p][source],
                        x[p][source] if with_weights else None,
                        w_dot[j] if with_weights else None,
                        w[j],
                        rows[j],
                    )
            return ring

        ring = lax.fori_loop(0, number, of_event, ring)
    slot = jnp.mod(head, layout.num_slots)
    due = lax.dynamic_index_in_dim(ring, slot, 0, keepdims=False)
    ring = lax.dynamic_update_index_in_dim(ring, jnp.zeros_like(due), slot, 0)
    return [ring, due]


def _push_reference(*args, layout, impl, batch, with_weights):
    ring, due = over_batch(lambda *a: _push_one(a, layout, with_weights), batch, args)
    return [ring, due, *_split_push(args, layout, with_weights)[5]]


def _push_abstract(*args, layout, impl, batch, with_weights):
    ring, _, _, _, _, w_dot, _, _ = _split_push(args, layout, with_weights)
    return [ring, like(ring, (*ring.shape[:batch], layout.num_targets)), *w_dot]


push_ring_p = new_primitive("push_ring", _push_abstract, _push_reference)


def _weight_positions(layout, with_weights):
    """Where the linear operands of the weights stand among those of push."""
    n, m = _counts(layout)
    return range(2 + 3 * n, 2 + 3 * n + m) if with_weights else range(0)


def _attributes(avals, *, layout, impl, batch, with_weights):
    return {
        "batch": np.int64(batch),
        "with_weights": np.int64(with_weights),
        "sources": np.asarray(layout.sources, np.int64),
        "formats": attributes_of(layout.formats),
    }


def _push_aliases(avals, *, layout, impl, batch, with_weights):
    positions = _weight_positions(layout, with_weights)
    return {0: 0, **{i: 2 + k for k, i in enumerate(positions)}}


lower_natively(push_ring_p, _push_reference, "brainjax_PushRing", _attributes, _push_aliases)


def _with_weights(*, with_weights, **_):
    return {"with_weights": np.int64(with_weights)}


def _push_sizes(avals, *, layout, **_):
    n, _ = _counts(layout)
    return [live.shape[-1] for live in avals[2 : 2 + n]]


cuda_push = on_gpu("brainjax_CudaPushRing", _with_weights, _push_aliases, _push_sizes)
lower_on_gpu(push_ring_p, _push_reference, cuda_push)
batch_by_leading_axis(push_ring_p, lambda *, layout, impl, with_weights: {0})


# ---- pull: operands ring_bar, due_bar, head, live, w_bar, x (with_weights), w, rows -------------


def _split_pull(args, layout, with_weights):
    n, m = _counts(layout)
    (ring, due, head), live, w_bar, x, w = _chunks(
        args, 3, n, m * with_weights, n * with_weights, m
    )
    return ring, due, head, live, w_bar, x, w, last_rows(args, layout)


def _pull_by_row(ring, head, w, row):
    """What reaches each source, and what would with a weight of 1, a few rows at a time."""

    def of_source(source):
        found = row.row(source, w, jnp.ones_like(w))
        seen = ring[jnp.mod(head - 1 + found.delay, ring.shape[0]), found.target]
        seen = jnp.where(found.valid, seen, 0)
        return tuple(jnp.sum(given * seen) for given in found.weights)

    sources = jnp.arange(row.num_sources, dtype=jnp.int32)
    return lax.map(of_source, sources, batch_size=min(_ROWS_AT_A_TIME, row.num_sources))


def _pull_one(args, layout, sizes, with_weights):
    ring, due, head, live, w_bar, x, w, rows = _split_pull(args, layout, with_weights)
    ring = lax.dynamic_update_index_in_dim(ring, due, jnp.mod(head, layout.num_slots), 0)
    x_bar = [jnp.zeros(size, ring.dtype) for size in sizes]
    w_bar = list(w_bar)
    for j, p in enumerate(layout.sources):
        if not rows[j].num_synapses:
            continue
        if rows[j].by_row:
            of, given = _pull_by_row(ring, head, w[j], rows[j])
            x_bar[p] = x_bar[p] + of
            if with_weights:
                w_bar[j] = w_bar[j] + jnp.sum(x[p] * given)
            continue
        all = rows[j].whole()
        at = ... if all.weight_at is None or not w[j].ndim else all.weight_at
        seen = ring[jnp.mod(head - 1 + all.delay, layout.num_slots), all.target]
        seen = jnp.where(all.valid, seen, 0)
        x_bar[p] = x_bar[p].at[all.source].add(w[j][at] * seen)
        if with_weights:
            of_weight = x[p][all.source] * seen
            w_bar[j] = w_bar[j].at[at].add(of_weight if w[j].ndim else jnp.sum(of_weight))
    # Not a product: what a row that is not live holds must not matter.
    x_bar = [jnp.where(a, bar, 0) for a, bar in zip(live, x_bar, strict=True)]
    return [ring, *x_bar, *w_bar]


def _pull_reference(*args, layout, impl, batch, with_weights, sizes):
    n, _ = _counts(layout)
    w_bar = _split_pull(args, layout, with_weights)[4]
    # A weight shared by the examples of a batch collects from all of them: per example from zero,
    # then summed over the axes it does not have.
    full = args[0].shape[:batch]
    fresh = list(args)
    for i in range(len(w_bar)):
        fresh[3 + n + i] = jnp.zeros((*full, *w_bar[i].shape[batch:]), w_bar[i].dtype)
    ring, *rest = over_batch(lambda *a: _pull_one(a, layout, sizes, with_weights), batch, fresh)
    out = []
    for old, new in zip(w_bar, rest[n:], strict=True):
        new = jnp.broadcast_to(new, (*full, *new.shape[batch:]))
        shared = tuple(i for i in range(batch) if old.shape[i] == 1 and full[i] > 1)
        out.append(old + jnp.sum(new, axis=shared, keepdims=True))
    x_bar = [jnp.broadcast_to(b, (*full, *b.shape[batch:])) for b in rest[:n]]
    return [ring, *x_bar, *out]


def _pull_abstract(*args, layout, impl, batch, with_weights, sizes):
    ring, _, _, _, w_bar, _, _, _ = _split_pull(args, layout, with_weights)
    return [ring, *[like(ring, (*ring.shape[:batch], size)) for size in sizes], *w_bar]


pull_ring_p = new_primitive("pull_ring", _pull_abstract, _pull_reference)


def _pull_attributes(avals, *, layout, impl, batch, with_weights, sizes):
    given = _attributes(avals, layout=layout, impl=impl, batch=batch, with_weights=with_weights)
    return given | {"parallel_from": np.int64(WORTH_SHARING)}


def _pull_aliases(avals, *, layout, impl, batch, with_weights, sizes):
    n, m = _counts(layout)
    return {0: 0, **{3 + n + j: 1 + n + j for j in range(m * with_weights)}}


def _pull_expanded(*, layout, impl, with_weights, sizes):
    n, m = _counts(layout)
    return {0, 1, *range(3 + n, 3 + n + m * with_weights)}


lower_natively(pull_ring_p, _pull_reference, "brainjax_PullRing", _pull_attributes, _pull_aliases)
cuda_pull = on_gpu(
    "brainjax_CudaPullRing", _with_weights, _pull_aliases, lambda avals, *, sizes, **_: sizes
)
lower_on_gpu(pull_ring_p, _pull_reference, cuda_pull)
batch_by_leading_axis(pull_ring_p, _pull_expanded)


# ---- derivatives: push and pull are each other's transpose, and bilinear ------------------------


def _push(ring, head, live, x_dot, x, w_dot, w, rows, params):
    """Push, with the parts that moves by weights need where `x` is given."""
    args = align_varying(*map(dense, [ring, head, *live, *x_dot, *x, *w_dot, *w]), *flat(rows))
    return push_ring_p.bind(*args, **params, with_weights=bool(x))


def _pull(ring, due, head, live, w_bar, x, w, rows, sizes, params):
    """Pull: `ring_bar`, then what reaches the spikes, then, where `x` is given, the weights."""
    n = len(sizes)
    args = align_varying(*map(dense, [ring, due, head, *live, *w_bar, *x, *w]), *flat(rows))
    ring, *bars = pull_ring_p.bind(*args, **params, with_weights=bool(x), sizes=sizes)
    return ring, bars[:n], bars[n:]


def _zeros(operands):
    """Zeros like operands, which may be ones of a transpose rule that the op is linear in."""
    return [jnp.zeros(aval.shape, aval.dtype) for aval in map(aval_of, operands)]


def _sum_to(operands, bars):
    """Cotangents of operands that may have been shared by the examples of a batch."""
    return [sum_to(bar, aval_of(x).shape) for x, bar in zip(operands, bars, strict=True)]


def _push_jvp(primals, tangents, *, with_weights, **params):
    layout = params["layout"]
    ring, head, live, x_dot, x, w_dot, w, rows = _split_push(primals, layout, with_weights)
    d_ring, _, _, d_x_dot, d_x, d_w_dot, d_w, _ = _split_push(tangents, layout, with_weights)
    outs = push_ring_p.bind(*primals, **params, with_weights=with_weights)
    moved = _push(d_ring, head, live, d_x_dot, x, d_w_dot, w, rows, params)
    if not all(map(is_zero, [*d_x, *d_w])):
        if not with_weights:
            d_x, w_dot = _zeros(x_dot), w
        bent = _push(jnp.zeros_like(ring), head, live, d_x, x_dot, d_w, w_dot, rows, params)
        moved = [moved[0] + bent[0], moved[1] + bent[1], *moved[2:]]
    return outs, moved


def _push_transpose(cotangents, *args, with_weights, **params):
    _, head, live, x_dot, x, _, w, rows = _split_push(args, params["layout"], with_weights)
    ring_bar, due_bar, *w_bar = cotangents
    sizes = tuple(aval_of(v).shape[-1] for v in x_dot)
    ring_bar, x_bar, w_bar = _pull(ring_bar, due_bar, head, live, w_bar, x, w, rows, sizes, params)
    bars = [ring_bar, None, *[None] * len(live), *_sum_to(x_dot, x_bar), *[None] * len(x), *w_bar]
    return [b if is_linear(v) else None for b, v in zip_longest(bars, args)]


def _pull_jvp(primals, tangents, *, with_weights, sizes, **params):
    layout = params["layout"]
    ring, due, head, live, w_bar, x, w, rows = _split_pull(primals, layout, with_weights)
    d_ring, d_due, _, _, d_w_bar, d_x, d_w, _ = _split_pull(tangents, layout, with_weights)
    outs = pull_ring_p.bind(*primals, **params, with_weights=with_weights, sizes=sizes)
    moved, x_moved, w_moved = _pull(d_ring, d_due, head, live, d_w_bar, x, w, rows, sizes, params)
    if not all(map(is_zero, [*d_x, *d_w])):
        zero = _zeros(w_bar)
        _, x_bent, w_bent = _pull(ring, due, head, live, zero, d_x, d_w, rows, sizes, params)
        x_moved, w_moved = map(jnp.add, x_moved, x_bent), map(jnp.add, w_moved, w_bent)
    return outs, [moved, *x_moved, *w_moved]


def _pull_transpose(cotangents, *args, with_weights, sizes, **params):
    ring, due, head, live, w_bar, x, w, rows = _split_pull(args, params["layout"], with_weights)
    ring_dot, *rest = cotangents
    x_dot, w_dot = rest[: len(sizes)], rest[len(sizes) :]
    x_dot = [jnp.where(a, dense(dot), 0) for a, dot in zip(live, x_dot, strict=True)]
    if any(map(is_linear, [*x, *w])):
        w_dot = w_dot or _zeros(w)
        _, to_x, to_w = _pull(ring, due, head, live, _zeros(w), x_dot, w_dot, rows, sizes, params)
        bars = [None] * (3 + len(live) + len(w_bar)) + _sum_to(x, to_x[: len(x)]) + to_w
    else:
        ring_dot, due_dot, *w_dot = _push(ring_dot, head, live, x_dot, x, w_dot, w, rows, params)
        bars = [ring_dot, due_dot, None, *[None] * len(live), *w_dot]
    return [b if is_linear(v) else None for b, v in zip_longest(bars, args)]


set_jvp(push_ring_p, _push_jvp)
set_transpose(push_ring_p, _push_transpose)
set_jvp(pull_ring_p, _pull_jvp)
set_transpose(pull_ring_p, _pull_transpose)


# ---- deliver: operands ring, head, live, spikes, slack, weights, rows ---------------------------


def _split_deliver(args, layout):
    n, m = _counts(layout)
    (ring, head), live, spikes, slack, weights = _chunks(args, 2, n, n, m, m)
    return ring, head, live, spikes, slack, weights, last_rows(args, layout)


def _deliver_reference(*args, **params):
    ring, head, live, spikes, slack, weights, rows = _split_deliver(args, params["layout"])
    return [*_push(ring, head, live, spikes, [], [], weights, rows, params), *slack]


def _deliver_abstract(*args, layout, impl, batch):
    ring, _, _, _, slack, _, _ = _split_deliver(args, layout)
    return [ring, like(ring, (*ring.shape[:batch], layout.num_targets)), *slack]


deliver_ring_p = new_primitive("deliver_ring", _deliver_abstract, _deliver_reference)
MADE_OF[deliver_ring_p] = _deliver_reference
batch_by_leading_axis(deliver_ring_p, lambda *, layout, impl: {0})


def _deliver_jvp(primals, tangents, **params):
    _, head, live, spikes, _, weights, rows = _split_deliver(primals, params["layout"])
    d_ring, _, _, d_spikes, d_slack, d_weights, _ = _split_deliver(tangents, params["layout"])
    outs = deliver_ring_p.bind(*primals, **params)
    # A slack that moves does so like its weights, and for them: in place, from step to step.
    w_dot = [w if is_zero(s) else s for s, w in zip(d_slack, d_weights, strict=True)]
    if all(map(is_zero, w_dot)):
        ring, due = _push(d_ring, head, live, d_spikes, [], [], weights, rows, params)
    else:
        moved = _push(d_ring, head, live, d_spikes, spikes, w_dot, weights, rows, params)
        ring, due, *w_dot = moved
    return outs, [ring, due, *[s if is_zero(s) else w for s, w in zip(d_slack, w_dot, strict=True)]]


set_jvp(deliver_ring_p, _deliver_jvp)
