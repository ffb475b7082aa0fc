"""The COBA network in Brian2's C++ standalone mode; runs in an interpreter that has Brian2.

Float32, exponential Euler, Brian2's own compiler flags, OpenMP for more than one thread. As a delay
of one step here is a delay of dt there, and Brian2 counts refractoriness from a stamp one step
earlier, `delay` is dt and `refractory` t_ref + dt. Spikes are counted, not recorded. Its
conductance is the one at the start of a step, a cheaper and less accurate scheme than the
library's.
"""

import atexit
import tempfile
import time
import warnings

import brian2 as b2

EQUATIONS = """
dv/dt = (g_e*(0*mV-v) + g_i*(-80*mV-v) - (v+60*mV) + 20*mV) / (20*ms) : volt (unless refractory)
dg_e/dt = -g_e / (5*ms) : 1
dg_i/dt = -g_i / (10*ms) : 1
"""


def simulate(size: int, ms: float, threads: int):
    """Each round builds and runs anew, with a new seed; Brian2 times the loop over steps."""
    b2.prefs.core.default_float_dtype = b2.float32
    # It checks whether values exceed 1e50, which no float32 can hold.
    warnings.filterwarnings("ignore", "overflow encountered in cast")
    b2.prefs.devices.cpp_standalone.openmp_threads = threads if threads > 1 else 0
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    start = time.perf_counter()
    b2.set_device("cpp_standalone", directory=directory.name, build_on_run=False)
    counter = describe(size, ms * b2.ms)
    b2.device.build(directory=directory.name, compile=True, run=False, with_output=False)
    facts = {"version": f"Brian2 {b2.__version__}", "compile_s": time.perf_counter() - start}

    def run():
        start = time.perf_counter()
        b2.device.run(with_output=False)
        taken = b2.device._last_run_time
        rate = float(counter.num_spikes) / size / (ms / 1000)
        build_s = time.perf_counter() - start - taken
        return {"seconds": taken, "build_s": build_s, "rates": {"network": rate}}

    return facts, run


def describe(size: int, duration):
    """The network; conductances in units of the leak, 10 nS."""
    b2.defaultclock.dt = 0.1 * b2.ms
    neurons = b2.NeuronGroup(
        size,
        EQUATIONS,
        threshold="v >= -50*mV",
        reset="v = -60*mV",
        refractory=5.1 * b2.ms,
        method="exponential_euler",
    )
    neurons.v = "-60*mV + rand()*10*mV"
    num_exc = size * 4 // 5
    exc = b2.Synapses(neurons[:num_exc], neurons, on_pre="g_e_post += 0.6", delay=0.1 * b2.ms)
    inh = b2.Synapses(neurons[num_exc:], neurons, on_pre="g_i_post += 6.7", delay=0.1 * b2.ms)
    exc.connect(p=80 / size)
    inh.connect(p=80 / size)
    counter = b2.SpikeMonitor(neurons, record=False)
    b2.Network(neurons, exc, inh, counter).run(duration)
    return counter
