"""Traces of NEST 3.10 for current-based LIF networks on the grid: writes `nest_lif.npz`.

    python nest_lif.py            simulate with NEST, check, write nest_lif.npz
    python nest_lif.py --check    simulate with NEST, check, compare with the committed file

Cases (resolution 0.1 ms, 200 ms):

- `exp`, `alpha`, `delta`: networks of 100 excitatory (0 .. 99) and 25 inhibitory neurons of
  `iaf_psc_exp`, `iaf_psc_alpha` (tau_syn_ex 2 ms, tau_syn_in 5 ms) and `iaf_psc_delta`, with drawn
  connections (autapses and multapses allowed), weights and delays of 1 .. 64 steps.
- `exp_equal`, `alpha_equal`: one neuron with tau_syn_ex == tau_syn_in == tau_m under spikes from
  outside.

The README beside this file has the keys and the conventions of time. Checked on every run: NEST
gives the same with 1 and 2 threads; `psc_numpy.py` reproduces every spike of NEST exactly and its
voltages to 1e-9 mV; removing the synapses changes the trains.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from psc_numpy import PscParams, simulate_psc

os.environ.setdefault("PYNEST_QUIET", "1")
import nest

FILE = Path(__file__).with_suffix(".npz")
DT, NUM_STEPS, TRACE_STEPS = 0.1, 2000, 500
NUM_EXC, NUM_INH = 100, 25
NEURON = {"c_m": 250.0, "tau_m": 10.0, "e_l": -70.0, "v_th": -55.0, "v_reset": -68.0, "t_ref": 2.0}
TAU_SYN = {"tau_syn_ex": 2.0, "tau_syn_in": 5.0}
EQUAL = {"tau_syn_ex": 10.0, "tau_syn_in": 10.0}


def draw_network(seed, w_exc, w_inh, quantum):
    """16 excitatory and 5 inhibitory synapses a neuron, drawn with replacement.

    Weights are multiples of `quantum` (a power of two) and v0 of 2^-10 mV: exact in float32, and
    their sums independent of order. The seeds in `CASES` are the ones, of a few hundred, whose v
    stays farthest from a tie with v_th (`margin` in `psc_numpy`), so that float32 can be compared.
    """
    rng = np.random.default_rng(seed)
    num = NUM_EXC + NUM_INH
    pre = np.concatenate([rng.integers(0, NUM_EXC, 16 * num), rng.integers(NUM_EXC, num, 5 * num)])
    post = rng.integers(0, num, pre.size)
    mean = np.where(pre < NUM_EXC, w_exc, w_inh)
    weight = np.round(mean * rng.uniform(0.5, 1.5, pre.size) / quantum) * quantum
    order = np.lexsort((post, pre))
    return {
        "pre": pre[order].astype(np.int32),
        "post": post[order].astype(np.int32),
        "weight": weight[order],
        "delay_steps": rng.integers(1, 65, pre.size).astype(np.int32),
        "v0": np.round(rng.uniform(-70.0, -55.0, num) * 1024) / 1024,
    }


def draw_arrivals(seed, scale):
    """300 events from outside onto neuron 0, some at the same step."""
    rng = np.random.default_rng(seed)
    step = np.sort(rng.integers(10, NUM_STEPS, 300))
    weight = scale * rng.choice([60.0, 25.5, -80.0, -12.25], step.size, p=[0.4, 0.3, 0.2, 0.1])
    return {
        "arrival_step": step.astype(np.int32),
        "arrival_weight": weight,
        "v0": np.array([-66.5]),
    }


CASES = {
    "exp": (
        "iaf_psc_exp",
        {**NEURON, **TAU_SYN, "i_e": 425.0},
        draw_network(111, 100.0, -250.0, 0.25),
    ),
    "alpha": (
        "iaf_psc_alpha",
        {**NEURON, **TAU_SYN, "i_e": 425.0},
        draw_network(144, 40.0, -100.0, 0.25),
    ),
    "delta": ("iaf_psc_delta", {**NEURON, "i_e": 425.0}, draw_network(237, 0.75, -5.0, 2.0**-10)),
    "exp_equal": ("iaf_psc_exp", {**NEURON, **EQUAL, "i_e": 300.0}, draw_arrivals(4, 1.0)),
    "alpha_equal": ("iaf_psc_alpha", {**NEURON, **EQUAL, "i_e": 200.0}, draw_arrivals(16, 0.375)),
}
RECORD = {"exp": [3, 102], "alpha": [0, 101], "delta": [1, 100]}  # one excitatory, one inhibitory


def run_nest(model, params, arrays, record, threads=1, connected=True):
    """NEST's spikes as (step, neuron), sorted, and v at (k + 1) dt in row k."""
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution = DT
    nest.local_num_threads = threads
    names = {"c_m": "C_m", "e_l": "E_L", "v_th": "V_th", "v_reset": "V_reset", "i_e": "I_e"}
    neurons = nest.Create(
        model, arrays["v0"].size, params={names.get(n, n): x for n, x in params.items()}
    )
    neurons.V_m = arrays["v0"].tolist()
    first = neurons[0].global_id
    if connected and "pre" in arrays:
        nest.Connect(
            arrays["pre"] + first,
            arrays["post"] + first,
            "one_to_one",
            {
                "synapse_model": "static_synapse",
                "weight": arrays["weight"],
                "delay": arrays["delay_steps"] * DT,
            },
        )
    if connected and "arrival_step" in arrays:
        # Due in phase (3) of step j, over a delay of one step: stamped j dt by the generator.
        for weight in np.unique(arrays["arrival_weight"]):
            times = arrays["arrival_step"][arrays["arrival_weight"] == weight] * DT
            generator = nest.Create(
                "spike_generator", params={"spike_times": np.round(times, 6).tolist()}
            )
            nest.Connect(generator, neurons, syn_spec={"weight": weight, "delay": DT})
    spikes = nest.Create("spike_recorder", params={"time_in_steps": True})
    nest.Connect(neurons, spikes)
    meter = nest.Create(
        "multimeter", params={"interval": DT, "record_from": ["V_m"], "time_in_steps": True}
    )
    nest.Connect(meter, neurons[record])
    # NEST hands a multimeter its last sample a step late: simulate beyond, then cut.
    nest.Simulate((NUM_STEPS + 10) * DT)

    stamp, sender = spikes.events["times"], spikes.events["senders"] - first
    keep = stamp <= NUM_STEPS
    stamp, sender = stamp[keep], sender[keep]
    order = np.lexsort((sender, stamp))
    events = meter.events
    v = np.full((TRACE_STEPS, len(record)), np.nan)
    for column, neuron in enumerate(record):
        mine = events["senders"] == neuron + first
        rows = events["times"][mine] - 1
        inside = rows < TRACE_STEPS
        v[rows[inside], column] = events["V_m"][mine][inside]
    assert np.isfinite(v).all()
    return stamp[order] - 1, sender[order], v


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def run_case(name):
    """Simulate one case, check it, and return its arrays."""
    model, params, arrays = CASES[name]
    record = RECORD.get(name, [0])
    steps, neurons, v = trains = run_nest(model, params, arrays, record)
    failures = []

    if not same(trains, run_nest(model, params, arrays, record, threads=2)):
        failures.append("1 and 2 threads differ")
    alone = run_nest(model, params, arrays, record, connected=False)
    common = len(
        set(zip(steps.tolist(), neurons.tolist(), strict=True))
        & set(zip(alone[0].tolist(), alone[1].tolist(), strict=True))
    )
    if common > 0.2 * steps.size:
        failures.append(f"synapses hardly matter: {common} of {steps.size} spikes without them")

    kwargs = {n: arrays[n] for n in ("pre", "post", "weight", "delay_steps") if n in arrays}
    if "arrival_step" in arrays:
        zeros = np.zeros_like(arrays["arrival_step"])
        kwargs["arrivals"] = (arrays["arrival_step"], zeros, arrays["arrival_weight"])
    ours = simulate_psc(
        model.removeprefix("iaf_psc_"),
        PscParams(**params),
        v0=arrays["v0"],
        num_steps=NUM_STEPS,
        dt=DT,
        record=record,
        **kwargs,
    )
    if not same((steps, neurons), (ours.steps, ours.neurons)):
        failures.append(f"psc_numpy has other spikes: {ours.steps.size}, NEST {steps.size}")
    v_error = np.abs(v - ours.v[:TRACE_STEPS]).max()
    if not v_error < 1e-9:
        failures.append(f"psc_numpy deviates in v by {v_error:.1e} mV")

    num, seconds = arrays["v0"].size, NUM_STEPS * DT * 1e-3
    print(
        f"{name}: {steps.size} spikes, {steps.size / num / seconds:.1f} spikes/s"
        f" ({alone[0].size / num / seconds:.1f} without input, {common} spikes in common);"
        f" psc_numpy: spikes equal, |dv| <= {v_error:.1e} mV;"
        f" nearest tie {ours.margin:.1e} mV; 1 and 2 threads equal"
        if not failures
        else f"{name}: FAILED: {'; '.join(failures)}"
    )
    out = {
        "spike_steps": steps.astype(np.int32),
        "spike_neurons": neurons.astype(np.int32),
        "v": v,
        "v_neurons": np.array(record, np.int32),
        **arrays,
    }
    return {f"{name}/{key}": value for key, value in out.items()}, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed file")
    args = parser.parse_args()
    meta = {
        "nest": nest.__version__,
        "dt": DT,
        "num_steps": NUM_STEPS,
        "num_exc": NUM_EXC,
        "num_inh": NUM_INH,
        "models": {name: model for name, (model, _, _) in CASES.items()},
        "params": {name: params for name, (_, params, _) in CASES.items()},
    }
    arrays, failed = {"meta": np.array(json.dumps(meta))}, False
    for name in CASES:
        new, failures = run_case(name)
        arrays.update(new)
        failed = failed or bool(failures)
    if failed:
        sys.exit("not written")
    if args.check:
        with np.load(FILE) as committed:
            differ = sorted(set(arrays) ^ set(committed.files))
            for key in set(arrays) & set(committed.files):
                new, old = arrays[key], committed[key]
                if key == "meta":  # any 3.10.x will do
                    new, old = (json.loads(str(m)) | {"nest": None} for m in (new, old))
                    equal = new == old
                elif key.endswith("/v"):
                    equal = new.shape == old.shape and np.abs(new - old).max() < 1e-9
                else:
                    equal = np.array_equal(new, old)
                if not equal:
                    differ.append(key)
        if differ:
            sys.exit(f"{FILE.name} differs in {differ}")
        print(f"{FILE.name} is what NEST {nest.__version__} gives")
    else:
        np.savez_compressed(FILE, **arrays)
        print(f"wrote {FILE.name}, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
