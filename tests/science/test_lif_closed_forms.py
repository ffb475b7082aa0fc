"""The leaky integrate-and-fire neuron against its closed forms, step by step."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import closed_forms
from science.runs import DRIVERS, run, trace, whole_steps
from scipy.integrate import solve_ivp

import brainjax as bj

DT = 0.1
NEVER = 1e6  # mV, a threshold that is not reached


def build(populations, dt=DT, projections=(), stimuli=()):
    network = bj.Network(populations, projections, stimuli)
    return bj.build(network, dt=dt, key=jax.random.key(0))


def precision(dtype):
    return jax.enable_x64(dtype == "float64")


def pulse(num_steps, size, step, amount):
    """Arrivals of `amount` at every neuron in one step."""
    arrivals = np.zeros((num_steps, size))
    arrivals[step] = amount
    return arrivals


# ---- firing under a constant current ------------------------------------------------------------


def firing_cases():
    """Parameters of neurons that all fire regularly, none near a tie with the grid."""
    currents = (395.3, 432.1, 700.0, 5000.0)
    resets = (-70.0, -75.5, -58.0)
    cases = []
    for i_e, tau_m, t_ref, v_reset in itertools.product(
        currents, (9.7, 23.0), (0.0, 0.1, 2.0), resets
    ):
        common = {"i_e": i_e, "c_m": 250.0, "tau_m": tau_m, "e_l": -70.0, "v_th": -55.0}
        case = {**common, "v_reset": v_reset, "t_ref": t_ref}
        near = [closed_forms.is_tie(**common, dt=DT, v_start=v, tie=1e-3) for v in (v_reset, -63.0)]
        v_inf = -70.0 + i_e * tau_m / 250.0
        if v_inf > -54.5 and not any(near):
            cases.append(case)
    return cases


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_spikes_of_a_constant_current(dtype, driver):
    cases = firing_cases()
    assert len(cases) > 30
    assert {c["t_ref"] for c in cases} == {0.0, 0.1, 2.0}
    num_steps = 1500
    with precision(dtype):
        neuron = bj.LIF(**{k: np.array([c[k] for c in cases]) for k in cases[0]})
        built = build({"cell": bj.Population(len(cases), neuron, {}, {"v": -63.0})})
        trains = run(
            built,
            num_steps,
            driver=driver,
            record={"cell": bj.Spikes("cell", capacity=len(cases) * num_steps)},
        )["cell"]
    steps, neurons = whole_steps(trains, DT)
    for i, case in enumerate(cases):
        expected = closed_forms.spike_steps(**case, num_steps=num_steps, dt=DT, v0=-63.0)
        assert expected.size > 5
        np.testing.assert_array_equal(steps[neurons == i], expected, err_msg=str(case))
        interval = closed_forms.interspike_interval(**case, dt=DT)
        threshold = closed_forms.time_to_threshold(
            case["i_e"],
            **{k: case[k] for k in ("c_m", "tau_m", "e_l", "v_th")},
            v_start=case["v_reset"],
        )
        assert math.isclose(interval, math.ceil(threshold / DT) * DT + case["t_ref"])
        np.testing.assert_allclose(np.diff(trains.time[neurons == i]), interval, rtol=1e-9)


def test_a_rheobase_that_is_not_reached_gives_no_spike(x64):
    # v_inf is 1e-3 mV below threshold, and 1e-3 mV above in the control.
    rheobase = 15.0 * 250.0 / 10.0
    neuron = bj.LIF(i_e=rheobase + np.array([-0.025, 0.025]))
    built = build({"cell": bj.Population(2, neuron)})
    trains = run(built, 4000, record={"s": bj.Spikes("cell")})["s"]
    assert set(trains.neuron.tolist()) == {1}


def test_heterogeneous_parameters_equal_separate_runs(x64):
    values = {
        "c_m": [250.0, 180.0, 90.0],
        "tau_m": [10.0, 23.0, 7.0],
        "e_l": [-70.0, -65.0, -60.0],
        "v_th": [-55.0, -50.0, -52.0],
        "v_reset": [-72.0, -65.0, -58.0],
        "t_ref": [2.0, 0.0, 0.5],
        "i_e": [430.0, 190.0, 150.0],
    }
    tau_syn = [2.0, 5.0, 0.7]
    v0 = [-63.0, -60.0, -59.0]

    def population(size, pick):
        return bj.Population(
            size,
            bj.LIF(**{k: pick(v) for k, v in values.items()}),
            {"syn": bj.ExponentialCurrent(pick(tau_syn))},
            {"v": pick(v0)},
        )

    num_steps = 600
    rng = np.random.default_rng(0)
    arrivals = rng.poisson(0.05, (num_steps, 3)) * 80.0
    together = build({"all": population(3, np.array)})
    apart = build({f"n{i}": population(1, lambda v, i=i: v[i]) for i in range(3)})
    whole = run(
        together,
        num_steps,
        inputs={"all.syn": arrivals},
        record={"v": bj.Trace("all", "v"), "s": bj.Spikes("all")},
    )
    names = [f"n{i}" for i in range(3)]
    parts = run(
        apart,
        num_steps,
        inputs={f"{n}.syn": arrivals[:, [i]] for i, n in enumerate(names)},
        record={
            f"{n}{f}": r for n in names for f, r in (("v", bj.Trace(n, "v")), ("s", bj.Spikes(n)))
        },
    )
    for i, name in enumerate(names):
        spikes = whole["s"].time[whole["s"].neuron == i]
        assert spikes.size >= 3
        np.testing.assert_array_equal(spikes, parts[f"{name}s"].time)
        np.testing.assert_allclose(
            trace(whole["v"])[:, i], trace(parts[f"{name}v"])[:, 0], atol=1e-11, rtol=0
        )


def test_a_neuron_that_starts_above_threshold(x64):
    # It spikes in step 0 if it is still above threshold at the end of it, as in NEST.
    inside = -55.0 + 15.0 * math.expm1(DT / 10.0)  # decays to threshold exactly in one step
    v0 = np.array([-40.0, inside + 1e-6, inside - 1e-6])
    built = build({"cell": bj.Population(3, bj.LIF(), {}, {"v": v0})})
    records = run(built, 40, record={"s": bj.Spikes("cell"), "v": bj.Trace("cell", "v")})
    steps, neurons = whole_steps(records["s"], DT)
    assert list(zip(steps, neurons, strict=True)) == [(0, 0), (0, 1)]
    v = trace(records["v"])
    np.testing.assert_array_equal(v[:, :2], -70.0)
    assert v[0, 2] < -55.0


# ---- subthreshold: linear responses -------------------------------------------------------------

TAU_M = 10.0
TAU_SYN = np.array(
    [0.5, 2.0, 10 * (1 - 1e-3), 10 * (1 - 1e-9), 10.0, 10 * (1 + 1e-9), 10 * (1 + 1e-3), 35.0]
)
PSP = {
    "exp": (closed_forms.psp_exponential, closed_forms.psp_exponential_peak, bj.ExponentialCurrent),
    "alpha": (closed_forms.psp_alpha, closed_forms.psp_alpha_peak, bj.AlphaCurrent),
}
START, PSP_STEPS = 7, 800


def psp_bound(dtype):
    """The largest error allowed, relative to the height of the response."""
    return 1e-10 if dtype == "float64" else 1e-5


def psp_weights(shape):
    """pA that give PSPs of 5 mV."""
    peak = PSP[shape][1]
    heights = [peak(weight=1.0, tau_syn=tau, c_m=250.0, tau_m=TAU_M)[1] for tau in TAU_SYN]
    return 5.0 / np.array(heights)


@pytest.fixture(scope="module", params=["float32", "float64"])
def psps(request):
    """v and i after one arrival at tau_syn of all kinds: per shape and sign of the weight."""
    size = len(TAU_SYN)
    neuron = {"c_m": 250.0, "tau_m": TAU_M, "v_th": NEVER}
    with precision(request.param):
        populations = {
            shape: bj.Population(size, bj.LIF(**neuron), {"syn": kind(TAU_SYN)})
            for shape, (_, _, kind) in PSP.items()
        }
        populations["dc"] = bj.Population(
            3, bj.LIF(**neuron, i_e=[300.0, -80.0, 0.0]), {}, {"v": -64.0}
        )
        built = build(populations)
        inputs = {
            f"{shape}.syn": pulse(PSP_STEPS, size, START, psp_weights(shape) * sign)
            for shape, sign in (("exp", 1.0), ("alpha", -1.0))
        }
        inputs["dc"] = np.where(np.arange(PSP_STEPS) < START, 0.0, 120.0)
        record = {n: bj.Trace(n, "v") for n in populations}
        record |= {f"{n}.i": bj.Trace(n, "syn.i") for n in PSP}
        records = run(built, PSP_STEPS, inputs=inputs, record=record)
    return request.param, {n: trace(r) for n, r in records.items()}


@pytest.mark.parametrize("shape", PSP)
def test_psp_in_every_step(psps, shape):
    dtype, traces = psps
    psp, peak, _ = PSP[shape]
    sign = {"exp": 1.0, "alpha": -1.0}[shape]
    # Arrives at the end of step START, so row k is (k - START) dt later.
    times = (np.arange(PSP_STEPS) - START) * DT
    got = traces[shape] + 70.0
    for j, (tau, weight) in enumerate(zip(TAU_SYN, psp_weights(shape), strict=True)):
        kw = {"weight": sign * weight, "tau_syn": tau, "c_m": 250.0, "tau_m": TAU_M}
        expected = psp(times, **kw)
        assert np.all(got[: START + 1, j] == 0)
        assert abs(got[START + 1, j]) > 0
        bound = psp_bound(dtype) * 5.0
        np.testing.assert_allclose(got[:, j], expected, atol=bound, rtol=0, err_msg=f"{tau=}")

        at, height = peak(**kw)
        assert math.isclose(abs(height), 5.0)
        largest = int(np.argmax(np.abs(got[:, j])))
        assert abs(times[largest] - at) <= DT
        # Between grid points a parabola of curvature about height / (tau_m tau_syn).
        room = 5.0 * DT**2 / (2 * TAU_M * tau) + bound
        assert abs(got[largest, j]) <= 5.0 + bound
        assert abs(got[largest, j]) >= 5.0 - room


@pytest.mark.parametrize("shape", PSP)
def test_current_in_every_step(psps, shape):
    dtype, traces = psps
    sign = {"exp": 1.0, "alpha": -1.0}[shape]
    times = np.maximum(np.arange(PSP_STEPS) - START, 0)[:, None] * DT
    weight = sign * psp_weights(shape)
    if shape == "exp":
        expected = weight * np.exp(-times / TAU_SYN)
    else:  # its peak is the weight, at tau_syn
        expected = weight * times / TAU_SYN * np.exp(1 - times / TAU_SYN)
    expected[:START] = 0
    error = np.abs(traces[f"{shape}.i"] - expected).max(axis=0) / np.abs(weight)
    assert np.all(error < psp_bound(dtype)), error


def test_dc_response_in_every_step(psps):
    dtype, traces = psps
    kw = {"c_m": 250.0, "tau_m": TAU_M, "e_l": -70.0}
    times = np.arange(1, PSP_STEPS + 1) * DT
    for j, i_e in enumerate([300.0, -80.0, 0.0]):
        first = closed_forms.dc_response(times, current=i_e, v0=-64.0, **kw)
        then = closed_forms.dc_response(
            times[: PSP_STEPS - START], current=i_e + 120.0, v0=first[START - 1], **kw
        )
        expected = np.concatenate([first[:START], then])
        bound = {"float32": 1e-5, "float64": 1e-10}[dtype] * np.ptp(expected)
        np.testing.assert_allclose(traces["dc"][:, j], expected, atol=bound, rtol=0)


# ---- jumps and refractoriness -------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
def test_delta_jumps_and_is_discarded_while_refractory(x64, driver):
    # t_ref = 5 steps. A jump over threshold in step 3: held in steps 4 to 8, free in step 9.
    neuron = bj.LIF(t_ref=0.5, v_reset=-68.0, tau_m=TAU_M)
    arrivals = np.zeros((40, 4))
    arrivals[3, :3] = 20.0
    arrivals[8, 1] = 6.0  # in the last held step: lost
    arrivals[9, 2] = 6.0  # in the first free one: kept
    arrivals[20, 3] = -2.5
    built = build({"cell": bj.Population(4, neuron, {"delta": bj.Delta()})})
    records = run(
        built,
        40,
        driver=driver,
        inputs={"cell.delta": arrivals},
        record={
            "v": bj.Trace("cell", "v"),
            "s": bj.Spikes("cell"),
            "left": bj.Trace("cell", "refractory"),
        },
    )
    steps, neurons = whole_steps(records["s"], DT)
    assert list(zip(steps, neurons, strict=True)) == [(3, 0), (3, 1), (3, 2)]
    v = trace(records["v"])
    np.testing.assert_array_equal(v[3:9, :3], -68.0)
    np.testing.assert_array_equal(trace(records["left"])[2:10, 0], [0, 5, 4, 3, 2, 1, 0, 0])
    free = -70.0 + 2.0 * np.exp(-np.arange(1, 32) * DT / TAU_M)
    np.testing.assert_allclose(v[9:, 0], free, atol=1e-12)
    np.testing.assert_array_equal(v[:, 1], v[:, 0])
    jumped = free + 6.0 * np.exp(-np.arange(31) * DT / TAU_M)
    np.testing.assert_allclose(v[9:, 2], jumped, atol=1e-12)
    small = -70.0 - 2.5 * np.exp(-np.arange(20) * DT / TAU_M)
    np.testing.assert_allclose(v[20:, 3], small, atol=1e-12)
    np.testing.assert_array_equal(v[:20, 3], -70.0)


def test_refractory_neurons_are_held_while_receptors_run_on(x64):
    # A spike in step 0, held for 2 ms in steps 1 to 20. Currents arrive before and meanwhile.
    num_steps, held, tau_syn, tau_g = 120, 20, 3.0, 4.0
    receptors = {"syn": bj.ExponentialCurrent(tau_syn)}
    built = build(
        {
            "cell": bj.Population(1, bj.LIF(v_reset=-72.0), receptors, {"v": -40.0}),
            "cond": bj.Population(
                1, bj.LIF(), {"syn": bj.ExponentialConductance(tau_g)}, {"v": -40.0}
            ),
        }
    )
    arrivals = pulse(num_steps, 1, 0, 90.0) + pulse(num_steps, 1, 11, 60.0)
    records = run(
        built,
        num_steps,
        inputs={"cell.syn": arrivals, "cond.syn": arrivals / 10},
        record={
            "v": bj.Trace("cell", "v"),
            "i": bj.Trace("cell", "syn.i"),
            "w": bj.Trace("cond", "v"),
            "g": bj.Trace("cond", "syn.g"),
            "s": bj.Spikes("cell"),
        },
    )
    assert whole_steps(records["s"], DT)[0].tolist() == [0]
    v, i, w, g = (trace(records[n])[:, 0] for n in "viwg")
    k = np.arange(num_steps)

    def decaying(tau):
        second = np.where(k >= 11, 60.0 * np.exp(-(k - 11) * DT / tau), 0.0)
        return 90.0 * np.exp(-k * DT / tau) + second

    np.testing.assert_allclose(i, decaying(tau_syn), rtol=1e-12)
    np.testing.assert_allclose(g, decaying(tau_g) / 10, rtol=1e-12)
    np.testing.assert_array_equal(v[: held + 1], -72.0)
    np.testing.assert_array_equal(w[: held + 1], -70.0)
    # From then on, the free membrane from v_reset under the current as it is by now.
    times = np.arange(num_steps - held) * DT
    psp = closed_forms.psp_exponential(
        times, weight=i[held], tau_syn=tau_syn, c_m=250.0, tau_m=TAU_M
    )
    expected = -70.0 - 2.0 * np.exp(-times / TAU_M) + psp
    np.testing.assert_allclose(v[held:], expected, atol=1e-11)
    assert w[held + 1] > -70.0


# ---- conductances -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constant_conductances_are_exact(dtype):
    g, e_rev, forever = (3.0, 11.0), (0.0, -80.0), 1e30
    with precision(dtype):
        receptors = {
            "ampa": bj.ExponentialConductance(forever, e_rev[0]),
            "gaba": bj.ExponentialConductance(forever, e_rev[1], over_step="start"),
        }
        initial = {"v": -61.0, "ampa.g": g[0], "gaba.g": g[1]}
        neuron = bj.LIF(c_m=200.0, tau_m=20.0, e_l=-60.0, i_e=120.0, v_th=NEVER)
        built = build({"cell": bj.Population(1, neuron, receptors, initial)})
        v = trace(run(built, 500, record={"v": bj.Trace("cell", "v")})["v"])[:, 0]
    expected = closed_forms.conductance_response(
        np.arange(1, 501) * DT,
        g_syn=g,
        e_rev=e_rev,
        current=120.0,
        c_m=200.0,
        tau_m=20.0,
        e_l=-60.0,
        v0=-61.0,
    )
    bound = {"float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(v, expected, atol=bound * np.ptp(expected) * 2, rtol=0)


CONDUCTANCES = {
    "exponential": (bj.ExponentialConductance, 4.0, {"g": 30.0}),
    "alpha": (bj.AlphaConductance, 1.5, {"g": 5.0, "dg": 30.0}),
}
ORDER_DTS = (0.8, 0.4, 0.2, 0.1, 0.05)


def conductance_reference(shape, times):
    """v by an integrator of order 8, at tolerances far below the errors to be measured."""
    _, tau, start = CONDUCTANCES[shape]
    g0, dg0 = start["g"], start.get("dg", 0.0)

    def slope(t, v):
        g = (g0 + dg0 * t) * np.exp(-t / tau)
        return (-250.0 / 12.0 * (v + 70.0) + g * (0.0 - v) + 100.0) / 250.0

    span = (0.0, float(times[-1]))
    solution = solve_ivp(slope, span, [-66.0], "DOP853", times, rtol=1e-12, atol=1e-12)
    return solution.y[0]


@pytest.fixture(scope="module")
def order_errors():
    """The largest error of v over 16 ms, for every dt, shape and `over_step`."""
    errors = {}
    with jax.enable_x64(True):
        populations = {}
        for shape, (kind, tau, start) in CONDUCTANCES.items():
            for over_step in ("mean", "start"):
                initial = {"v": -66.0, **{f"syn.{k}": x for k, x in start.items()}}
                populations[f"{shape}_{over_step}"] = bj.Population(
                    1,
                    bj.LIF(tau_m=12.0, t_ref=0.0, i_e=100.0, v_th=NEVER),
                    {"syn": kind(tau, 0.0, over_step=over_step)},
                    initial,
                )
        for dt in ORDER_DTS:
            built = build(populations, dt)
            num_steps = round(16.0 / dt)
            record = {n: bj.Trace(n, "v") for n in populations}
            records = run(built, num_steps, record=record)
            times = np.arange(1, num_steps + 1) * dt
            for name, r in records.items():
                expected = conductance_reference(name.partition("_")[0], times)
                every = round(ORDER_DTS[0] / dt)
                error = np.abs(trace(r)[:, 0] - expected)[every - 1 :: every]
                errors.setdefault(name, []).append(error.max())
    return errors


@pytest.mark.parametrize(("over_step", "order"), [("mean", 2), ("start", 1)])
@pytest.mark.parametrize("shape", CONDUCTANCES)
def test_order_of_convergence(order_errors, shape, over_step, order):
    errors = order_errors[f"{shape}_{over_step}"]
    slope = np.polyfit(np.log(ORDER_DTS), np.log(errors), 1)[0]
    assert abs(slope - order) < 0.12, (slope, errors)
    last = math.log2(errors[-2] / errors[-1])  # the two finest alone
    assert abs(last - order) < 0.05, (last, errors)


def test_a_conductance_and_a_current_together_are_second_order(x64):
    # The mean of a current is no exact propagator beside a conductance: second order as well.
    def slope(t, v):
        g, i = 20.0 * np.exp(-t / 4.0), 300.0 * np.exp(-t / 2.0)
        return (-25.0 * (v + 70.0) + g * (0.0 - v) + i) / 250.0

    dts, errors = (0.4, 0.1), []
    for dt in dts:
        receptors = {"ampa": bj.ExponentialConductance(4.0), "syn": bj.ExponentialCurrent(2.0)}
        initial = {"v": -66.0, "ampa.g": 20.0, "syn.i": 300.0}
        built = build({"cell": bj.Population(1, bj.LIF(v_th=NEVER), receptors, initial)}, dt)
        v = trace(run(built, round(8.0 / dt), record={"v": bj.Trace("cell", "v")})["v"])[:, 0]
        exact = solve_ivp(slope, (0, 8), [-66.0], "DOP853", [8.0], rtol=1e-12, atol=1e-12).y[0, 0]
        errors.append(abs(v[-1] - exact))
    order = math.log(errors[0] / errors[1]) / math.log(4)
    assert abs(order - 2) < 0.1, errors
    assert jnp.asarray(0.0).dtype == jnp.float64
