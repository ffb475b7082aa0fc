"""Network `exp` of `nest_lif.npz` in Brian2 (runtime, NumPy target, float64), against NEST.

Brian2's step at t_k: state update to t_k + dt, threshold, synapses, reset. A spike it stamps t_k
is the one NEST stamps t_k + dt: both are step k here. Two translations make the steps the same:

- every delay is at least dt (a delay of d steps is d dt in both);
- refractory = t_ref + dt: Brian2 counts from its own stamp, so that t_ref alone would hold v for
  one step less than NEST.
"""

import json
import sys
from pathlib import Path

import brian2 as b2
import numpy as np

FILE = Path(__file__).with_name("nest_lif.npz")


def run_brian2(arrays, params, *, dt, num_steps, extra_refractory):
    """Brian2's spikes as (step, neuron) sorted, and v of the recorded neurons, (num_steps, n).

    Brian2 samples v at t_k, before the step: row k is the sample of t_{k+1}.
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.prefs.core.default_float_dtype = np.float64
    b2.defaultclock.dt = dt * b2.ms
    units = {
        "c_m": b2.pF, "i_e": b2.pA, "tau_m": b2.ms, "t_ref": b2.ms,
        "tau_syn_ex": b2.ms, "tau_syn_in": b2.ms,
    }  # fmt: skip
    namespace = {name: value * units.get(name, b2.mV) for name, value in params.items()}
    neurons = b2.NeuronGroup(
        arrays["v0"].size,
        """
        dv/dt = (e_l - v)/tau_m + (ge + gi + i_e)/c_m : volt (unless refractory)
        dge/dt = -ge/tau_syn_ex : amp
        dgi/dt = -gi/tau_syn_in : amp
        """,
        threshold="v >= v_th",
        reset="v = v_reset",
        refractory=(params["t_ref"] + extra_refractory) * b2.ms,
        method="exact",
        namespace=namespace,
    )
    neurons.v = arrays["v0"] * b2.mV
    synapses = []
    for receptor, mine in (("ge", arrays["weight"] >= 0), ("gi", arrays["weight"] < 0)):
        s = b2.Synapses(neurons, neurons, "w : amp", on_pre=f"{receptor}_post += w")
        s.connect(i=arrays["pre"][mine], j=arrays["post"][mine])
        s.w = arrays["weight"][mine] * b2.pA
        s.delay = arrays["delay_steps"][mine] * dt * b2.ms
        synapses.append(s)
    spikes = b2.SpikeMonitor(neurons)
    voltage = b2.StateMonitor(neurons, "v", record=arrays["v_neurons"], when="start")
    network = b2.Network(neurons, synapses, spikes, voltage)
    network.run((num_steps + 1) * dt * b2.ms, namespace={})
    steps = np.round(np.asarray(spikes.t / b2.ms) / dt).astype(int)
    index = np.asarray(spikes.i)
    keep = steps < num_steps
    steps, index = steps[keep], index[keep]
    order = np.lexsort((index, steps))
    return steps[order], index[order], np.asarray(voltage.v / b2.mV).T[1 : num_steps + 1]


def main():
    with np.load(FILE) as data:
        arrays = {key.split("/")[1]: data[key] for key in data.files if key.startswith("exp/")}
        meta = json.loads(str(data["meta"]))
    dt, num_steps = meta["dt"], meta["num_steps"]
    nest = arrays["spike_steps"], arrays["spike_neurons"]
    print(f"NEST {meta['nest']}: {nest[0].size} spikes; Brian2 {b2.__version__}, step k at t_k:")
    equal = {}
    for extra in (dt, 0.0):
        steps, neurons, v = run_brian2(
            arrays, meta["params"]["exp"], dt=dt, num_steps=num_steps, extra_refractory=extra
        )
        equal[extra] = np.array_equal(steps, nest[0]) and np.array_equal(neurons, nest[1])
        error = np.abs(v[: len(arrays["v"])] - arrays["v"]).max()
        print(
            f"refractory = t_ref + {extra} ms: {steps.size} spikes, equal to NEST's:"
            f" {equal[extra]}; |dv| <= {error:.1e} mV over the first {len(arrays['v']) * dt:g} ms"
        )
    if not equal[dt]:
        sys.exit("Brian2 with refractory = t_ref + dt differs from NEST")
    if equal[0.0]:
        sys.exit("the comparison sees no difference with refractory = t_ref: it cannot fail")


if __name__ == "__main__":
    main()
