"""What the delivery ops hand to their CUDA handlers (`csrc/cuda`), beside their operands.

A handler may be recorded in a CUDA graph, so it allocates nothing: it is given scratch memory as
one more result. Where operands lie it tells its kernels in their arguments, for which there is not
room without end; a network of more projections than that runs in plain JAX.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ._connections import attributes_of, num_populations
from ._primitive import like

# As in csrc/cuda/call.h.
_MOST_OPERANDS = 1000
_MOST_NUMBERS = 640
_MOST_PROJECTIONS = 160
_MOST_POPULATIONS = 48
_MOST_BATCH_AXES = 8
_DESCRIBED = 640  # bytes, as in csrc/cuda/network.h


def _fits(layout, num_operands: int, numbers: np.ndarray, batch: int) -> bool:
    return (
        num_operands <= _MOST_OPERANDS
        and numbers.size <= _MOST_NUMBERS
        and len(layout.sources) <= _MOST_PROJECTIONS
        and num_populations(layout.sources) <= _MOST_POPULATIONS
        and batch <= _MOST_BATCH_AXES
        and layout.num_slots * layout.num_targets < 2**31
    )


def _scratch_bytes(layout, sizes, keeps: bool) -> int:
    """Enough for an example: for its description, who spiked, and what sources give, if kept."""
    described = 1 + num_populations(layout.sources) + len(layout.sources)
    listed = sum(size + size // 32 + 2 for size in sizes)
    kept = sum(sizes[p] for p in layout.sources) if keeps else 0
    return _DESCRIBED * described + 4 * listed + 8 * kept + 64


def _reach(layout) -> np.ndarray:
    """Per projection the first accumulator it may end in, and the one behind the last."""
    ends = np.cumsum(layout.sizes, dtype=np.int64)
    reach = [(ends[port] - layout.sizes[port], ends[port]) for port in layout.ports]
    return np.asarray(reach, np.int64).reshape(-1)


def on_gpu(target: str, fixed: Callable, aliases: Callable, sizes: Callable) -> Callable:
    """The lowering of a delivery op to a CUDA handler, for `lower_on_gpu`.

    **Arguments:**

    - `target`: the handler.
    - `fixed`: maps the parameters of a call to attributes of the handler beside the usual ones.
    - `aliases`: maps the types of the operands and the parameters to `{operand: result}`.
    - `sizes`: maps the same to the sizes of the source populations.
    """

    def native(avals_in, avals_out, **params) -> Callable | None:
        layout, batch = params["layout"], params["batch"]
        numbers = attributes_of(layout.formats)
        if not _fits(layout, len(avals_in) + len(avals_out) + 1, numbers, batch):
            return None
        examples = math.prod(avals_out[0].shape[:batch])
        # A transpose keeps what each source gives to a weight that synapses share.
        keeps = bool("sizes" in params and params["with_weights"])
        size = examples * _scratch_bytes(layout, sizes(avals_in, **params), keeps)
        memory = like(avals_out[0], (size,), np.dtype(np.uint8))
        results = [jax.ShapeDtypeStruct.like(aval) for aval in [*avals_out, memory]]
        inside = aliases(avals_in, **params)
        call = jax.ffi.ffi_call(target, results, input_output_aliases=inside)
        attributes: dict[str, Any] = {
            "batch": np.int64(batch),
            "sources": np.asarray(layout.sources, np.int64),
            "formats": numbers,
            "reach": _reach(layout),
            **fixed(**params),
        }
        return lambda *args: call(*args, **attributes)[:-1]

    return native
