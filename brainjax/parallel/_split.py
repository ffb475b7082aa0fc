"""A network, its state and inputs as the parts that the devices of a mesh axis hold, and back.

Neurons are split by index into equal blocks. A device holds its neurons and all synapses that end
on them, so each sum into a receptor is made on one device, in the order of the whole network: the
split changes no bit. Parts are stacked along a leading axis.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..core import explain
from ..network import BuiltNetwork, BuiltProjection, NetworkState, Population, ports_of, stored
from ..ops import History, ProceduralRows, Ring, Rows, pointers


def check_divisible(built: BuiltNetwork, num_shards: int) -> None:
    """Raise `ValueError` unless every population splits into `num_shards` equal blocks."""
    for name in built.names:
        size = built.populations[name].size
        if size % num_shards:
            raise ValueError(
                explain(
                    f"parallel.rollout: Population '{name}'",
                    got=f"{size} neurons",
                    expected=f"a multiple of {num_shards}, the devices of the mesh",
                    mend=f"Use {max(size // num_shards, 1) * num_shards} neurons.",
                )
            )


def stacked(parts: list[Any]) -> Any:
    """PyTrees of one structure as one, with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)


def block_of(x: Any, size: int, k: int, num_shards: int, axis: int = 0) -> Any:
    """Block `k` of an array whose axis has one entry per neuron; any other array as it is."""
    if jnp.ndim(x) <= axis or jnp.shape(x)[axis] != size:
        return x
    length = size // num_shards
    return jax.lax.slice_in_dim(x, k * length, (k + 1) * length, axis=axis)


def _blocks(tree: Any, size: int, k: int, num_shards: int) -> Any:
    return jax.tree.map(lambda x: block_of(x, size, k, num_shards), tree)


class _Part(NamedTuple):
    """The synapses of a projection that one device holds, not padded yet."""

    rows: tuple[np.ndarray, ...]
    synapses: np.ndarray  # where they stand among all of the projection
    longest_row: int
    longest_group: int


