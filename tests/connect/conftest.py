"""What the tests of this room share."""

import os

import pytest


@pytest.fixture
def own_checks():
    """For tests of errors: where annotations are checked at run time, those checks come first."""
    if os.environ.get("BRAINJAX_TYPECHECK", "0") != "0":
        pytest.skip("annotations are checked before the library's own checks")
