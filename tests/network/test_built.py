"""Reading and changing a built network: canonical order, weights, parameters."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import brainjax as bj


@pytest.fixture(scope="module")
def built():
    network = bj.Network(
        {
            "a": bj.Population(
                20, bj.LIF(i_e=400.0), {"in": bj.ExponentialCurrent()}, {"v": bj.Uniform(-70, -56)}
            ),
            "b": bj.Population(7, bj.LIF(t_ref=np.full(7, 1.0)), {"in": bj.ExponentialCurrent()}),
        },
        [
            bj.Projection(
                "a", "b.in", bj.FixedTotalNumber(90), bj.Normal(10.0, 1.0), bj.Uniform(0.1, 1.2)
            ),
            bj.Projection("a", "a.in", bj.FixedProbability(0.3), 5.0, 0.4),
        ],
    )
    return bj.build(network, dt=0.1, key=jax.random.key(0))


def test_edges_are_in_canonical_order(built):
    pre, post, delay = built.edges("a->b.in")
    assert len(pre) == 90 and set(zip(pre, post, strict=True)) != set()
    keys = list(zip(pre, post, delay, strict=True))
    assert keys == sorted(keys)
    assert delay.min() >= 1 and delay.max() <= 12 and len(set(delay)) > 6


def test_weights_can_be_replaced_in_canonical_order(built):
    wanted = jnp.arange(90.0)
    changed = built.with_weights("a->b.in", wanted)
    np.testing.assert_array_equal(changed.weights("a->b.in"), wanted)
    np.testing.assert_array_equal(
        changed.canonical("a->b.in", changed.projections["a->b.in"].weight), wanted
    )
    pre, post, _ = built.edges("a->b.in")
    dense = np.zeros((20, 7), np.float32)
    np.add.at(dense, (pre, post), np.asarray(wanted))
    np.testing.assert_array_equal(changed.weights("a->b.in", as_="dense"), dense)


def test_a_gradient_in_canonical_order_belongs_to_its_synapse(built):
    """The sum of w_i * i has the gradient i, where i counts synapses in canonical order."""

    def loss(network):
        return jnp.sum(network.weights("a->b.in") * jnp.arange(90.0))

    gradient = eqx.filter_grad(loss)(built)
    leaf = gradient.projections["a->b.in"].weight
    np.testing.assert_array_equal(built.canonical("a->b.in", leaf), np.arange(90.0))


def test_with_parameters_changes_them_without_a_retrace(built):
    traces = []

    @eqx.filter_jit
    def run(network, state):
        traces.append(1)
        return bj.rollout(network, state, num_steps=20, record={"n": bj.SpikeCount("a")})

    state = built.init_state(key=jax.random.key(1))
    before = run(built, state)[1]["n"].sum()
    other = built.with_parameters("a", i_e=2000.0, tau_m=12)
    assert float(other.populations["a"].neuron.i_e) == 2000.0
    assert run(other, state)[1]["n"].sum() > before
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("population", "values", "words"),
    [
        ("c", {"i_e": 1.0}, r"got 'c'.*population.*Known: 'a', 'b'"),
        ("a", {"ie": 1.0}, r"got 'ie'.*parameter of LIF.*Did you mean 'i_e'"),
        ("a", {"i_e": [1.0, 2.0]}, r"shape \(2,\).*shape \(\)"),
        ("a", {"tau_m": -1.0}, r"tau_m.*-1.*positive"),
    ],
)
def test_with_parameters_refuses(built, population, values, words):
    with pytest.raises(ValueError, match=words):
        built.with_parameters(population, **values)


def test_structure_does_not_depend_on_what_else_is_in_the_network(built):
    """A projection is drawn from its own stream: another one beside it changes nothing."""
    neuron = bj.Population(20, bj.LIF(), {"in": bj.ExponentialCurrent()})
    wanted = bj.Projection("a", "a.in", bj.FixedProbability(0.3), bj.Normal(5.0, 1.0), 0.4)
    other = bj.Projection("a", "a.in", bj.OneToOne(), 1.0, 0.1, name="other")
    alone, beside = (
        bj.build(bj.Network({"a": neuron}, projections), dt=0.1, key=jax.random.key(5))
        for projections in ([wanted], [other, wanted])
    )
    np.testing.assert_array_equal(alone.edges("a->a.in"), beside.edges("a->a.in"))
    np.testing.assert_array_equal(alone.weights("a->a.in"), beside.weights("a->a.in"))


def test_the_default_surrogate_stays_bounded_in_a_recurrent_network():
    """The gradient of COBA's rate by its weights over 50 ms; steepness 1 is the control."""
    network = bj.experiments.load("coba", {"scale": 0.1}).network

    def gradient(network):
        built = bj.build(network, dt=0.1, key=jax.random.key(0))
        state = built.init_state(key=jax.random.key(1))

        @eqx.filter_jit
        @eqx.filter_grad
        def of_rate(train, rest):
            run = bj.rollout(
                eqx.combine(train, rest), state, num_steps=500, record={"n": bj.SpikeCount("exc")}
            )
            return jnp.mean(run[1]["n"])

        weights = of_rate(*eqx.partition(built, bj.trainable(built)))
        return np.array([p.weight for p in weights.projections.values()])

    usual = gradient(network)
    assert np.all(np.isfinite(usual)) and np.any(usual != 0)
    assert np.abs(usual).max() < 1e6

    flat = eqx.tree_at(lambda s: s.beta, bj.SuperSpike(), jnp.asarray(1.0))
    shallow = bj.Network(
        {
            n: eqx.tree_at(lambda p: p.neuron.surrogate, p, flat)
            for n, p in network.populations.items()
        },
        network.projections,
    )
    assert not np.abs(gradient(shallow)).max() < 1e6


def test_a_receptor_that_no_projection_ends_in_costs_no_array():
    """One zero arrives there, with the bits that an array of zeros has."""
    receptors = {n: bj.ExponentialConductance(e_rev=e) for n, e in (("ex", 0.0), ("in", -80.0))}
    cells = bj.Population(300, bj.LIF(i_e=300.0), receptors, {"ex.g": 2.0, "in.g": 1.0})

    def built(*projections):
        return bj.build(bj.Network({"c": cells}, projections), dt=0.1, key=jax.random.key(0))

    def run(built, num_steps=300, **inputs):
        state = built.init_state(key=jax.random.key(1))
        inputs = {f"c.{name}": x for name, x in inputs.items()}
        return bj.rollout(built, state, inputs, num_steps, record={"v": bj.Trace("c", "v")})[1]["v"]

    silent = [bj.Projection("c", f"c.{n}", bj.OneToOne(), 0.0, 0.1) for n in ("ex", "in")]
    alone = run(built())
    assert np.ptp(alone.value) > 10  # it spikes and is reset
    np.testing.assert_array_equal(alone.value, run(built(*silent)).value)
    for_all, for_each = (run(built(), ex=jnp.full(shape, 0.1)) for shape in ((300,), (300, 300)))
    assert np.any(for_all.value != alone.value)
    np.testing.assert_array_equal(for_all.value, for_each.value)

    def arrays(built):
        """How many arrays the step of the population is given."""
        state = built.init_state(key=jax.random.key(1))
        steps = built.prepare(state, {})
        step = jax.make_jaxpr(lambda s: built.advance(s, {}, built.backward(), steps)[0])(state)
        (mapped,) = [e for e in step.eqns if e.primitive.name == "brainjax_map"]
        return sum(x.aval.shape == (300,) for x in mapped.invars)

    assert arrays(built(*silent)) == arrays(built(silent[0])) + 1 == arrays(built()) + 2
