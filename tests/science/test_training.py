"""Gradients through delayed recurrent networks, against a dense network in plain JAX; training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import brainjax as bj

DT = 1.0
SIZES = {"a": 12, "b": 8}
PAIRS = [(pre, post) for pre in SIZES for post in SIZES]
NAMES = [f"{pre}->{post}.syn" for pre, post in PAIRS]
NEURON = {
    "c_m": 250.0, "tau_m": 10.0, "e_l": -70.0, "v_th": -55.0, "v_reset": -68.0, "t_ref": 2.0,
}  # fmt: skip
TAU_SYN = {"a": 3.0, "b": 5.0}
BATCH, NUM_STEPS = 3, 40
BETA = 0.7


def recurrent(surrogate, detach_reset, impl="auto"):
    """Two populations, all connected at random over delays of 2 to 5 steps."""
    neuron = bj.LIF(**NEURON, surrogate=surrogate, detach_reset=detach_reset)
    populations = {
        n: bj.Population(size, neuron, {"syn": bj.ExponentialCurrent(TAU_SYN[n])})
        for n, size in SIZES.items()
    }
    projections = [
        bj.Projection(
            pre,
            f"{post}.syn",
            bj.FixedProbability(0.4),
            bj.Normal(60.0, 150.0),
            bj.Uniform(2.0, 5.0),
            name=name,
        )
        for (pre, post), name in zip(PAIRS, NAMES, strict=True)
    ]
    return bj.build(bj.Network(populations, projections), dt=DT, key=jax.random.key(2), impl=impl)


def inputs_and_readout():
    """Currents `(batch, steps, size)` and coefficients of the loss, by population."""
    rng = np.random.default_rng(0)
    currents, spikes, v = {}, {}, {}
    for name, size in SIZES.items():
        currents[name] = jnp.asarray(rng.normal(450.0, 250.0, (BATCH, NUM_STEPS, size)))
        spikes[name] = jnp.asarray(rng.normal(size=(NUM_STEPS, size)))
        v[name] = jnp.asarray(rng.normal(size=(NUM_STEPS, size)) * 0.05)
    return currents, spikes, v


def readout(spikes, v, of_spikes, of_v):
    return sum((spikes[n] * of_spikes[n]).sum() + (v[n] * of_v[n]).sum() for n in SIZES)


def library_loss(built, checkpoint, weights, currents, of_spikes, of_v):
    """`(mean loss of the batch, spikes)`; the batch is a `vmap` of `rollout`."""
    for name, weight in weights.items():
        built = built.with_weights(name, weight)
    state = built.init_state(key=jax.random.key(0))
    record = {(n, f): bj.Trace(n, f) for n in SIZES for f in ("spikes", "v")}

    def one(currents):
        _, r = bj.rollout(built, state, currents, record=record, checkpoint=checkpoint)
        spikes = {n: r[n, "spikes"].value for n in SIZES}
        return readout(spikes, {n: r[n, "v"].value for n in SIZES}, of_spikes, of_v), spikes

    losses, spikes = jax.vmap(one)(currents)
    return losses.mean(), spikes


# ---- the reference: dense matrices, one per delay, and nothing of the library's ------------------


@jax.custom_jvp
def fire(x):
    return (x >= 0).astype(x.dtype)


@fire.defjvp
def _(primals, tangents):
    (x,), (x_dot,) = primals, tangents
    return fire(x), x_dot / (1 + BETA * jnp.abs(x)) ** 2


def reference_loss(edges, weights, currents, of_spikes, of_v, *, detach_reset):
    p = NEURON
    longest = max(int(e.delay.max()) for e in edges.values())
    dense = {}
    for (pre, post), name in zip(PAIRS, NAMES, strict=True):
        zeros = jnp.zeros((longest + 1, SIZES[pre], SIZES[post]))
        e = edges[name]
        dense[pre, post] = zeros.at[e.delay, e.pre, e.post].add(weights[name])
    decay = np.exp(-DT / p["tau_m"])
    syn = {n: np.exp(-DT / t) for n, t in TAU_SYN.items()}
    to_u = {n: (syn[n] - decay) / (1 / p["tau_m"] - 1 / t) / p["c_m"] for n, t in TAU_SYN.items()}
    from_current = p["tau_m"] / p["c_m"] * (1 - decay)
    above, below = p["v_th"] - p["e_l"], p["v_reset"] - p["e_l"]

    def one(currents):
        zeros = {n: jnp.zeros(s) for n, s in SIZES.items()}
        past = {n: jnp.zeros((longest + 1, s)) for n, s in SIZES.items()}  # past[n][d]: d steps ago
        start = zeros, zeros, {n: jnp.zeros(s, int) for n, s in SIZES.items()}, past

        def step(carry, current):
            u, i, left, past = carry
            past = {n: jnp.roll(x, 1, axis=0) for n, x in past.items()}
            new_u, new_i, new_left, out, v = {}, {}, {}, {}, {}
            for n in SIZES:
                arrivals = sum(
                    jnp.einsum("dp,dpq->q", past[pre][1:], dense[pre, n][1:]) for pre in SIZES
                )
                free = left[n] == 0
                moved = u[n] * decay + i[n] * to_u[n] + current[n] * from_current
                moved = jnp.where(free, moved, u[n])
                s = jnp.where(free, fire(moved - above), 0.0)
                cause = jax.lax.stop_gradient(s) if detach_reset else s
                new_u[n] = cause * below + (1 - cause) * moved
                new_i[n] = i[n] * syn[n] + arrivals
                new_left[n] = jnp.where(s > 0, round(p["t_ref"] / DT), jnp.maximum(left[n] - 1, 0))
                out[n], v[n] = s, new_u[n] + p["e_l"]
            past = {n: past[n].at[0].set(out[n]) for n in SIZES}
            return (new_u, new_i, new_left, past), (out, v)

        _, (spikes, v) = jax.lax.scan(step, start, currents)
        return readout(spikes, v, of_spikes, of_v), spikes

    losses, spikes = jax.vmap(one)(currents)
    return losses.mean(), spikes


@functools.cache
def gradients(detach_reset, dtype="float64", impl="auto", checkpoint=False):
    """`((loss, spikes), gradient)` of the library and of the reference."""
    with jax.enable_x64(dtype == "float64"):
        built = recurrent(bj.SuperSpike(beta=BETA), detach_reset, impl)
        weights = {n: built.weights(n) for n in NAMES}
        given = inputs_and_readout()
        run = jax.value_and_grad(functools.partial(library_loss, built, checkpoint), has_aux=True)
        edges = {n: built.edges(n) for n in NAMES}
        reference = jax.value_and_grad(
            functools.partial(reference_loss, edges, detach_reset=detach_reset), has_aux=True
        )
        found = jax.jit(run)(weights, *given), jax.jit(reference)(weights, *given)
        return jax.tree.map(np.asarray, found)


def assert_equal_gradients(found, expected, tolerance):
    (loss, spikes), got = found
    (loss_2, spikes_2), wanted = expected
    for n in SIZES:
        number = float(spikes_2[n].sum())
        assert BATCH * SIZES[n] < number < 0.3 * BATCH * SIZES[n] * NUM_STEPS
        np.testing.assert_array_equal(spikes[n], spikes_2[n])
    np.testing.assert_allclose(loss, loss_2, rtol=100 * tolerance)
    for name in NAMES:
        a, b = np.asarray(got[name]), np.asarray(wanted[name])
        assert a.size > 15
        assert np.mean(np.abs(b) > 1e-6 * np.abs(b).max()) > 0.9
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max(), err_msg=name)


# The way the driver goes (native or plain JAX, with or without checkpoints) changes with the case.
CASES = {
    "detached": (True, "float64", "auto", True),
    "attached": (False, "float64", "auto", False),
    "plain JAX": (True, "float64", "jax", False),
    "float32": (True, "float32", "auto", False),
}


@pytest.mark.parametrize("case", CASES)
def test_gradient_equals_a_dense_reference(case):
    tolerance = {"float64": 1e-10, "float32": 1e-5}[CASES[case][1]]
    assert_equal_gradients(*gradients(*CASES[case]), tolerance)


def test_detaching_the_reset_matters():
    detached, attached = (gradients(*CASES[c])[1][1] for c in ("detached", "attached"))
    for name in NAMES:
        a, b = np.asarray(attached[name]), np.asarray(detached[name])
        assert np.abs(a - b).max() > 0.01 * np.abs(b).max()


# ---- through the delays, and no sooner -----------------------------------------------------------


def chain(surrogate, delays):
    """A source, and two neurons behind it, one synapse each; what each weight does to every v."""
    neuron = bj.LIF(**NEURON, surrogate=surrogate)
    cell = bj.Population(1, neuron, {"syn": bj.ExponentialCurrent(3.0)})
    network = bj.Network(
        {"src": bj.Population(1, bj.SpikeSource([4.0], [0])), "b": cell, "c": cell},
        [
            bj.Projection("src", "b.syn", bj.OneToOne(), [2400.0], delays[0] * DT, name="first"),
            bj.Projection("b", "c.syn", bj.OneToOne(), [50.0], delays[1] * DT, name="second"),
        ],
    )
    built = bj.build(network, dt=DT, key=jax.random.key(0))
    state = built.init_state(key=jax.random.key(0))

    def traces(weights):
        changed = built
        for name, weight in weights.items():
            changed = changed.with_weights(name, weight)
        record = {n: bj.Trace(n, "v") for n in "bc"} | {"spikes": bj.Trace("b", "spikes")}
        _, records = bj.rollout(changed, state, num_steps=25, record=record, checkpoint=False)
        values = {n: r.value[:, 0] for n, r in records.items()}
        return values, values

    weights = {n: built.weights(n) for n in ("first", "second")}
    slopes, values = jax.jit(jax.jacrev(traces, has_aux=True))(weights)
    return values, slopes


def test_gradient_passes_through_delays_and_no_sooner(x64):
    # A spike of step 3 arrives in step 3 + d at the current, which v feels in the step after.
    delays = (3, 5)
    values, slopes = chain(bj.SuperSpike(), delays)
    at_b = 3 + delays[0] + 1
    d_b = np.asarray(slopes["b"]["first"])[:, 0]
    np.testing.assert_array_equal(d_b[:at_b], 0.0)
    assert d_b[at_b] > 0
    spiked = np.flatnonzero(values["spikes"])
    assert spiked.size == 1
    # Through the surrogate derivative, also of a membrane that moves without a spike.
    d_c = np.asarray(slopes["c"]["first"])[:, 0]
    at_c = at_b + delays[1] + 1
    np.testing.assert_array_equal(d_c[:at_c], 0.0)
    assert np.all(d_c[at_c : at_c + 3] > 0)
    # The second weight acts through a spike that was: first where its PSP begins.
    d_w = np.asarray(slopes["c"]["second"])[:, 0]
    begin = spiked[0] + delays[1] + 1
    np.testing.assert_array_equal(d_w[:begin], 0.0)
    assert d_w[begin] > 0
    # v_c is linear in that weight.
    np.testing.assert_allclose(d_w * 50.0, np.asarray(values["c"]) + 70.0, atol=1e-12)


def test_no_gradient_through_spikes_without_a_surrogate(x64):
    values, slopes = chain(bj.NoSurrogate(), (3, 5))
    assert float(values["spikes"].sum()) == 1
    np.testing.assert_array_equal(slopes["c"]["first"], 0.0)
    np.testing.assert_array_equal(slopes["spikes"]["first"], 0.0)
    assert np.abs(slopes["b"]["first"]).max() > 0  # but through the current
    assert np.abs(slopes["c"]["second"]).max() > 0


# ---- learning ------------------------------------------------------------------------------------

SEEDS, CLASSES, UPDATES, TRAIN_STEPS = 3, 3, 50, 40
TRAINED = ("in->hid.syn", "hid->hid.syn", "hid->out.syn")


@functools.cache
def learner():
    """`train(seed, order, rate)` to losses after each update, for a recurrent network with delays.

    Three input patterns; the voltage of two readout neurons is to follow a curve for each. `order`
    says, for each update, whose curve is asked of whom: a constant one can be learned, a shuffled
    one cannot. The losses are always those of the true targets.
    """
    rng = np.random.default_rng(1)
    patterns = [np.sort(rng.choice(np.arange(1, 25), (12, 2))) for _ in range(CLASSES)]
    hid = bj.LIF(**{**NEURON, "t_ref": 1.0}, surrogate=bj.SuperSpike(beta=1.0))
    out = bj.LIF(**{**NEURON, "v_th": 1e6})
    syn = {"syn": bj.ExponentialCurrent(3.0)}
    populations = {
        "in": bj.Population(12, bj.LIF(**{**NEURON, "t_ref": 0.0}), {"kick": bj.Delta()}),
        "hid": bj.Population(18, hid, syn),
        "out": bj.Population(2, out, syn),
    }
    scale = {"in->hid.syn": 700.0, "hid->hid.syn": 150.0, "hid->out.syn": 60.0}
    projections = [
        bj.Projection(
            name.partition("->")[0],
            name.partition("->")[2],
            bj.FixedProbability(0.5) if name == "hid->hid.syn" else bj.AllToAll(),
            bj.Normal(0.2 * s, s),
            bj.Uniform(2.0, 5.0),
            name=name,
        )
        for name, s in scale.items()
    ]
    built = bj.build(bj.Network(populations, projections), dt=DT, key=jax.random.key(3))
    kicks = np.zeros((CLASSES, TRAIN_STEPS, 12))
    for c, pattern in enumerate(patterns):
        for unit, steps in enumerate(pattern):
            kicks[c, steps, unit] = 100.0
    time = np.arange(TRAIN_STEPS)[:, None]
    phase = np.arange(CLASSES)[:, None, None] * 2.1 + np.array([0.0, 1.5])
    curves = jnp.asarray(4.0 * np.sin(2 * np.pi * time / 20.0 + phase) * (time > 8))
    kicks = jnp.asarray(kicks)
    state = built.init_state(key=jax.random.key(0))
    optimiser = optax.adam(1.0)
    record = {"v": bj.Trace("out", "v"), "n": bj.SpikeCount("hid")}

    def output(weights):
        changed = built
        for name, weight in weights.items():
            changed = changed.with_weights(name, weight)

        def one(kicks):
            r = bj.rollout(changed, state, {"in.kick": kicks}, record=record)[1]
            return r["v"].value + 70.0, r["n"].sum()

        return jax.vmap(one)(kicks)

    def loss(weights, order):
        v, number = output(weights)
        return jnp.mean((v - curves[order]) ** 2), (jnp.mean((v - curves) ** 2), number)

    @jax.jit
    def train(seed, order, rate):
        start = {n: built.weights(n) for n in TRAINED}
        keys = dict(zip(TRAINED, jax.random.split(seed, len(TRAINED)), strict=True))
        weights = {n: jax.random.permutation(keys[n], w) for n, w in start.items()}

        def update(carry, order):
            weights, memory = carry
            (_, seen), gradient = jax.value_and_grad(loss, has_aux=True)(weights, order)
            # The unit of a weight is pA: steps of a few per cent of its scale.
            with jax.numpy_dtype_promotion("standard"):  # optax mixes floats and integers
                moves, memory = optimiser.update(gradient, memory)
            weights = {n: w + rate * scale[n] * moves[n] for n, w in weights.items()}
            return (weights, memory), seen

        return jax.lax.scan(update, (weights, optimiser.init(weights)), order)[1]

    return train


def losses(seed, *, rate=0.03, shuffled=False):
    order = np.tile(np.arange(CLASSES), (UPDATES, 1))
    if shuffled:
        order = np.random.default_rng(seed).permuted(order, axis=1)
    found, number = learner()(jax.random.key(seed), jnp.asarray(order), jnp.asarray(rate))
    assert np.all(np.asarray(number).sum(axis=1) > 10)  # the hidden neurons spike
    return np.asarray(found)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_training_reduces_the_loss(seed):
    found = losses(seed)
    assert found[-1] < 0.5 * found[0], found[[0, -1]]
    # Controls: nothing moves at a rate of zero; targets that change hands teach no such thing.
    still = losses(seed, rate=0.0)
    np.testing.assert_allclose(still, still[0], rtol=1e-6)
    np.testing.assert_allclose(still[0], found[0], rtol=1e-6)
    taught_wrongly = losses(seed, shuffled=True)
    assert found[-1] < 0.75 * taught_wrongly[-1], (found[-1], taught_wrongly[-1])
