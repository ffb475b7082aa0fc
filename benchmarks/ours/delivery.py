"""Delivery alone: the spikes of a step through fixed out-degree synapses, in a compiled loop."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from ours import timing

import brainjax as bj
from brainjax.ops import deliver as deliver_op

PERIOD = 64  # steps after which the same neurons spike again


def raster(size: int, spikes: int) -> np.ndarray:
    """Who spikes: `spikes` neurons in each of `PERIOD` steps."""
    random = np.random.default_rng(0)
    held = np.zeros((PERIOD, size), bool)
    for row in held:
        row[random.choice(size, spikes, replace=False)] = True
    return held


def deliver(size: int, out_degree: int, spikes: int, steps: int, form: str):
    """`brainjax.ops.deliver`, pending spikes kept as a `"history"` or a `"ring"`."""
    cells = bj.Population(size, bj.LIF(), {"in": bj.ExponentialCurrent()})
    rule, weight = bj.FixedOutDegree(out_degree), bj.Normal(1.0, 0.1)
    network = bj.Network({"n": cells}, [bj.Projection("n", "n.in", rule, weight, 0.1)])
    built, build_s = timing.build(network)
    pending = built.init_state(key=jax.random.key(0), history=form == "history").pending
    emitted = jnp.asarray(raster(size, spikes), jnp.float32)

    @jax.jit
    def loop(built, emitted, pending):
        projections = [built.projections[n] for n in built.projection_names]
        rows, weights = zip(*((p.rows, p.flat_weight) for p in projections), strict=True)
        slack = built.backward().slack

        def step(i, carry):
            pending, _ = carry
            pending, due, _ = deliver_op(
                pending,
                (emitted[i % PERIOD],),
                rows,
                weights,
                slack,
                index=i,
                layout=built.layout,
                tables=built.tables,
                impl=built.impl,
            )
            return pending, due

        return lax.fori_loop(0, steps, step, (pending, jnp.zeros(size, jnp.float32)))[1]

    def work():
        return loop(built, emitted, pending)

    facts = {"build_s": build_s, "compile_s": timing.first(work)}
    return facts | timing.versions(), lambda: {"seconds": timing.seconds(work)[0]}
