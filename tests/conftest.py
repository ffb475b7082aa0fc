"""How every test runs: two CPU devices, strict promotion, float32 unless a test asks for more."""

import os
from pathlib import Path

import jax
import pytest

# Before the backend is first used. One-device programs are none the wiser; sharded ones need two.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

if os.environ.get("BRAINJAX_TYPECHECK", "0") != "0":
    # Every annotated shape and dtype of the package is checked at run time.
    from jaxtyping import install_import_hook

    install_import_hook("brainjax", "annotations.checked")


def pytest_configure(config: pytest.Config) -> None:
    """Without the native library, tests that should exercise it would pass on the reference."""
    if "BRAINJAX_TEST_LIBRARY" in os.environ:
        from brainjax.ops import _native

        _native.library_path = lambda: Path(os.environ["BRAINJAX_TEST_LIBRARY"])
    if "BRAINJAX_TEST_CUDA_LIBRARY" in os.environ:
        from brainjax.ops import _native

        _native.cuda_library_path = lambda: Path(os.environ["BRAINJAX_TEST_CUDA_LIBRARY"])
    if "BRAINJAX_TEST_EMULATED" in os.environ:
        from ops import emulated

        emulated.use(Path(os.environ["BRAINJAX_TEST_EMULATED"]))
    if os.environ.get("BRAINJAX_REQUIRE_NATIVE", "0") != "1":
        return
    import brainjax

    if not Path(brainjax.info()["native_library"]).is_file():
        pytest.exit(
            "BRAINJAX_REQUIRE_NATIVE=1, but brainjax found no native library "
            f"(package: {brainjax.__file__}). `make test` builds it; to see why the build fails: "
            "BRAINJAX_REQUIRE_NATIVE=1 pip install -v .",
            returncode=3,
        )


@pytest.fixture
def x64():
    """Float64 for the duration of one test."""
    with jax.enable_x64(True):
        yield
