"""What a built network holds, as a table."""

from typing import Any

import jax

from ._network import table


def summarise(built: Any) -> str:
    """A table of populations, projections, synapses and memory of a `BuiltNetwork`, as text."""
    rows = [("population", "size", "neuron", "receptors", "state / MB")]
    shapes = jax.eval_shape(lambda: built.init_state(key=jax.random.key(0)))
    for name in built.names:
        population = built.populations[name]
        receptors = ", ".join(f"{n}: {type(r).__name__}" for n, r in population.receptors.items())
        rows.append(
            (
                name,
                str(population.size),
                type(population.neuron).__name__,
                receptors or "-",
                _megabytes(shapes.populations[name]),
            )
        )
    text = table(rows)
    rows = [("projection", "synapses", "delay / ms", "weight", "memory / MB")]
    for name in built.projection_names:
        p = built.projections[name]
        delays = p.rows.groups()[1]
        ends = (delays.min() * built.dt, delays.max() * built.dt) if delays.size else ()
        span = " to ".join(f"{ms:g}" for ms in ends) or "-"
        unit = built.populations[p.target.partition(".")[0]]
        unit = unit.receptors[p.target.partition(".")[2]].weight_unit
        kind = ("one", "per synapse")[p.weight.ndim] if p.weight.ndim < 2 else "kernel"
        rows.append(
            (name, str(p.num_synapses), span, f"{kind}, {unit}", _megabytes((p.rows, p.weight)))
        )
    total = sum(p.num_synapses for p in built.projections.values())
    tail = f"{total} synapses, {_megabytes(built)} MB; dt = {built.dt:g} ms; ops: {built.impl}"
    return f"{text}\n\n{table(rows)}\n\n{tail}"


def _megabytes(tree: Any) -> str:
    return f"{num_bytes(tree) / 1e6:.3g}"


def num_bytes(tree: Any) -> int:
    """The size of the arrays of a tree."""
    leaves = [x for x in jax.tree.leaves(tree) if hasattr(x, "dtype")]
    return sum(x.size * x.dtype.itemsize for x in leaves)
