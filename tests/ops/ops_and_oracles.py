"""The ops of the library, each as something that evolves, beside what it should equal.

An op is added to `OPS`, a way to keep connections to `WIRINGS`; `transforms.py` transforms them.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ops import dense
from ops.formats import Synapses, in_order, network_of
from ops.structures import Wiring, in_type, random_spikes, random_wiring

from brainjax.core import HostStream
from brainjax.network._interpolate import interpolated
from brainjax.network._trainable_delay import TrainableDelay, lay_out_trainable
from brainjax.ops import History, Ring, deliver, log_events, map_neurons
from brainjax.ops._fence import fence


class Model(NamedTuple):
    """Something that evolves: by an op, or by what it should equal."""

    start: Callable  # (events, weights) -> carry
    step: Callable  # (carry, k, events, weights) -> (carry, out)
    view: Callable = lambda carry: carry  # what of the carry is compared


class Op(NamedTuple):
    """An op, its oracle, and operands of two kinds, each a PyTree of floats."""

    name: str
    model: Callable[[str], Model]  # of an implementation
    oracle: Model
    operands: Callable[[int], tuple[Any, Any]]  # of a seed: (events, weights), float64
    refusal: type[Exception] | None = None  # of every derivative
    words: str = ""  # of the refusal
    note: str = ""
    heavy: bool = False  # whether most of its cells are left to `make slow`


# ---- ops ----------------------------------------------------------------------------------------


class Kept(NamedTuple):
    """Connections as they are kept, and the same as lists of synapses."""

    wiring: Wiring
    listed: tuple[Synapses, ...]
    weights: tuple  # the operand of each projection: weights, or weights and delays
    resolve: Callable = lambda rows, weights: (rows, weights)  # into what the op takes


def _stored() -> Kept:
    made = [(0, 20, 3, False), (1, 12, 2, True), (0, 0, 1, False)]
    wiring = random_wiring(np.random.default_rng(0), (6, 5), 7, made, 3)
    return Kept(wiring, _in_order(wiring), wiring.weights)


def _in_order(wiring: Wiring) -> tuple[Synapses, ...]:
    return tuple(in_order(*s) for s in wiring.synapses)


def _of_formats(*names: str) -> Kept:
    """What is not stored, with stored synapses beside each."""
    given, _, made = network_of(*names, dtype=np.float64)
    pairs = zip(made, _in_order(given)[1::2], strict=True)
    return Kept(given, tuple(s for pair in pairs for s in pair), given.weights)


def _trained() -> Kept:
    """Delays between steps, which are 1 ms, and stored synapses beside them."""
    rng, (count, longest) = np.random.default_rng(0), (20, 4.0)
    wiring = random_wiring(rng, (6, 5), 7, [(0, count, 1, False), (1, 12, 3, False)], 5)
    pre, post, _ = wiring.synapses[0]
    ms = rng.integers(1, 4, count) + rng.uniform(0.4, 0.6, count)
    trained, begin = TrainableDelay(ms, longest), np.searchsorted(pre, np.arange(7))
    stream = HostStream((0, 0))
    laid = lay_out_trainable(trained, begin, post, 7, 0, 1.0, stream, "trained")
    assert laid.longest_delay == wiring.layout.num_slots

    def resolve(rows, weights):
        (weight, delay), other = weights
        two, each = interpolated(rows[0], weight, delay, 1.0, laid.longest_delay)
        return (two, rows[1]), (each, other)

    wiring = wiring._replace(rows=(laid.rows, wiring.rows[1]))
    return Kept(wiring, _in_order(wiring), ((wiring.weights[0], ms), wiring.weights[1]), resolve)


WIRINGS = {
    "stored rows": _stored(),
    "counted and computed": _of_formats("band", "fixed fan-out", "strided convolution"),
    "procedural rows": _of_formats("procedural, without replacement", "procedural, torus"),
    "trained delays": _trained(),
}


def _deliver(kept: str, form: type, impl: str) -> Model:
    """Delivery from or into what a start that is not empty has under way."""
    wiring, resolve = WIRINGS[kept].wiring, WIRINGS[kept].resolve

    def resolved(weights):
        return resolve(in_type(wiring.rows, jax.tree.leaves(weights)[0].dtype), weights)

    def start(events, weights):
        slack = tuple(w - jax.lax.stop_gradient(w) for w in resolved(weights)[1])
        dtype = events[0].dtype
        if form is Ring:
            return Ring(jnp.asarray(dense.under_way(wiring, Ring), dtype)), slack
        past = dense.under_way(wiring, History)
        order = [np.argsort(x == 0, axis=1, kind="stable") for x in past]
        return History(
            tuple(jnp.asarray(i, jnp.int32) for i in order),
            tuple(
                jnp.asarray(np.take_along_axis(x, i, 1), dtype)
                for x, i in zip(past, order, strict=True)
            ),
            tuple(jnp.asarray((x != 0).sum(1), jnp.int32) for x in past),
        ), slack

    def step(carry, k, events, weights):
        how = {"index": k, "layout": wiring.layout, "impl": impl}
        pending, due, slack = deliver(carry[0], events, *resolved(weights), carry[1], **how)
        return (pending, slack), due

    def view(carry):
        return carry[0].slots if form is Ring else dense.trains_of(carry[0])

    return Model(start, step, view)


def _deliver_op(kept: str, form: type, name: str, **more) -> Op:
    wiring, listed, weights, _ = WIRINGS[kept]

    def operands(seed):
        rng = np.random.default_rng(seed)
        events = tuple(x[0] for x in random_spikes(rng, wiring.sizes, 1))
        return events, jax.tree.map(lambda w: w + 0.1 * rng.normal(size=np.shape(w)), weights)

    return Op(
        f"deliver, {name}: {kept}",
        functools.partial(_deliver, kept, form),
        Model(*dense.delivery(wiring, listed, form)),
        operands,
        heavy=kept in ("procedural rows", "trained delays"),
        **more,
    )


def _neuron(parameters, state, current):
    """Smooth, of two variables, with a parameter of each neuron and one of all."""
    tau, gain = parameters
    v, u = state
    v = v * jnp.exp(-1 / tau) + gain * jnp.tanh(current) * u
    return (v, u + jnp.log1p(v**2)), jnp.tanh(v * u)


def _neuron_start(events, weights):
    v = jnp.linspace(-1, 1, events.shape[0], dtype=events.dtype)
    return v, v + 2


def _neuron_model(impl: str) -> Model:
    return Model(
        _neuron_start,
        lambda state, k, current, parameters: map_neurons(
            _neuron, (parameters,), state, current, impl=impl
        ),
    )


def _neuron_operands(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=9), (rng.uniform(2, 3, 9), np.float64(rng.uniform(0.5, 1)))


def _log_start(events, weights):
    """A log of 11, of which some are written: how many is the operand that stands for weights."""
    return jnp.full(11, -1, jnp.int32), weights.astype(jnp.int32)


def _log_model(impl: str) -> Model:
    def step(carry, k, events, weights):
        log, length = log_events(*carry, events, impl=impl)
        return (log, length), events

    return Model(_log_start, step)


def _log_operands(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=9) * (rng.random(9) < 0.5), np.float64(2 * seed)


def _nothing(events, weights):
    return ()


def _fence_model(impl: str) -> Model:
    def step(carry, k, events, weights):
        return carry, fence((events, weights), impl=impl)

    return Model(_nothing, step)


OPS = {
    op.name: op
    for op in (
        *(_deliver_op(kept, Ring, "ring") for kept in WIRINGS),
        *(
            _deliver_op(
                kept,
                History,
                "history",
                refusal=NotImplementedError,
                words="rollout",
                note="Who spiked is an integer: a history has no derivative, and says so.",
            )
            for kept in WIRINGS
            if kept != "trained delays"  # a history needs delays in order
        ),
        Op(
            "map_neurons",
            _neuron_model,
            Model(_neuron_start, lambda s, k, x, p: _neuron(p, s, x)),
            _neuron_operands,
        ),
        Op(
            "log_events",
            _log_model,
            Model(_log_start, dense.log_step),
            _log_operands,
            note="A log is made of integers: its derivative is zero.",
        ),
        Op(
            "fence",
            _fence_model,
            Model(_nothing, lambda carry, k, events, weights: (carry, (events, weights))),
            _neuron_operands,
        ),
    )
}
