"""Tables of groups: made on the host, once, from the rows of a network."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from ..core import host_empty
from ._check_rows import are_concrete, check_groups
from ._check_types import check_connections, check_number, refuse
from ._connections import Connections, projections_from
from ._deliver import GroupTable

# A table holds a number for each delay between the least and the longest, whether a source has it
# or not. Where that is more than this many numbers for each group, groups are searched instead.
_MOST_PER_GROUP = 4


def table_size(num_sources: int, least: int, longest: int, num_projections: int) -> int:
    """How many numbers the table of a population has.

    **Arguments:**

    - `num_sources`: neurons of the population.
    - `least`, `longest`: of its delays, steps.
    - `num_projections`: that begin in it.
    """
    return num_sources * (longest - least + 2) * num_projections


def is_worth_a_table(size: int, num_groups: float) -> bool:
    """Whether a table is made for a population.

    **Arguments:**

    - `size`: of the table, as of `table_size`.
    - `num_groups`: how many groups the population has.
    """
    return size <= _MOST_PER_GROUP * num_groups


def group_tables(rows: Sequence[Connections], sources: Sequence[int]) -> tuple[GroupTable, ...]:
    """The tables of all source populations, one that holds nothing where it would be large.

    **Arguments:**

    - `rows`: per projection; concrete.
    - `sources`: per projection, the position of its source among the populations.

    **Raises:**

    `TypeError` for tracers, `ValueError` for rows whose offsets or delays are in disorder.
    """
    check_number("group_tables: sources", tuple(sources), len(rows), "projection")
    if not are_concrete(rows):
        mend = "Call it outside of jit, vmap and grad, once for a network."
        refuse("group_tables: rows", "traced arrays", "arrays that can be read", mend, TypeError)
    for j, row in enumerate(rows):
        what = f"group_tables: rows[{j}]"
        check_connections(what, row)
        check_groups(what, row)
        size = rows[projections_from(sources[j], sources)[0]].num_sources
        if row.num_sources != size:
            refuse(what, f"{row.num_sources} sources", f"{size}, as of population {sources[j]}")
    number = max(sources, default=-1) + 1
    return tuple(_table([rows[j] for j in projections_from(p, sources)]) for p in range(number))


def _table(rows: Sequence[Connections]) -> GroupTable:
    """The table of a population, from its projections in order."""
    groups = [r.groups() for r in rows]
    num_groups = sum(delay.size for _, delay, _ in groups)
    least = min((int(d.min()) for _, d, _ in groups if d.size), default=1)
    longest = max((int(d.max()) for _, d, _ in groups if d.size), default=0)
    num_sources = rows[0].num_sources if rows else 0
    size = table_size(num_sources, least, longest, len(rows))
    narrow = all(synapses.sum() < 2**31 for _, _, synapses in groups)
    if not num_groups or not narrow or not is_worth_a_table(size, num_groups):
        return GroupTable(jnp.zeros((0, 0, 0), jnp.int32), jnp.zeros((), jnp.int32))
    begin = host_empty((num_sources, longest - least + 2, len(rows)), np.int32)
    for j, (source, delay, number) in enumerate(groups):
        # What lies between the groups of a source are groups without synapses.
        synapses = np.zeros(begin.shape[:2], np.int32)
        synapses[source, delay - least] = number
        stop = np.cumsum(synapses, dtype=np.int32).reshape(synapses.shape)
        begin[:, :, j] = stop - synapses
    return GroupTable(jnp.asarray(begin), jnp.asarray(least, jnp.int32))
