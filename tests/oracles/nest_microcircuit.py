"""Rates of the cortical microcircuit, downscaled to a tenth, by NEST: `nest_microcircuit.json`.

    python tests/oracles/nest_microcircuit.py [--check] [SEEDS]

The model of https://github.com/INM-6/microcircuit-PD14-model (network_params.py, helpers.py) with
Poisson drive and optimised initial potentials, written without BrainJAX: 500 ms discarded, 1000 ms
counted.
`--check` compares with the file instead of writing it (NEST's numbers depend on its version and
threads; rates must agree within their spread over seeds).
"""

import json
import pathlib
import sys

import nest
import numpy as np

FILE = pathlib.Path(__file__).with_suffix(".json")
SCALE = 0.1  # of neurons and of synapses a neuron
NAMES = ["L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I"]
SIZES = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])
PROBABILITY = np.array(
    [
        [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
        [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
        [0.0077, 0.0059, 0.0497, 0.135, 0.0067, 0.0003, 0.0453, 0.0],
        [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
        [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
        [0.0548, 0.0269, 0.0257, 0.0022, 0.06, 0.3158, 0.0086, 0.0],
        [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
        [0.0364, 0.001, 0.0034, 0.0005, 0.0277, 0.008, 0.0658, 0.1443],
    ]
)
K_EXT = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100])
V_MEAN = [-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43]
V_STD = [5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48]
FULL_RATES = np.array([0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829])
C_M, TAU_M, TAU_S, RATE_EXT, PSP, G = 250.0, 10.0, 0.5, 8.0, 0.15, -4.0


def psc_of_psp() -> float:
    """The current, pA, whose potential peaks at 1 mV."""
    ratio = TAU_S / TAU_M
    peak = ratio ** (TAU_S / (TAU_M - TAU_S)) - ratio ** (TAU_M / (TAU_M - TAU_S))
    return C_M * (TAU_M - TAU_S) / (TAU_S * TAU_M * peak)


def create(seed: int, *, scale: float = SCALE, drive: str = "poisson", threads: int = 1) -> dict:
    """The network in NEST: name to population. `drive` is "poisson", or "dc" for its mean."""
    nest.ResetKernel()
    nest.set(resolution=0.1, rng_seed=seed, local_num_threads=threads)
    pairs = np.outer(SIZES, SIZES).astype(float)
    full_number = np.round(np.log(1 - PROBABILITY) / np.log((pairs - 1) / pairs))
    psc = PSP * psc_of_psp()
    weight = psc * np.where(np.arange(8) % 2 == 0, 1.0, G)[None, :] * np.ones((8, 8))
    weight[0, 2] *= 2
    lost = (weight * full_number / SIZES[:, None] * FULL_RATES).sum(axis=1)
    lost += psc * K_EXT * RATE_EXT
    current = 0.001 * TAU_S * (1 - np.sqrt(scale)) * lost
    number = np.round(full_number * scale * scale).astype(int)
    sizes = np.round(SIZES * scale).astype(int)
    weight, psc = weight / np.sqrt(scale), psc / np.sqrt(scale)
    if drive == "dc":
        current += 0.001 * TAU_S * psc * K_EXT * scale * RATE_EXT
    populations = []
    for i in range(8):
        neuron = {"C_m": C_M, "tau_m": TAU_M, "tau_syn_ex": TAU_S, "tau_syn_in": TAU_S}
        neuron |= {"t_ref": 2.0, "E_L": -65.0, "V_th": -50.0, "V_reset": -65.0, "I_e": current[i]}
        population = nest.Create("iaf_psc_exp", int(sizes[i]), params=neuron)
        population.V_m = nest.random.normal(V_MEAN[i], V_STD[i])
        if drive == "poisson":
            rate = {"rate": RATE_EXT * K_EXT[i] * scale}
            generator = nest.Create("poisson_generator", params=rate)
            nest.Connect(generator, population, syn_spec={"weight": psc, "delay": 1.5})
        populations.append(population)
    for i, j in np.argwhere(number):
        w, d = weight[i, j], 1.5 if j % 2 == 0 else 0.75
        low, high = (0.0, np.inf) if w > 0 else (-np.inf, 0.0)
        normal, redraw = nest.random.normal, nest.math.redraw
        nest.Connect(
            populations[j],
            populations[i],
            {"rule": "fixed_total_number", "N": int(number[i, j])},
            {
                "weight": redraw(normal(mean=w, std=abs(w) * 0.1), min=low, max=high),
                "delay": redraw(normal(mean=d, std=d / 2), min=0.05, max=np.inf),
            },
        )
    return dict(zip(NAMES, populations, strict=True))


def record(populations: dict, start: float = 0.0) -> dict:
    """A recorder for each population, from `start` ms on."""
    recorders = {n: nest.Create("spike_recorder", params={"start": start}) for n in populations}
    for name, population in populations.items():
        nest.Connect(population, recorders[name])
    return recorders


def counts(recorders: dict) -> dict[str, int]:
    """How many spikes each recorder holds."""
    return {name: recorder.n_events for name, recorder in recorders.items()}


def rates(seed: int) -> dict[str, float]:
    """Rate of each population, Hz."""
    populations = create(seed)
    recorders = record(populations, start=500.0)
    nest.Simulate(1500.0)
    return {name: number / len(populations[name]) for name, number in counts(recorders).items()}


def main() -> None:
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    num_seeds = int(arguments[0]) if arguments else 10
    nest.set_verbosity("M_ERROR")
    per_seed = [rates(seed) for seed in range(1, num_seeds + 1)]
    found = {name: [r[name] for r in per_seed] for name in NAMES}
    for name, values in found.items():
        print(f"{name:5} {np.mean(values):7.3f} +- {np.std(values):.3f}")
    if "--check" in sys.argv:
        for name, before in json.loads(FILE.read_text())["rate_hz"].items():
            error = np.hypot(np.std(before), np.std(found[name])) / np.sqrt(num_seeds)
            assert abs(np.mean(before) - np.mean(found[name])) < 5 * error, name
        return
    content = {"nest": nest.__version__, "scale": SCALE, "rate_hz": found}
    FILE.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