def _part_of(p: BuiltProjection, size: int, offset: int, k: int, num_shards: int) -> _Part:
    """The synapses of `p` whose target is in block `k`, ending in accumulators from `offset` on."""
    assert isinstance(p.rows, Rows), "split_network lays all formats out as rows"
    source_ptr, group_delay = np.asarray(p.rows.source_ptr), np.asarray(p.rows.group_delay)
    group_ptr, target = pointers(p.rows.group_ptr), np.asarray(p.rows.target)
    length = size // num_shards
    post = target.astype(np.int32) + p.rows.origin - p.offset
    mine = np.flatnonzero(post // length == k)
    group = np.repeat(np.arange(len(group_delay)), np.diff(group_ptr))
    source = np.repeat(np.arange(len(source_ptr) - 1), np.diff(source_ptr))
    kept, first = np.unique(group[mine], return_index=True)
    group_ptr = np.append(first, len(mine))
    source_ptr = np.searchsorted(source[kept], np.arange(len(source_ptr)))
    return _Part(
        (source_ptr, group_delay[kept], group_ptr, post[mine] - k * length + offset),
        mine,
        int(np.diff(group_ptr[source_ptr]).max(initial=0)),
        int(np.diff(group_ptr).max(initial=0)),
    )


def _padded(parts: list[np.ndarray]) -> list[jax.Array]:
    """Arrays of one length. Nothing reads the padding: pointers end before it."""
    longest = max(map(len, parts))
    fill = [np.concatenate([p, np.zeros(longest - len(p), p.dtype)]) for p in parts]
    return [jnp.asarray(f, jnp.int32) for f in fill]


def _split_projection(
    p: BuiltProjection, size: int, offset: int, num_shards: int
) -> list[BuiltProjection]:
    if isinstance(p.rows, ProceduralRows):  # each device makes what ends on it
        count = size // num_shards
        where = [(jnp.int32(offset), jnp.int32(k * count)) for k in range(num_shards)]
        return [
            dataclasses.replace(
                p,
                rows=dataclasses.replace(p.rows, origin=origin, first=first, count=count),
                offset=offset,
            )
            for origin, first in where
        ]
    if p.delay is not None:
        raise NotImplementedError(
            explain(
                "parallel.rollout: a projection's delay",
                got="a TrainableDelay",
                expected="delays that are fixed: several devices do not train them yet",
                mend="Use brainjax.rollout on one device.",
            )
        )
    p = stored(p)
    assert isinstance(p.rows, Rows)
    parts = [_part_of(p, size, offset, k, num_shards) for k in range(num_shards)]
    longest_row = max(part.longest_row for part in parts)
    longest_group = max(part.longest_group for part in parts)
    # Groups that a shard lacks are empty ones at its end, so that pointers stay ascending.
    source_ptr, group_delay, group_ptr, target = (
        [part.rows[i] for part in parts] for i in range(4)
    )
    longest = max(map(len, group_ptr))
    group_ptr = [np.append(a, np.full(longest - len(a), a[-1])) for a in group_ptr]
    padded = [_padded(arrays) for arrays in (source_ptr, group_delay, group_ptr, target)]
    chosen = _padded([part.synapses for part in parts])
    return [
        BuiltProjection(
            rows=Rows(
                source_ptr=padded[0][k],
                group_delay=padded[1][k],
                group_ptr=padded[2][k],
                target=padded[3][k],
                longest_row=longest_row,
                longest_group=longest_group,
                sorted_targets=p.rows.sorted_targets,
            ),
            weight=p.weight[chosen[k]] if p.weight.ndim else p.weight,
            source=p.source,
            target=p.target,
            offset=offset,
            longest_delay=p.longest_delay,
        )
        for k in range(num_shards)
    ]


def split_network(built: BuiltNetwork, num_shards: int, axis: str) -> BuiltNetwork:
    """The parts of a network, stacked; their arrays are differentiable in those of the whole."""
    sizes = {n: p.size for n, p in built.populations.items()}
    projections = {}
    populations: list[dict[str, Population]] = []
    for k in range(num_shards):
        populations.append(
            {
                n: Population(
                    p.size // num_shards,
                    _blocks(p.neuron, p.size, k, num_shards),
                    _blocks(dict(p.receptors), p.size, k, num_shards),
                )
                for n, p in built.populations.items()
            }
        )
    ports = ports_of(populations[0], built.names)
    for name, p in built.projections.items():
        population, _, receptor = p.target.partition(".")
        projections[name] = _split_projection(
            p, sizes[population], ports[population, receptor], num_shards
        )

    def part(k: int) -> BuiltNetwork:
        return BuiltNetwork(
            populations=populations[k],
            projections={n: parts[k] for n, parts in projections.items()},
            stimuli=tuple(
                _blocks(s, sizes[s.target.partition(".")[0]], k, num_shards) if s.elementwise else s
                for s in built.stimuli
            ),
            dt_leaf=built.dt_leaf,
            dt=built.dt,
            names=built.names,
            projection_names=built.projection_names,
            impl=built.impl,
            axis=axis,
            num_shards=num_shards,
        )

    return stacked([part(k) for k in range(num_shards)])


def _columns(built: BuiltNetwork, num_shards: int) -> np.ndarray:
    """Which accumulators of the whole each part holds, `(num_shards, accumulators of a part)`."""
    pieces = []
    for (name, _), begin in built.ports.items():
        size = built.populations[name].size
        pieces.append((begin + np.arange(size)).reshape(num_shards, size // num_shards))
    return np.concatenate(pieces, axis=1) if pieces else np.zeros((num_shards, 0), np.int64)


def split_state(built: BuiltNetwork, state: NetworkState, num_shards: int) -> NetworkState:
    """The parts of a state whose pending spikes are a ring, stacked."""
    if isinstance(state.pending, History):
        raise TypeError(
            explain(
                "parallel.rollout: state",
                got="pending spikes as a history",
                expected="a ring",
                mend="Start from built.init_state(key=...), or a state that rollout returned.",
            )
        )
    slots, columns = state.pending.slots, _columns(built, num_shards)

    def part(k: int) -> NetworkState:
        populations = {
            n: _blocks(s, built.populations[n].size, k, num_shards)
            for n, s in state.populations.items()
        }
        return state._replace(populations=populations, pending=Ring(slots[:, columns[k]]))

    return stacked([part(k) for k in range(num_shards)])


def join_state(built: BuiltNetwork, parts: NetworkState, num_shards: int) -> NetworkState:
    """The whole state from its stacked parts."""
    assert isinstance(parts.pending, Ring), "split_state refuses a history"
    joined = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), parts.populations)
    order = np.argsort(_columns(built, num_shards).ravel())
    slots = jnp.moveaxis(parts.pending.slots, 0, 1)
    slots = slots.reshape(slots.shape[0], -1)[:, order]
    return NetworkState(
        steps=parts.steps[0],
        words=parts.words[0],
        populations=joined,
        spikes=jax.tree.map(lambda x: x[0], parts.spikes),
        pending=Ring(slots),
    )


def split_inputs(
    built: BuiltNetwork, inputs: Mapping[str, jax.Array], num_shards: int
) -> dict[str, jax.Array]:
    """Inputs of shape `(num_steps,)` or `(num_steps, size)` by part, stacked."""

    def part(k: int) -> dict[str, jax.Array]:
        return {
            target: block_of(
                x, built.populations[target.partition(".")[0]].size, k, num_shards, axis=1
            )
            for target, x in inputs.items()
        }

    return stacked([part(k) for k in range(num_shards)])
