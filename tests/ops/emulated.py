"""CUDA handlers without a GPU: their kernels as loops, called where the CPU's handlers would be."""

from pathlib import Path

from brainjax.ops import _deliver_history, _deliver_ring, _native, _primitive

HANDLERS = (
    (_deliver_history.deliver_history_p, _deliver_history._reference, _deliver_history.cuda_call),
    (_deliver_ring.push_ring_p, _deliver_ring._push_reference, _deliver_ring.cuda_push),
    (_deliver_ring.pull_ring_p, _deliver_ring._pull_reference, _deliver_ring.cuda_pull),
)


def use(path: Path) -> None:
    """Let delivery on the CPU run the kernels of the library at `path`, for the whole process."""
    library = _native.register_cuda(path, "cpu")
    _primitive.cuda_library = lambda: library
    for primitive, reference, native in HANDLERS:
        _primitive.lower_on_gpu(primitive, reference, native, platform="cpu")
