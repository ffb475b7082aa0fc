"""Delivery by brainevent: a vector of spikes times a sparse matrix, `BinaryArray @ CSR`."""

import time

import brainevent
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

PERIOD = 64  # steps after which the same neurons spike again


def deliver(size: int, out_degree: int, spikes: int, steps: int):
    """The same number of synapses and of spikes as the library is given, in a compiled loop."""
    random = np.random.default_rng(0)
    targets = random.integers(size, size=size * out_degree)
    pointers = np.arange(size + 1) * out_degree
    weights = random.normal(1.0, 0.1, targets.size)
    # It wants to see the structure when it compiles; weights are an argument.
    structure = tuple(jnp.asarray(a, jnp.int32) for a in (targets, pointers))
    weights = jnp.asarray(weights, jnp.float32)
    raster = np.zeros((PERIOD, size), bool)
    for row in raster:
        row[random.choice(size, spikes, replace=False)] = True

    @jax.jit
    def loop(weights, raster):
        def step(i, due):
            # Made anew: a CSR closed over keeps what one trace left in it.
            csr = brainevent.CSR((weights, *structure), shape=(size, size))
            return due + brainevent.BinaryArray(raster[i % PERIOD]) @ csr

        return lax.fori_loop(0, steps, step, jnp.zeros(size, jnp.float32))

    def run():
        start = time.perf_counter()
        jax.block_until_ready(loop(weights, jnp.asarray(raster)))
        return {"seconds": time.perf_counter() - start}

    first = run()["seconds"]
    facts = {"version": f"brainevent {brainevent.__version__}"}
    return facts | {"compile_s": first - run()["seconds"]}, run
