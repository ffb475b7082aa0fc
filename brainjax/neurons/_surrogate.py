"""Surrogate derivatives: what stands in for the derivative of a spike.

Where a surrogate is zero a spike passes no gradient, and a backward pass does not read the synapses
behind it. `Triangle` is zero but near threshold. `SuperSpike` and `ArcTan` are zero nowhere: with
them every neuron, silent or not, passes a gradient, and a backward pass costs all synapses.
"""

import abc
import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core import check_parameters, parameter
from ..core._parameters import Parameter
from ..ops import heaviside


class Surrogate(eqx.Module):
    """The derivative that stands in for that of the Heaviside function."""

    def __check_init__(self):
        check_parameters(self)

    @abc.abstractmethod
    def derivative(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The surrogate derivative at distance `x` from threshold (mV), in 1/mV.

        Where it is exactly 0, its own derivatives are taken to be so, too.
        """

    def spike(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """1 where `x >= 0` (mV), else 0; its derivative is `derivative(x)`."""
        return heaviside(x, self.derivative(x))


class SuperSpike(Surrogate):
    """The derivative of a fast sigmoid: 1 / (1 + beta |x|)^2.

    The gain of a loop through spikes grows with the time a membrane spends near threshold, counted
    in steps and in units of 1 / beta. The default is steep, so that gradients stay bounded in
    recurrent networks at 0.1 ms; a feed-forward network may learn faster with a smaller beta.

    Source: Zenke and Ganguli (2018), SuperSpike: supervised learning in multilayer spiking neural
    networks. doi:10.1162/neco_a_01086
    """

    beta: Parameter = parameter(20.0, unit="1", doc="steepness, in 1/mV", domain="positive")

    def derivative(self, x):
        return 1 / jnp.square(1 + self.beta * jnp.abs(x))


class ArcTan(Surrogate):
    """The derivative of an arc tangent: (alpha / 2) / (1 + (pi alpha x / 2)^2).

    Source: Fang et al. (2021), Incorporating learnable membrane time constant to enhance learning
    of spiking neural networks. doi:10.1109/ICCV48922.2021.00266
    """

    alpha: Parameter = parameter(2.0, unit="1", doc="steepness, in 1/mV", domain="positive")

    def derivative(self, x):
        return self.alpha / 2 / (1 + jnp.square(math.pi / 2 * self.alpha * x))


class Triangle(Surrogate):
    """A triangle: max(0, 1 - |x| / width), zero farther from threshold.

    Its support is bounded: gradients cost the synapses of the neurons that are near threshold, and
    no others. The default has the height and the area of the default `SuperSpike`. What is too
    narrow tells neurons that never come near threshold nothing about how to begin.

    Source: Bellec et al. (2018), Long short-term memory and learning-to-learn in networks of
    spiking neurons. doi:10.48550/arXiv.1803.09574
    """

    width: Parameter = parameter(
        0.1, unit="mV", doc="distance from threshold at which it is zero", domain="positive"
    )

    def derivative(self, x):
        return jnp.maximum(1 - jnp.abs(x) / self.width, 0)


class NoSurrogate(Surrogate):
    """The true derivative, zero: no gradient passes through a spike."""

    def derivative(self, x):
        return jnp.zeros_like(x)
