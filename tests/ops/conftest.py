"""What the tests of this room share: every implementation that is there."""

import pytest

from brainjax.ops import native_library


@pytest.fixture(params=["jax", "native"])
def impl(request):
    """The implementations of the ops; the native one only where its library is."""
    if request.param == "native" and native_library() is None:
        pytest.skip("this is a pure-JAX installation")
    return request.param
