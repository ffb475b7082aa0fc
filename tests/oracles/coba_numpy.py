"""A conductance-based excitatory/inhibitory network (COBA) in plain NumPy, float64.

Written without BrainJAX, from the equations alone: an outside oracle for whole spike trains.
LIF neurons with two exponential conductances, indexed globally: ``0 .. num_exc - 1`` are
excitatory (their synapses reach ``ampa``), the rest inhibitory (``gaba``).

    c_m dv/dt = g_l (e_l - v) + sum_r g_r (e_rev_r - v) + i_e,      dg_r/dt = -g_r / tau_syn_r

Step k runs from t_k = k dt to t_k + dt:

1. membranes that are not refractory advance from the state at t_k, with each conductance
   replaced by its mean over the step, g tau (1 - exp(-dt/tau)) / dt;
2. conductances decay by exp(-dt/tau);
3. arrivals due at t_k + dt are added (felt from step k + 1 on); a spike of step j over a delay
   of d >= 1 steps is due here in step j + d;
4. where v >= v_th (and the neuron is not refractory): a spike, stamped t_k + dt and reported as
   k; v = v_reset, held for exactly t_ref / dt following steps while conductances run on.

Run as a script, it prints the rates of networks with Bernoulli connections (p = 0.02, 6 and 67 nS,
a delay of one step) between 200 and 1200 ms. The mean of one seed is 21.1 +- 1.5 spikes/s (sd over
seeds; 18.4 to 24.9).
"""

import argparse
import time
from typing import Literal, NamedTuple

import numpy as np


class CobaParams(NamedTuple):
    """Parameters of all neurons and their receptors."""

    c_m: float = 200.0  # pF
    tau_m: float = 20.0  # ms
    e_l: float = -60.0  # mV
    v_th: float = -50.0  # mV
    v_reset: float = -60.0  # mV
    t_ref: float = 5.0  # ms
    i_e: float = 200.0  # pA
    tau_ampa: float = 5.0  # ms
    e_ampa: float = 0.0  # mV
    tau_gaba: float = 10.0  # ms
    e_gaba: float = -80.0  # mV


