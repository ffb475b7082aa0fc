"""The stationary rates of a network of LIF neurons, by theory instead of simulation."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..core import explain, is_traced, near_miss, shown
from ..network import Network
from ..neurons import LIF
from ..stimuli import DC, PoissonInput, PoissonSource, Source
from ..synapses import Delta, ExponentialCurrent
from ._moments import weight_moments
from ._siegert import siegert

_NEURON = ("tau_m", "t_ref", "v_th", "v_reset")
_DURATION = 200.0  # of the relaxation, in its time constants
_TOLERANCE = 1e-10


def mean_field(network: Network, *, start: float | Mapping[str, float] = 0.0) -> dict[str, float]:
    r"""Rates at which a network of LIF populations sustains itself, by mean-field theory.

    Every neuron receives Gaussian white noise, of the mean and variance that its Poisson inputs
    would have, and fires as `siegert` says:

    $$\mu_a = e_l + R I_a + \tau_m \sum_b K_{ab} \langle J_{ab} \rangle \nu_b, \qquad
    \sigma_a^2 = \tau_m \sum_b K_{ab} \langle J_{ab}^2 \rangle \nu_b, \qquad
    \nu_a = \Phi(\mu_a, \sigma_a)$$

    with $K_{ab}$ the mean number of connections from $b$ to a neuron of $a$, external inputs among
    them. It holds for many weak inputs that are nearly independent, in continuous time. Delays do
    not enter; whether the state is stable or oscillates is another question, and so is how rates
    spread over neurons whose numbers of connections differ.

    **Arguments:**

    - `network`: a description, with populations of `LIF` and of `PoissonSource`, receptors `Delta`
        or `ExponentialCurrent` (of one `tau_syn` in a population; short against `tau_m`, see
        `siegert`), and stimuli `PoissonInput` and `DC`. Nothing is drawn.
    - `start`: the rates in Hz from which the populations relax to the state: one for all, or by
        name, 0 for those left out. A network with several states ends in one of them.

    **Returns:**

    The rate in Hz of every population of neurons, by name; sources are left out.

    **Raises:**

    `ValueError` for what the theory does not cover: other neurons and receptors, parameters that
    differ within a population, input that changes in time. `RuntimeError` if no rates were found.

    !!! example

        ```python
        import brainjax as bj

        cells = bj.Population(1000, bj.LIF(), {"ampa": bj.Delta(), "gaba": bj.Delta()})
        network = bj.Network(
            {"exc": cells},
            [bj.Projection("exc", "exc.gaba", bj.FixedProbability(0.1), -0.2, 1.5)],
            [bj.PoissonInput("exc.ampa", rate=20_000.0, weight=0.1)],
        )
        rates = bj.analysis.mean_field(network)
        assert 5.0 < rates["exc"] < 50.0
        ```

    **Source:**

    D. J. Amit and N. Brunel, "Model of global spontaneous activity and local structured activity
    during delay periods in the cerebral cortex", Cerebral Cortex 7, 1997,
    doi:10.1093/cercor/7.3.237. N. Brunel, "Dynamics of sparsely connected networks of excitatory
    and inhibitory spiking neurons", Journal of Computational Neuroscience 8, 2000,
    doi:10.1023/A:1008925309027
    """
    if not isinstance(network, Network):
        raise TypeError(
            explain(
                "mean_field: network",
                got=type(network).__name__,
                expected="a bj.Network",
                mend="Pass the description, as it was before bj.build.",
            )
        )
    theory = _theory(network)
    rates = _relax(theory, _starting_rates(start, theory.names))
    return dict(zip(theory.names, rates.tolist(), strict=True))


class _Theory(NamedTuple):
    """What determines the rates of the populations: a row or an entry for each, in order."""

    names: list[str]
    neuron: dict[str, np.ndarray]  # arguments of `siegert`, by name, [size]
    constant: np.ndarray  # mV [size], the mean without spikes
    external: np.ndarray  # mV Hz and mV^2 Hz [2, size]: K <J> nu and K <J^2> nu of outside
    recurrent: np.ndarray  # mV and mV^2 [2, size, size]: K <J> and K <J^2>, post by pre

    def response(self, rates: np.ndarray) -> np.ndarray:
        """The rates that populations answer with to these of their sources, Hz."""
        first, second = (self.external + self.recurrent @ np.maximum(rates, 0.0)) / 1000.0
        tau_m = self.neuron["tau_m"]
        return siegert(self.constant + tau_m * first, np.sqrt(tau_m * second), **self.neuron)


def _theory(network: Network) -> _Theory:
    """The inputs of every population, gathered."""
    populations = network.populations
    names = [n for n, p in populations.items() if not isinstance(p.neuron, Source)]
    cells = {name: _cell(name, populations[name].neuron) for name in names}
    constant = np.array([c["e_l"] + c["i_e"] * c["tau_m"] / c["c_m"] for c in cells.values()])
    external, recurrent = np.zeros((2, len(names))), np.zeros((2, len(names), len(names)))
    filters: dict[str, set[float]] = {name: set() for name in names}

    def jump(target: str, what: str) -> np.ndarray:
        """Moments of weights to those of jumps: mV and mV^2 per unit of the receptor at `target`.

        What a current does in the end is its charge: w tau_syn / c_m.
        """
        name, _, receptor = target.partition(".")
        model = populations[name].receptors[receptor]
        if isinstance(model, Delta):
            filters[name].add(0.0)
            return np.ones(2)
        if isinstance(model, ExponentialCurrent):
            tau_syn = _one(model.tau_syn, f"{what}: tau_syn of '{target}'")
            filters[name].add(tau_syn)
            return (tau_syn / cells[name]["c_m"]) ** np.arange(1, 3)
        expected = "a Delta or ExponentialCurrent receptor, for which the theory holds"
        raise ValueError(explain(f"{what}: target", got=type(model).__name__, expected=expected))

    for stimulus in network.stimuli:
        what = f"mean_field: {type(stimulus).__name__}('{stimulus.target}')"
        name = stimulus.target.partition(".")[0]
        _check_stationary(stimulus, populations[name].size, what)
        if isinstance(stimulus, DC):
            amplitude = _one(stimulus.amplitude, f"{what}: amplitude")
            constant[names.index(name)] += amplitude * cells[name]["tau_m"] / cells[name]["c_m"]
        else:
            rate, weight = (_one(getattr(stimulus, x), f"{what}: {x}") for x in ("rate", "weight"))
            moments = weight ** np.arange(1, 3)
            external[:, names.index(name)] += rate * moments * jump(stimulus.target, what)
    for projection in network.projections:
        what = f"mean_field: Projection '{projection.name}'"
        pre, post = populations[projection.source], populations[projection.target_population]
        same = projection.source == projection.target_population
        number = projection.rule.expected_number(pre.size, post.size, same=same) / post.size
        if number == 0:
            continue
        moments = number * weight_moments(projection.weight, what) * jump(projection.target, what)
        row = names.index(projection.target_population)
        if projection.source in names:
            recurrent[:, row, names.index(projection.source)] += moments
        else:
            source = f"mean_field: population '{projection.source}'"
            _check_stationary(pre.neuron, pre.size, source)
            external[:, row] += moments * _one(pre.neuron.rate, f"{source}: rate")
    neuron = {x: np.array([c[x] for c in cells.values()]) for x in _NEURON}
    neuron["tau_syn"] = np.array([_filter(name, taus) for name, taus in filters.items()])
    return _Theory(names, neuron, constant, external, recurrent)


def _cell(name: str, neuron: Any) -> dict[str, float]:
    what = f"mean_field: population '{name}'"
    if not isinstance(neuron, LIF):
        expected = "LIF neurons or a PoissonSource, for which the theory holds"
        raise ValueError(explain(what, got=type(neuron).__name__, expected=expected))
    fields = (*_NEURON, "c_m", "e_l", "i_e")
    return {field: _one(getattr(neuron, field), f"{what}: {field}") for field in fields}


def _one(value: Any, what: str) -> float:
    """The number that a parameter is for all neurons of a population."""
    if is_traced(value):
        raise ValueError(explain(what, got="a traced value", expected="a number that is known"))
    numbers = np.unique(np.asarray(value))
    if numbers.size != 1:
        got = f"{numbers.size} different values"
        expected = "one value for the whole population, which the theory takes as uniform"
        mend = "Split the population into populations that are uniform."
        raise ValueError(explain(what, got=got, expected=expected, mend=mend))
    return shown(numbers[0])


def _filter(name: str, taus: set[float]) -> float:
    """The synaptic time constant of a population, of those that are in use."""
    if len(taus) > 1:
        expected = "one time constant (ms; 0 is a Delta) of all receptors in use"
        what = f"mean_field: population '{name}': tau_syn"
        raise ValueError(explain(what, got=sorted(taus), expected=expected))
    return taus.pop() if taus else 0.0


def _check_stationary(drive: Any, size: int, what: str) -> None:
    """Raise `ValueError` unless a stimulus or source is constant, for ever and for everyone."""
    if not isinstance(drive, (DC, PoissonInput, PoissonSource)):
        expected = "DC, PoissonInput or PoissonSource, which have a stationary rate or current"
        raise ValueError(explain(what, got=type(drive).__name__, expected=expected))
    span = _one(drive.start, f"{what}: start"), _one(drive.stop, f"{what}: stop")
    if not (span[0] <= 0 and span[1] == math.inf):
        mend = "Leave out start and stop for the rates while it is on."
        expected = "input that does not change in time"
        raise ValueError(explain(f"{what}: start, stop", got=span, expected=expected, mend=mend))
    targets = getattr(drive, "num_targets", None)
    if targets not in (None, size):
        mend = "Split the population into those that receive it and those that do not."
        expected = f"all {size} neurons, which the theory takes as alike"
        what = f"{what}: num_targets"
        raise ValueError(explain(what, got=targets, expected=expected, mend=mend))


def _starting_rates(start: float | Mapping[str, float], names: list[str]) -> np.ndarray:
    given = start if isinstance(start, Mapping) else dict.fromkeys(names, start)
    for name, rate in given.items():
        if name not in names:
            expected = "a population of neurons"
            mend = near_miss(name, names)
            raise ValueError(explain("mean_field: start", got=name, expected=expected, mend=mend))
        number = np.asarray(rate)
        if number.dtype.kind not in "iuf" or number.ndim or not 0 <= number < math.inf:
            what = f"mean_field: start of '{name}'"
            raise ValueError(explain(what, got=rate, expected="a rate in Hz, 0 or more"))
    return np.array([float(given.get(name, 0.0)) for name in names])


def _relax(theory: _Theory, start: np.ndarray) -> np.ndarray:
    """The rates that d nu/ds = response(nu) - nu leads to from `start`, polished."""
    from scipy import integrate, optimize  # here, because importing them takes long

    def excess(rates: np.ndarray) -> np.ndarray:
        return theory.response(rates) - rates

    if not start.size:
        return start
    flow = integrate.solve_ivp(lambda s, rates: excess(rates), (0, _DURATION), start, "LSODA")
    rates = np.maximum(optimize.root(excess, flow.y[:, -1], options={"xtol": 1e-13}).x, 0.0)
    left = np.abs(excess(rates))
    if not np.all(left <= _TOLERANCE * (1 + rates)):
        worst = int(np.argmax(left))
        raise RuntimeError(
            explain(
                f"mean_field: population '{theory.names[worst]}' at {rates[worst]:.4g} Hz",
                got=f"a response that differs by {left[worst]:.2g} Hz",
                expected="rates that sustain themselves",
                mend="Start nearer to them: mean_field(network, start={...}).",
            )
        )
    return rates
