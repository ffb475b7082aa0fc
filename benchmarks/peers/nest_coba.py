"""The COBA network in NEST, whose neuron has an adaptive integrator: accurate, and slow."""

import time

import nest


def simulate(size: int, ms: float, threads: int):
    """Each round goes on where the last ended; NEST counts spikes itself."""
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.ResetKernel()
    nest.set(resolution=0.1, local_num_threads=threads, rng_seed=1)
    start = time.perf_counter()
    neuron = {"V_th": -50.0, "V_reset": -60.0, "E_L": -60.0, "t_ref": 5.0, "g_L": 10.0}
    neuron |= {"C_m": 200.0, "I_e": 200.0, "tau_syn_ex": 5.0, "tau_syn_in": 10.0}
    cells = nest.Create("iaf_cond_exp", size, params=neuron | {"E_ex": 0.0, "E_in": -80.0})
    cells.V_m = nest.random.uniform(-60.0, -50.0)
    num_exc = size * 4 // 5
    rule = {"rule": "pairwise_bernoulli", "p": 80 / size}
    nest.Connect(cells[:num_exc], cells, rule, {"weight": 6.0, "delay": 0.1})
    nest.Connect(cells[num_exc:], cells, rule, {"weight": -67.0, "delay": 0.1})
    nest.Simulate(0.1)  # NEST sorts its synapses in the first step
    facts = {"version": f"NEST {nest.__version__}", "build_s": time.perf_counter() - start}

    def run():
        start = time.perf_counter()
        nest.Simulate(ms)
        taken = time.perf_counter() - start
        rate = nest.local_spike_counter / size / (ms / 1000)  # since `Simulate` began
        return {"seconds": taken, "rates": {"network": rate}}

    return facts, run
