"""Steps of populations without connections: the neurons' own code, and Poisson input."""

import jax
import jax.numpy as jnp
from jax import lax
from ours import timing

import brainjax as bj


def lif(size: int, steps: int, impl: str = "auto"):
    """Leaky integrate-and-fire neurons with two conductances; nothing recorded."""
    neuron = bj.LIF(c_m=200.0, tau_m=20.0, e_l=-60.0, v_th=-50.0, v_reset=-60.0, i_e=250.0)
    receptors = {
        "ampa": bj.ExponentialConductance(tau_syn=5.0, e_rev=0.0),
        "gaba": bj.ExponentialConductance(tau_syn=10.0, e_rev=-80.0),
    }
    cells = bj.Population(size, neuron, receptors, initial={"v": bj.Uniform(-60.0, -50.0)})
    built, build_s = timing.build(bj.Network({"cells": cells}), impl=impl)
    work = stepping(built, steps)
    facts = {"build_s": build_s, "compile_s": timing.first(work)}
    return facts | timing.versions(), lambda: {"seconds": timing.seconds(work)[0]}


def poisson(size: int, rate: float, steps: int):
    """What a Poisson input of `rate` Hz a neuron adds to a step: with it less without it."""
    cells = {"cells": bj.Population(size, bj.LIF(), {"in": bj.ExponentialCurrent(tau_syn=0.5)})}
    stimuli = [bj.PoissonInput("cells.in", rate, 0.1)]
    with_input, build_s = timing.build(bj.Network(cells, stimuli=stimuli))
    driven, quiet = stepping(with_input, steps), stepping(timing.build(bj.Network(cells))[0], steps)
    facts = {"build_s": build_s, "compile_s": timing.first(driven)}
    timing.first(quiet)

    def run():
        whole, without = timing.seconds(driven)[0], timing.seconds(quiet)[0]
        return {"seconds": whole - without, "whole": whole, "without": without}

    return facts | timing.versions(), run


def xla_poisson(size: int, rate: float, steps: int, repeat: int):
    """`jax.random.poisson` in a loop, one key a step; times `repeat` is what is reported."""
    mean = rate * 0.1 / 1000

    @jax.jit
    def loop(key):
        def step(i, total):
            return total + jax.random.poisson(jax.random.fold_in(key, i), mean, (size,))

        return lax.fori_loop(0, steps, step, jnp.zeros(size, jnp.int32))

    def work():
        return loop(jax.random.key(0))

    facts = {"compile_s": timing.first(work)}
    return facts, lambda: {"seconds": repeat * timing.seconds(work)[0]}


def stepping(built, steps: int):
    """A call that takes `steps` steps from one state."""
    state = built.init_state(key=jax.random.key(1), history=built.impl != "jax")
    return lambda: bj.simulate(built, steps * built.dt, state=state).state
