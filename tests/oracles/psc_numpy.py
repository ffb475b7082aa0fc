"""Current-based LIF networks in plain NumPy, float64, in the order of a NEST step.

Written without BrainJAX and without NEST: an independent replication of `iaf_psc_exp`,
`iaf_psc_alpha` and `iaf_psc_delta`. Between events a neuron is linear,

    c_m dv/dt = -c_m/tau_m (v - e_l) + i_e + sum_r I_r
    exp:   dI_r/dt = -I_r/tau_r                                  arrival: I_r += w
    alpha: dI_r/dt = D_r - I_r/tau_r,  dD_r/dt = -D_r/tau_r      arrival: D_r += w e/tau_r
    delta: no currents                                           arrival: v += w (mV)

so one matrix exponential over dt, here from its Taylor series, is the exact propagator for every
choice of time constants, tau_r == tau_m included. Receptor r is "ex" for w >= 0 and "in" for w < 0.

Step k runs from t_k = k dt to t_k + dt:

1. membranes that are not refractory advance from the state at t_k by the joint propagator;
2. currents advance (in refractory neurons too);
3. arrivals due at t_k + dt are added: to a current, felt by v from step k + 1 on; for delta to v
   at once, discarded while refractory. A spike of step j over d >= 1 steps is due in step j + d;
4. where v >= v_th (and not refractory): a spike, stamped t_k + dt and reported as k; v = v_reset,
   held for exactly t_ref / dt following steps.
"""

from typing import Literal, NamedTuple

import numpy as np


class PscParams(NamedTuple):
    """Parameters of all neurons; the names are NEST's in lower case."""

    c_m: float  # pF
    tau_m: float  # ms
    e_l: float  # mV
    v_th: float  # mV
    v_reset: float  # mV
    t_ref: float  # ms
    i_e: float  # pA
    tau_syn_ex: float = 2.0  # ms, unused by delta
    tau_syn_in: float = 2.0  # ms, unused by delta


class PscResult(NamedTuple):
    """What a run leaves."""

    steps: np.ndarray  # (num_spikes,), the step of each spike, stamped (step + 1) dt
    neurons: np.ndarray  # (num_spikes,), sorted within a step
    v: np.ndarray  # mV, (num_steps, num_recorded): row k is v at (k + 1) dt, after any reset
    margin: float  # mV, the smallest |v - v_th| any comparison met: how near a spike was to a tie


def propagator(matrix: np.ndarray, dt: float) -> np.ndarray:
    """e^(matrix dt) by its Taylor series; made for norms of matrix dt of order one or less."""
    term = out = np.eye(len(matrix))
    for k in range(1, 40):
        term = term @ matrix * (dt / k)
        out = out + term
    return out


def simulate_psc(
    kind: Literal["exp", "alpha", "delta"],
    params: PscParams,
    *,
    v0: np.ndarray,
    num_steps: int,
    dt: float = 0.1,
    pre: np.ndarray = (),
    post: np.ndarray = (),
    weight: np.ndarray = (),
    delay_steps: np.ndarray = (),
    arrivals: tuple[np.ndarray, np.ndarray, np.ndarray] = ((), (), ()),
    record: np.ndarray = (),
) -> PscResult:
    """Simulate a network from currents of zero and nobody refractory.

    **Arguments:**

    - `kind`, `params`: the synapse's time course, and the neurons' parameters.
    - `v0`: initial voltages in mV, `(num_neurons,)`.
    - `num_steps`, `dt`: number of steps and their length in ms.
    - `pre`, `post`, `weight`, `delay_steps`: one entry per synapse. Weights in pA (mV for delta);
      for alpha a weight is the current's peak. Delays in steps, at least 1.
    - `arrivals`: `(step, neuron, weight)` of external events, added in phase (3) of that step.
    - `record`: neurons whose v is returned.
    """
    p = params
    v = np.array(v0, np.float64) - p.e_l
    num_neurons = v.size
    theta, reset, ref_steps = p.v_th - p.e_l, p.v_reset - p.e_l, round(p.t_ref / dt)

    # State of a neuron: (D_ex, I_ex, D_in, I_in, v, 1); exp leaves D at zero.
    matrix = np.zeros((6, 6))
    for r, tau in enumerate((p.tau_syn_ex, p.tau_syn_in)):
        matrix[2 * r, 2 * r] = matrix[2 * r + 1, 2 * r + 1] = -1.0 / tau
        matrix[2 * r + 1, 2 * r] = 1.0
        matrix[4, 2 * r + 1] = 1.0 / p.c_m
    matrix[4, 4] = -1.0 / p.tau_m
    matrix[4, 5] = p.i_e / p.c_m
    step_matrix = propagator(matrix, dt)
    synaptic, to_v, leak, drive = (
        step_matrix[:4, :4],
        step_matrix[4, :4],
        step_matrix[4, 4],
        step_matrix[4, 5],
    )
    gain = {
        "exp": np.array([1.0, 1.0]),
        "alpha": np.e / np.array([p.tau_syn_ex, p.tau_syn_in]),
        "delta": np.array([1.0, 1.0]),
    }[kind]
    entry = 0 if kind == "alpha" else 1

    pre, post = np.asarray(pre, np.int64), np.asarray(post, np.int64)
    weight, delay_steps = np.asarray(weight, np.float64), np.asarray(delay_steps, np.int64)
    if delay_steps.size and delay_steps.min() < 1:
        raise ValueError("every delay must be at least one step")
    rows = [np.flatnonzero(pre == source) for source in range(num_neurons)]
    # due[j] is what phase (3) of step j adds, by receptor.
    due = np.zeros((num_steps + int(delay_steps.max(initial=0)) + 1, 2, num_neurons))
    in_step, in_neuron, in_weight = (np.asarray(a) for a in arrivals)
    if in_step.size:
        np.add.at(due, (in_step, (in_weight < 0).astype(int), in_neuron), in_weight)

    y = np.zeros((4, num_neurons))
    hold = np.zeros(num_neurons, np.int64)
    record = np.asarray(record, np.int64)
    trace = np.zeros((num_steps, record.size))
    spikes, margin = [], np.inf
    for k in range(num_steps):
        free = hold == 0
        # (1) membranes
        v = np.where(free, leak * v + drive + to_v @ y, v)
        hold[~free] -= 1
        # (2) currents
        y = synaptic @ y
        # (3) arrivals
        if kind == "delta":
            v = np.where(free, v + due[k].sum(axis=0), v)
        else:
            y[entry] += gain[0] * due[k, 0]
            y[entry + 2] += gain[1] * due[k, 1]
        # (4) spikes
        margin = min(margin, np.abs(v[free] - theta).min(initial=np.inf))
        fired = np.flatnonzero(free & (v >= theta))
        v[fired] = reset
        hold[fired] = ref_steps
        spikes.append(fired)
        for source in fired:
            s = rows[source]
            np.add.at(due, (k + delay_steps[s], (weight[s] < 0).astype(int), post[s]), weight[s])
        trace[k] = v[record] + p.e_l

    steps = np.repeat(np.arange(num_steps), [fired.size for fired in spikes])
    return PscResult(steps, np.concatenate(spikes), trace, float(margin))
