"""Rules of neurons in grids, from a TOML file: tuples are lists, a profile is a table."""

import pytest
from experiments.tiny import tiny

import brainjax as bj
from brainjax.experiments import ConfigError, load

pytestmark = pytest.mark.pure


def with_rule(tmp_path, rule):
    experiment = load(tiny(tmp_path), {"network.projections.recurrent.rule": rule})
    return experiment.network.projections[0].rule


def on_grid(**changes):
    rule = {"type": "DistanceDependent", "grid": [5, 8], "reach": 2}
    return {**rule, "profile": {"type": "GaussianProfile", "peak": 0.3, "width": 2.0}, **changes}


def convolved(**changes):
    rule = {"type": "Convolution", "shape": [4, 5, 2], "channels": 1, "kernel_size": [3, 3]}
    return {**rule, **changes}


def test_rules_in_space(tmp_path):
    of_grid = bj.DistanceDependent((5, 8), bj.GaussianProfile(0.3, 2.0), 2)
    assert with_rule(tmp_path, on_grid()) == of_grid
    disc = {"type": "DiscProfile", "peak": 0.3, "width": 2.0}
    assert with_rule(tmp_path, on_grid(profile=disc, periodic=False)) == bj.DistanceDependent(
        (5, 8), bj.DiscProfile(0.3, 2.0), 2, periodic=False
    )
    for changes in ({}, {"padding": "valid"}, {"padding": [1, 0], "strides": [2, 1]}):
        as_tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()}
        expected = bj.Convolution((4, 5, 2), 1, (3, 3), **as_tuples)
        assert with_rule(tmp_path, convolved(**changes)) == expected


NO_RULES = {
    r"rule\.grid: got 5, expected a list of 2: each an integer": on_grid(grid=5),
    r"rule\.grid: got \[5, 8, 1\], expected a list of 2": on_grid(grid=[5, 8, 1]),
    r"rule\.grid\[1\]: got 8\.5, expected an integer": on_grid(grid=[5, 8.5]),
    r"rule: DistanceDependent: grid: got 0": on_grid(grid=[0, 8]),
    r"rule: DistanceDependent: reach: got 3, expected at most 2": on_grid(reach=3),
    r"rule\.profile: got 0\.3, expected a profile .* type = \"Gaus": on_grid(profile=0.3),
    r"rule\.profile\.type: got 'Gaussian'.*Did you mean 'GaussianProfile'": on_grid(
        profile={"type": "Gaussian", "peak": 0.3, "width": 2.0}
    ),
    r"rule\.profile: GaussianProfile: peak: got 1\.5, expected 0 to 1": on_grid(
        profile={"type": "GaussianProfile", "peak": 1.5, "width": 2.0}
    ),
    r"rule\.shape: got \[4, 5\], expected a list of 3: each an integer": convolved(shape=[4, 5]),
    r"rule\.padding: got 'sane', expected one of 'same', 'valid'": convolved(padding="sane"),
    r"rule\.padding: got \[1\], expected a list of 2": convolved(padding=[1]),
    r"rule: Convolution: kernel_size: got \(9, 3\)": convolved(kernel_size=[9, 3], padding="valid"),
    r"sizes of source and target: got \(40, 40\), expected \(40, 20\)": convolved(),
    r"expected 39 neurons in both, a grid of \(3, 13\)": on_grid(grid=[3, 13], reach=1),
}


@pytest.mark.parametrize("message", NO_RULES)
def test_a_rule_in_space_that_is_refused(message, tmp_path):
    changes = {"network.projections.recurrent.rule": NO_RULES[message]}
    with pytest.raises(ConfigError, match=message):
        load(tiny(tmp_path), changes).check()
