"""The COBA network in BrainPy: event-driven products, synapses aligned with their targets.

Exponential Euler on the conductance at the start of a step; a delay of one step.
"""

import time

import brainpy as bp
import brainpy.math as bm
import jax


class Coba(bp.DynSysGroup):
    """The network; conductances in units of the leak, 10 nS."""

    def __init__(self, size: int):
        super().__init__()
        self.num_exc, num_inh = size * 4 // 5, size - size * 4 // 5
        self.cells = bp.dyn.LifRef(
            size,
            V_rest=-60.0,
            V_th=-50.0,
            V_reset=-60.0,
            tau=20.0,
            tau_ref=5.0,
            V_initializer=bp.init.Uniform(-60.0, -50.0),
        )
        self.delay = bp.VarDelay(self.cells.spike, entries={"last": None})
        self.exc = self.projection(size, self.num_exc, 0.6, 5.0, 0.0)
        self.inh = self.projection(size, num_inh, 6.7, 10.0, -80.0)

    def projection(self, size: int, sources: int, weight: float, tau: float, e_rev: float):
        """Synapses from `sources` neurons to all."""
        rule = bp.conn.FixedProb(80 / size, pre=sources, post=size)
        return bp.dyn.HalfProjAlignPost(
            comm=bp.dnn.EventCSRLinear(rule, weight),
            syn=bp.dyn.Expon(size=size, tau=tau),
            out=bp.dyn.COBA(E=e_rev),
            post=self.cells,
        )

    def update(self, drive):
        """One step; the number of spikes."""
        spikes = self.delay.at("last")
        self.exc(spikes[: self.num_exc])
        self.inh(spikes[self.num_exc :])
        self.delay(self.cells(drive))
        return self.cells.spike.sum()


def simulate(size: int, ms: float):
    """Each round goes on where the last ended, spikes counted; a first run compiles."""
    bm.set_platform("cpu")
    bm.set_dt(0.1)
    start = time.perf_counter()
    model = Coba(size)
    build_s, num_steps = time.perf_counter() - start, round(ms / 0.1)

    @bm.jit
    def steps(first):
        return bm.for_loop(
            lambda i: model.step_run(i + first, 20.0), bm.arange(num_steps), jit=True
        )

    done = 0

    def run():
        nonlocal done
        start = time.perf_counter()
        spikes = steps(done * num_steps)
        spikes = jax.block_until_ready(getattr(spikes, "value", spikes))
        taken, done = time.perf_counter() - start, done + 1
        rate = float(spikes.sum()) / size / (ms / 1000)
        return {"seconds": taken, "rates": {"network": rate}}

    whole = run()["seconds"]
    facts = {"version": f"BrainPy {bp.__version__}", "build_s": build_s}
    return facts | {"compile_s": whole - run()["seconds"]}, run
