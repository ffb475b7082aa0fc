"""The cortical microcircuit of Potjans and Diesmann."""

import math
import numbers
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from ..connect import FixedTotalNumber, Normal
from ..core import explain, near_miss
from ..network import Network, Population, Projection
from ..neurons import LIF
from ..stimuli import PoissonInput, PoissonSource
from ..synapses import ExponentialCurrent

SIZES = {
    "L23E": 20683,
    "L23I": 5834,
    "L4E": 21915,
    "L4I": 5479,
    "L5E": 4850,
    "L5I": 1065,
    "L6E": 14395,
    "L6I": 2948,
}
"""The populations, in the order that all tables here have, and how many neurons each has."""

# The probability that a source and a target are connected at least once; rows are targets.
_PROBABILITIES = np.array(
    [
        [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
        [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
        [0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0],
        [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
        [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
        [0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0],
        [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
        [0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443],
    ]
)

# Capacitance (pF) and time constant (ms) of the membrane, and time constant of the currents (ms).
_C_M, _TAU_M, _TAU_SYN = 250.0, 10.0, 0.5

# The standard deviation of weights and of delays, as a part of their mean.
_WEIGHT_SPREAD = 0.1
_DELAY_SPREAD = 0.5
# The mean delay of excitatory and of inhibitory synapses, ms; and half a step of 0.1 ms: what is
# redrawn below it comes to at least one step when delays are rounded.
_DELAY_EXC, _DELAY_INH = 1.5, 0.75
_LEAST_DELAY = 0.05

# The synapses that each neuron of a population has from outside the network.
_NUM_EXTERNAL = (1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100)

# Mean and standard deviation of the first membrane potentials, mV.
_ORIGINAL = [(-58.0, 10.0)] * 8
_OPTIMISED = [
    (-68.28, 5.36),
    (-63.16, 4.57),
    (-63.33, 4.74),
    (-63.45, 4.94),
    (-63.11, 4.94),
    (-61.66, 4.55),
    (-66.72, 5.46),
    (-61.43, 4.48),
]

# Thalamic neurons, and the probabilities that they reach a neuron of each population.
_NUM_THALAMIC = 902
_THALAMIC_PROBABILITIES = (0.0, 0.0, 0.0983, 0.0619, 0.0, 0.0, 0.0512, 0.0196)

Drive = Literal["poisson", "dc"]
Initial = Literal["optimised", "original"]


def microcircuit(
    *,
    drive: Drive = "poisson",
    initial: Initial = "optimised",
    rate_ext: float = 8.0,
    psp: float = 0.15,
    g: float = -4.0,
    thalamus: bool = False,
) -> Network:
    """The network below a square millimetre of early sensory cortex, at full scale.

    Four layers of excitatory and inhibitory neurons: 77 169 `LIF` with exponential currents, and
    298 880 968 synapses. `downscaled` makes it smaller; the rates it needs are in
    `configs/pd14.toml`: `bj.experiments.load("pd14", {"scale": 0.1}).network`.

    Excitatory and inhibitory currents have the same time constant, so one receptor, `"syn"`, holds
    their sum: the same membrane potentials as with one for each, at half the state and work.

    **Arguments:**

    - `drive`: what comes from outside the network: `"poisson"`, spikes, independent for each
      neuron; `"dc"`, the constant current that is their mean.
    - `initial`: where membranes start: `"optimised"`, near what each population settles at;
      `"original"`, the same for all, with a burst of spikes in the first milliseconds.
    - `rate_ext`: the rate of each external synapse, Hz; a neuron has 1500 to 2900.
    - `psp`: the peak of an excitatory postsynaptic potential, mV. Synapses from L4E to L23E have
      twice that.
    - `g`: an inhibitory weight in excitatory ones: 0 or less.
    - `thalamus`: whether a population `"TC"` of 902 Poisson sources spikes from 700 to 710 ms.

    **Returns:**

    A network of the populations `"L23E"`, `"L23I"`, `"L4E"`, `"L4I"`, `"L5E"`, `"L5I"`, `"L6E"`,
    `"L6I"`, for steps of 0.1 ms. Delays are rounded to the step when it is built.

    **Raises:** `ValueError` or `TypeError` for an argument of another kind.

    Source: Potjans and Diesmann (2014), The cell-type specific cortical microcircuit: relating
    structure and activity in a full-scale spiking network model. doi:10.1093/cercor/bhs358.
    Numbers and rounding are those of the authors' code for NEST, github.com/INM-6/
    microcircuit-PD14-model; delays below half a step are redrawn, as it does since 2022.
    """
    _check_word("drive", drive, get_args(Drive))
    _check_word("initial", initial, get_args(Initial))
    rate_ext = _check_number("rate_ext", rate_ext, "of 0 or more, in Hz", lambda x: x >= 0)
    psp = _check_number("psp", psp, "above 0, in mV", lambda x: x > 0)
    g = _check_number("g", g, "of 0 or less", lambda x: x <= 0)
    if not isinstance(thalamus, bool):
        raise TypeError(explain("microcircuit: thalamus", got=thalamus, expected="True or False"))
    weight = psp * current_per_potential(_C_M, _TAU_M, _TAU_SYN)
    rates = {name: rate_ext * k for name, k in zip(SIZES, _NUM_EXTERNAL, strict=True)}
    # Hz ms pA: a thousandth is pA.
    currents = {
        n: 0.001 * r * weight * _TAU_SYN if drive == "dc" else 0.0 for n, r in rates.items()
    }
    starts = _OPTIMISED if initial == "optimised" else _ORIGINAL
    populations = {
        name: Population(
            size,
            _neuron(currents[name]),
            {"syn": ExponentialCurrent(_TAU_SYN)},
            {"v": Normal(*start)},
        )
        for (name, size), start in zip(SIZES.items(), starts, strict=True)
    }
    projections = [
        _projection(source, target, p, SIZES[source], weight, g)
        for target, row in zip(SIZES, _PROBABILITIES, strict=True)
        for source, p in zip(SIZES, row, strict=True)
        if p > 0
    ]
    if thalamus:
        populations["TC"] = Population(_NUM_THALAMIC, PoissonSource(120.0, start=700.0, stop=710.0))
        projections += [
            _projection("TC", target, p, _NUM_THALAMIC, weight, g)
            for target, p in zip(SIZES, _THALAMIC_PROBABILITIES, strict=True)
            if p > 0
        ]
    stimuli = [PoissonInput(f"{n}.syn", rate, weight) for n, rate in rates.items()]
    return Network(populations, projections, stimuli if drive == "poisson" else [])


def _neuron(i_e: float) -> LIF:
    return LIF(c_m=_C_M, tau_m=_TAU_M, e_l=-65.0, v_th=-50.0, v_reset=-65.0, t_ref=2.0, i_e=i_e)


def _projection(
    source: str, target: str, probability: float, num_pre: int, weight: float, g: float
) -> Projection:
    number = FixedTotalNumber(num_synapses(float(probability), num_pre, SIZES[target]))
    exciting = not source.endswith("I")
    if not exciting:
        weight *= g
    elif (source, target) == ("L4E", "L23E"):
        weight *= 2
    low, high = (0.0, math.inf) if exciting else (-math.inf, 0.0)
    delay = _DELAY_EXC if exciting else _DELAY_INH
    return Projection(
        source,
        f"{target}.syn",
        number,
        weight=Normal(weight, _WEIGHT_SPREAD * abs(weight), low, high),
        delay=Normal(delay, _DELAY_SPREAD * delay, low=_LEAST_DELAY),
    )


def num_synapses(probability: float, num_pre: int, num_post: int) -> int:
    """How many synapses between random pairs connect a given pair with this probability.

    A pair is missed by all n with the probability (1 - 1 / pairs)^n = 1 - p.
    """
    # `log1p` would be more accurate, by up to one synapse: the numbers are to be the authors'.
    pairs = num_pre * num_post
    return round(math.log(1 - probability) / math.log((pairs - 1) / pairs))


def current_per_potential(c_m: float, tau_m: float, tau_syn: float) -> float:
    """The jump of an exponential current whose postsynaptic potential peaks at 1 mV, pA/mV.

    The potential is w / c_m a (exp(-t / tau_m) - exp(-t / tau_syn)) with a = tau_m tau_syn /
    (tau_m - tau_syn). Its peak is at t = a ln(tau_m / tau_syn).
    """
    a = tau_m * tau_syn / (tau_m - tau_syn)
    peak = a * math.log(tau_m / tau_syn)
    return c_m / (a * (math.exp(-peak / tau_m) - math.exp(-peak / tau_syn)))


def _check_word(name: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        expected = " or ".join(map(repr, known))
        mend = near_miss(str(word), known)
        raise ValueError(explain(f"microcircuit: {name}", got=word, expected=expected, mend=mend))


def _check_number(name: str, value: float, expected: str, good: Callable[[float], bool]) -> float:
    what, expected = f"microcircuit: {name}", f"a finite number {expected}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(explain(what, got=value, expected=expected))
    if not math.isfinite(value) or not good(value):
        raise ValueError(explain(what, got=value, expected=expected))
    return float(value)
