"""`parallel.rollout`: one network whose neurons are split over the devices of a mesh."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from ..core import explain
from ..network import BuiltNetwork, NetworkState
from ..simulate import Recorder, check_rollout, roll
from ._split import check_divisible, join_state, split_inputs, split_network, split_state


def rollout(
    built: BuiltNetwork,
    state: NetworkState,
    inputs: Mapping[str, Any] | None = None,
    num_steps: int | None = None,
    *,
    mesh: Mesh,
    record: Mapping[str, Recorder] | None = None,
    checkpoint: bool = True,
) -> tuple[NetworkState, dict[str, Any]]:
    """`brainjax.rollout` over the devices of a mesh: the same spikes and states, to the bit.

    Each device holds an equal block of every population and the synapses that end on it, and steps
    them; spikes are gathered once a step.

    **Arguments:**

    - `built`, `state`, `inputs`, `num_steps`, `record`, `checkpoint`: as of `brainjax.rollout`. The
      structure of `built` must be concrete; weights and parameters may be traced. Sizes of
      populations must be multiples of the number of devices.
    - `mesh`: with one axis, from `jax.make_mesh`, of automatic or explicit kind.

    **Returns:**

    `(state, records)` of the whole network.

    **Raises:**

    `ValueError` or `TypeError` for a mesh of more axes, sizes that do not divide, and whatever
    `brainjax.rollout` refuses.

    !!! example

        ```python
        mesh = jax.make_mesh((2,), ("neurons",))
        state, records = bj.parallel.rollout(built, state, num_steps=1000, mesh=mesh)
        ```
    """
    if len(mesh.axis_names) != 1:
        raise ValueError(
            explain("parallel.rollout: mesh", got=mesh.axis_names, expected="a mesh with one axis")
        )
    (axis,) = mesh.axis_names
    num_shards = mesh.shape[axis]
    check_divisible(built, num_shards)
    num_steps, inputs, recorders = check_rollout(built, state, inputs, num_steps, record)

    def of_one_device(parts, state, inputs):
        parts, state, inputs = jax.tree.map(lambda x: x[0], (parts, state, inputs))
        out = roll(parts, state, inputs, num_steps, recorders, checkpoint)
        return jax.tree.map(lambda x: jnp.asarray(x)[None], out)

    arrays, static = eqx.partition(split_network(built, num_shards, axis), eqx.is_array)
    run = jax.shard_map(
        lambda arrays, *rest: of_one_device(eqx.combine(arrays, static), *rest),
        mesh=Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,)),
        in_specs=P(axis),
        out_specs=P(axis),
    )
    parts, records = jax.jit(run)(
        arrays, split_state(built, state, num_shards), split_inputs(built, inputs, num_shards)
    )
    # Every device recorded the whole network.
    return join_state(built, parts, num_shards), jax.tree.map(lambda x: x[0], records)
