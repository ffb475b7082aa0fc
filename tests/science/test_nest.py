"""Spike trains and voltages equal to those of NEST 3.10, from `oracles/nest_lif.npz`.

The five cases are populations of one network, so that each way to run it is compiled once.
"""

import functools
import json
from pathlib import Path

import jax
import numpy as np
import oracles
import pytest
from science.runs import assert_same_spikes, by_step, run, trace, whole_steps

import brainjax as bj

FILE = Path(next(iter(oracles.__path__))) / "nest_lif.npz"
CASES = ("exp", "alpha", "delta", "exp_equal", "alpha_equal")
RECEPTORS = {"exp": bj.ExponentialCurrent, "alpha": bj.AlphaCurrent}
WAYS = [
    ("float64", "simulate", "auto"),
    ("float64", "rollout", "auto"),
    ("float64", "simulate", "jax"),
    ("float32", "simulate", "auto"),
    ("float32", "rollout", "auto"),
]


@functools.cache
def nest():
    """`(meta, {case: {array: values}})`."""
    with np.load(FILE) as data:
        meta = json.loads(str(data["meta"]))
        arrays = {case: {} for case in CASES}
        for key in data.files:
            case, _, name = key.partition("/")
            if name:
                arrays[case][name] = data[key]
    return meta, arrays


def population(case):
    meta, arrays = nest()
    params = dict(meta["params"][case])
    kind = RECEPTORS.get(case.partition("_")[0])
    tau = {r: params.pop(f"tau_syn_{r}", None) for r in ("ex", "in")}
    receptors = {r: kind(tau[r]) if kind else bj.Delta() for r in ("ex", "in")}
    v0 = arrays[case]["v0"]
    return bj.Population(v0.size, bj.LIF(**params), receptors, {"v": v0})


def projections(case):
    """Excitatory and inhibitory synapses by the sign of their weight, listed in a mixed order."""
    meta, arrays = nest()
    a = arrays[case]
    if "pre" not in a:
        return []
    made = []
    for receptor, mine in (("ex", a["weight"] >= 0), ("in", a["weight"] < 0)):
        index = np.random.default_rng(0).permutation(np.flatnonzero(mine))
        rule = bj.Explicit(a["pre"][index], a["post"][index])
        delay = a["delay_steps"][index] * meta["dt"]
        target = f"{case}.{receptor}"
        made.append(
            bj.Projection(case, target, rule, a["weight"][index], delay, name=f"{target} synapses")
        )
    return made


def inputs():
    """The events from outside, as arrivals in phase (3) of their step."""
    meta, arrays = nest()
    given = {}
    for case, a in arrays.items():
        for receptor, sign in (("ex", 1), ("in", -1)) if "arrival_step" in a else ():
            mine = np.sign(a["arrival_weight"]) == sign
            into = np.zeros((meta["num_steps"], 1))
            np.add.at(into, (a["arrival_step"][mine], 0), a["arrival_weight"][mine])
            given[f"{case}.{receptor}"] = into
    return given


@functools.cache
def ran(dtype, driver, impl):
    """Per case `(spikes, v)`."""
    meta, arrays = nest()
    with jax.enable_x64(dtype == "float64"):
        network = bj.Network(
            {case: population(case) for case in CASES},
            [p for case in CASES for p in projections(case)],
        )
        built = bj.build(network, dt=meta["dt"], key=jax.random.key(0), impl=impl)
        record = {f"{case} spikes": bj.Spikes(case) for case in CASES}
        record |= {
            f"{case} v": bj.Trace(case, "v", tuple(arrays[case]["v_neurons"].tolist()))
            for case in CASES
        }
        records = run(built, meta["num_steps"], driver=driver, record=record, inputs=inputs())
    return {
        case: (
            by_step(*whole_steps(records[f"{case} spikes"], meta["dt"])),
            trace(records[f"{case} v"]),
        )
        for case in CASES
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "driver", "impl"), WAYS)
def test_spikes_are_those_of_nest(dtype, driver, impl, case):
    # In float32 too: the networks were picked for staying clear of ties with the threshold.
    a = nest()[1][case]
    expected = a["spike_steps"], a["spike_neurons"]
    assert expected[0].size > 5
    assert_same_spikes(ran(dtype, driver, impl)[case][0], by_step(*expected))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "driver", "impl"), WAYS)
def test_voltages_are_those_of_nest(dtype, driver, impl, case):
    expected = nest()[1][case]["v"]
    got = ran(dtype, driver, impl)[case][1][: len(expected)]
    assert np.ptp(expected) > 10
    bound = {"float64": 1e-9, "float32": 2e-4}[dtype]
    np.testing.assert_allclose(got, expected, atol=bound, rtol=0)


def test_the_comparison_can_fail(x64):
    # Without synapses, or with all delays one step longer, the trains are others.
    meta, arrays = nest()
    a = arrays["exp"]
    later = [
        bj.Projection(p.source, p.target, p.rule, p.weight, np.asarray(p.delay) + meta["dt"])
        for p in projections("exp")
    ]
    for wrong in ([], later):
        network = bj.Network({"exp": population("exp")}, wrong)
        built = bj.build(network, dt=meta["dt"], key=jax.random.key(0))
        trains = run(built, meta["num_steps"], record={"s": bj.Spikes("exp")})["s"]
        with pytest.raises(AssertionError, match="first difference"):
            assert_same_spikes(
                by_step(*whole_steps(trains, meta["dt"])), (a["spike_steps"], a["spike_neurons"])
            )
