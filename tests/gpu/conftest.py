"""What the tests on a GPU share: the GPU, and the CPU beside it.

Without a GPU they can be tried out on the kernels as loops: `BRAINJAX_TEST_EMULATED`, see
`tests/ops/emulated.py`.
"""

import jax
import pytest
from gpu.networks import EMULATED


def pytest_collection_modifyitems(items):
    for item in items:
        if "gpu" in item.path.parts:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session", autouse=True)
def gpu():
    """The device under test. These tests are asked for by name: none is left out in silence."""
    if EMULATED:
        return jax.devices("cpu")[0]
    if jax.default_backend() != "gpu":
        pytest.exit(f"JAX found no GPU, only {jax.devices()}: `make gpu-check` needs one", 2)
    return jax.devices("gpu")[0]
