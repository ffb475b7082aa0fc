"""The filter for gradients chooses what was asked for, and nothing that cannot be learned."""

import equinox as eqx
import jax
import pytest

import brainjax as bj


@pytest.fixture(scope="module")
def built():
    neuron = bj.Population(4, bj.LIF(), {"in": bj.ExponentialCurrent()})
    synapses = [
        bj.Projection("a", "a.in", bj.AllToAll(), 10.0, 0.5),
        bj.Projection("a", "a.in", bj.OneToOne(), bj.Normal(1.0, 0.1), 0.5, name="self"),
    ]
    return bj.build(bj.Network({"a": neuron}, synapses), dt=0.1, key=jax.random.key(0))


def test_weights_by_default(built):
    chosen = eqx.filter(built, bj.trainable(built))
    assert [x.shape for x in jax.tree.leaves(chosen)] == [(), (4,)]
    assert chosen.projections["self"].weight is built.projections["self"].weight


def test_where(built):
    chosen = eqx.filter(built, bj.trainable(built, lambda b: b.populations["a"].neuron.tau_m))
    assert len(jax.tree.leaves(chosen)) == 1
    assert chosen.populations["a"].neuron.tau_m is built.populations["a"].neuron.tau_m


def test_partition_and_combine_give_the_network_back(built):
    train, fixed = eqx.partition(built, bj.trainable(built))
    assert eqx.tree_equal(eqx.combine(train, fixed), built)


def test_refuses_indices(built):
    with pytest.raises(TypeError, match=r"trainable: where: got .*int32.*floating-point leaves"):
        bj.trainable(built, lambda b: b.projections["self"].rows.delay)