def simulate_coba(
    *,
    pre: np.ndarray,
    post: np.ndarray,
    weight: np.ndarray,
    delay_steps: np.ndarray,
    num_exc: int,
    v0: np.ndarray,
    num_steps: int,
    dt: float = 0.1,
    params: CobaParams | None = None,
    conductance: Literal["mean", "start"] = "mean",
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate the network from conductances of zero and nobody refractory.

    **Arguments:**

    - `pre`, `post`: global indices of each synapse's source and target, `(num_synapses,)` ints.
    - `weight`: nS, not negative, `(num_synapses,)` or a scalar.
    - `delay_steps`: delay in steps, at least 1, `(num_synapses,)` or a scalar.
    - `num_exc`: sources below this index reach ampa, the others gaba.
    - `v0`: initial voltages in mV, `(num_neurons,)`.
    - `num_steps`, `dt`: number of steps and their length in ms.
    - `params`: neuron and receptor parameters.
    - `conductance`: `"mean"` over the step (second order), or `"start"`: its value at t_k.

    **Returns:** `(steps, neurons)`, int64 arrays of one entry per spike, sorted by step, then
    neuron. The spike of step k is stamped (k + 1) dt.
    """
    p = CobaParams() if params is None else params
    v = np.array(v0, np.float64)
    num_neurons = v.size
    ref_steps = round(p.t_ref / dt)

    tau_syn = np.array([p.tau_ampa, p.tau_gaba])[:, None]
    e_rev = np.array([p.e_ampa, p.e_gaba])[:, None]
    decay = np.exp(-dt / tau_syn)
    if conductance == "mean":
        over_step = tau_syn / dt * (1.0 - decay)
    elif conductance == "start":
        over_step = np.ones_like(tau_syn)
    else:
        raise ValueError(f"conductance must be 'mean' or 'start', got {conductance!r}")
    g_l = p.c_m / p.tau_m

    # Rows by source: the synapses of source s are row[s] .. row[s + 1].
    pre = np.asarray(pre, np.int64)
    order = np.argsort(pre, kind="stable")
    row = np.searchsorted(pre[order], np.arange(num_neurons + 1))
    weight = np.broadcast_to(np.asarray(weight, np.float64), pre.shape)[order]
    delay_steps = np.broadcast_to(np.asarray(delay_steps, np.int64), pre.shape)[order]
    if delay_steps.size and delay_steps.min() < 1:
        raise ValueError("every delay must be at least one step")
    receptor = (pre[order] >= num_exc).astype(np.int64)
    target = receptor * num_neurons + np.asarray(post, np.int64)[order]

    # pending[j % len] holds what step j adds in phase (3): a flat (receptor, neuron) vector.
    num_slots = int(delay_steps.max(initial=1)) + 1
    pending = np.zeros((num_slots, 2 * num_neurons))
    g = np.zeros((2, num_neurons))
    hold = np.zeros(num_neurons, np.int64)  # steps still to be held
    spikes = []
    for k in range(num_steps):
        # (1) membranes
        free = hold == 0
        g_step = g * over_step
        g_tot = g_l + g_step.sum(axis=0)
        v_inf = (g_l * p.e_l + (g_step * e_rev).sum(axis=0) + p.i_e) / g_tot
        v = np.where(free, v_inf + (v - v_inf) * np.exp(-dt * g_tot / p.c_m), v)
        hold[~free] -= 1
        # (2) conductances
        g *= decay
        # (3) arrivals
        due = pending[k % num_slots]
        g += due.reshape(2, num_neurons)
        due[:] = 0.0
        # (4) spikes
        fired = np.flatnonzero(free & (v >= p.v_th))
        v[fired] = p.v_reset
        hold[fired] = ref_steps
        spikes.append(fired)
        if fired.size:
            synapse = np.concatenate([np.arange(row[s], row[s + 1]) for s in fired])
            slot = (k + delay_steps[synapse]) % num_slots
            np.add.at(pending, (slot, target[synapse]), weight[synapse])

    steps = np.repeat(np.arange(num_steps), [fired.size for fired in spikes])
    return steps, np.concatenate(spikes) if spikes else np.zeros(0, np.int64)


def draw_network(
    seed: int,
    *,
    num_exc: int = 3200,
    num_inh: int = 800,
    probability: float = 0.02,
    w_exc: float = 6.0,
    w_inh: float = 67.0,
    max_delay_steps: int = 1,
) -> dict:
    """Draw Bernoulli connections (autapses allowed) and v0 uniform in -60 .. -50 mV.

    Delays are uniform in 1 .. `max_delay_steps`. Returns the arguments `pre`, `post`, `weight`,
    `delay_steps`, `num_exc` and `v0` of `simulate_coba`.
    """
    rng = np.random.default_rng(seed)
    num_neurons = num_exc + num_inh
    pre, post = np.nonzero(rng.random((num_neurons, num_neurons)) < probability)
    return {
        "pre": pre,
        "post": post,
        "weight": np.where(pre < num_exc, w_exc, w_inh),
        "delay_steps": rng.integers(1, max_delay_steps + 1, pre.size),
        "num_exc": num_exc,
        "v0": rng.uniform(-60.0, -50.0, num_neurons),
    }


def check_summation_order() -> None:
    """Spikes stay equal when the synapses, here of random weights, come in another order."""
    net = draw_network(0, num_exc=320, num_inh=80, probability=0.2, max_delay_steps=8)
    rng = np.random.default_rng(1)
    net["weight"] = net["weight"] * rng.uniform(0.5, 1.5, net["pre"].size)
    first = simulate_coba(**net, num_steps=3000)
    shuffle = rng.permutation(net["pre"].size)
    for name in ("pre", "post", "weight", "delay_steps"):
        net[name] = net[name][shuffle]
    second = simulate_coba(**net, num_steps=3000)
    equal = all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    print(f"summation order: {first[0].size} spikes, equal after a shuffle of synapses: {equal}")
    if not equal:
        raise SystemExit("spikes depend on the order of summation")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--conductance", choices=["mean", "start"], default="mean")
    args = parser.parse_args()
    check_summation_order()
    dt, start, stop = 0.1, 200.0, 1200.0
    rates = []
    for seed in range(args.seeds):
        net = draw_network(seed)
        begin = time.perf_counter()
        steps, neurons = simulate_coba(
            **net, num_steps=round(stop / dt), dt=dt, conductance=args.conductance
        )
        seconds = time.perf_counter() - begin
        counted = (steps + 1) * dt > start
        rates.append(counted.sum() / net["v0"].size / ((stop - start) * 1e-3))
        exc = (counted & (neurons < net["num_exc"])).sum() / net["num_exc"]
        print(
            f"seed {seed}: {rates[-1]:.2f} spikes/s (exc {exc:.2f}), {seconds:.1f} s of wall time"
        )
    print(f"{args.conductance}: {np.mean(rates):.2f} +- {np.std(rates):.2f} spikes/s")


if __name__ == "__main__":
    main()
