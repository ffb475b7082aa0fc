"""The COBA network in Brian2's C++ standalone mode; runs in an interpreter that has Brian2.

Float32, exponential Euler, one thread, Brian2's own compiler flags. As a delay of one step here is
a delay of dt there, and Brian2 counts refractoriness from a stamp one step earlier, `delay` is dt
and `refractory` t_ref + dt. Spikes are counted, not recorded.

A server: it compiles, prints a line of JSON, and then, for each line on standard input, simulates
anew with a new seed and prints another.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings

import brian2 as b2

EQUATIONS = """
dv/dt = (g_e*(0*mV-v) + g_i*(-80*mV-v) - (v+60*mV) + 20*mV) / (20*ms) : volt (unless refractory)
dg_e/dt = -g_e / (5*ms) : 1
dg_i/dt = -g_i / (10*ms) : 1
"""


def describe(size: int, in_degree: int, duration: float):
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
    exc.connect(p=in_degree / size)
    inh.connect(p=in_degree / size)
    counter = b2.SpikeMonitor(neurons, record=False)
    b2.Network(neurons, exc, inh, counter).run(duration * b2.ms)
    return counter


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", type=int)
    parser.add_argument("ms", type=float)
    parser.add_argument("--in-degree", type=int, default=80)
    args = parser.parse_args()
    b2.prefs.core.default_float_dtype = b2.float32
    # It checks whether values exceed 1e50, which no float32 can hold.
    warnings.filterwarnings("ignore", "overflow encountered in cast")
    b2.prefs.devices.cpp_standalone.openmp_threads = 0
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        b2.set_device("cpp_standalone", directory=directory, build_on_run=False)
        counter = describe(args.size, args.in_degree, args.ms)
        b2.device.build(directory=directory, compile=True, run=False, with_output=False)
        built = time.perf_counter() - start
        print(json.dumps({"version": b2.__version__, "compile_s": built}), flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            b2.device.run(with_output=False)
            whole = time.perf_counter() - start
            # What Brian2 times itself is the loop over steps alone.
            wall = b2.device._last_run_time
            rate = float(counter.num_spikes) / args.size / (args.ms / 1000)
            line = {"wall_s": wall, "build_s": whole - wall, "rate": rate}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
