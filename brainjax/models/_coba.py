"""The conductance-based network of Vogels and Abbott."""

from .. import connect
from ..network import Network, Population, Projection
from ..neurons import LIF
from ..synapses import ExponentialConductance


def coba(*, size: int = 4000, in_degree: int = 80, i_e: float = 200.0) -> Network:
    """The network of sparsely connected integrate-and-fire neurons with conductances (COBA).

    Four fifths of the neurons are excitatory. Any pair is connected with a probability that gives
    each neuron `in_degree` synapses on average. Weights are 6 nS (excitatory) and 67 nS; delays are
    0.1 ms.

    It deviates from the benchmark of Brette et al. in one thing: a constant current (200 pA) drives
    every neuron, so that activity needs no kick to start and does not die. `i_e=0.0` is the
    benchmark, which is silent without a kick.

    **Arguments:**

    - `size`: neurons, at least 5.
    - `in_degree`: mean synapses per neuron.
    - `i_e`: constant current, pA.

    **Returns:**

    A network of the populations `"exc"` and `"inh"`, for steps of 0.1 ms or a divisor of it.

    Source: Vogels and Abbott (2005), doi:10.1523/JNEUROSCI.3508-05.2005; Brette et al. (2007),
    doi:10.1007/s10827-007-0038-6, benchmark 1.
    """
    neuron = LIF(c_m=200.0, tau_m=20.0, e_l=-60.0, v_th=-50.0, v_reset=-60.0, t_ref=5.0, i_e=i_e)
    receptors = {
        "ampa": ExponentialConductance(tau_syn=5.0, e_rev=0.0),
        "gaba": ExponentialConductance(tau_syn=10.0, e_rev=-80.0),
    }
    start = {"v": connect.Uniform(-60.0, -50.0)}
    num_exc = size * 4 // 5
    rule = connect.FixedProbability(in_degree / size)
    return Network(
        {
            "exc": Population(num_exc, neuron, receptors, start),
            "inh": Population(size - num_exc, neuron, receptors, start),
        },
        [
            Projection(source, f"{target}.{receptor}", rule, weight, delay=0.1)
            for source, receptor, weight in (("exc", "ampa", 6.0), ("inh", "gaba", 67.0))
            for target in ("exc", "inh")
        ],
    )
