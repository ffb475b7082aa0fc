"""What is declared about the package is what is installed."""

import importlib.metadata
import os
import re
import tomllib
from pathlib import Path

import jax
import pytest
from packaging.requirements import Requirement

import brainjax

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
JAXLIB = importlib.metadata.version("jaxlib")


def found(pattern: str, file: str) -> str:
    """The first group of `pattern` in a file of the project."""
    match = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert match, f"{file} has no {pattern}"
    return match.group(1)


@pytest.mark.pure
def test_one_version_everywhere():
    version = PROJECT["version"]
    assert brainjax.__version__ == version
    assert importlib.metadata.version("brainjax") == version
    assert found(r"^version: (.+)$", "CITATION.cff") == version
    assert found(r"^## \[(.+?)\]", "CHANGELOG.md") in ("Unreleased", version)


@pytest.mark.pure
def test_installed_as_declared():
    """The metadata under test are those of this checkout, not of an older install."""
    declared = {str(Requirement(text)) for text in PROJECT["dependencies"]}
    installed = {
        text for text in importlib.metadata.requires("brainjax") or [] if "extra ==" not in text
    }
    assert {str(Requirement(text)) for text in installed} == declared
    entry_points = importlib.metadata.distribution("brainjax").entry_points
    assert {point.name: point.value for point in entry_points} == PROJECT["scripts"]
    assert all(callable(point.load()) for point in entry_points)


@pytest.mark.pure
def test_jax_and_jaxlib_have_one_range():
    ranges = {
        requirement.name: requirement.specifier
        for requirement in map(Requirement, PROJECT["dependencies"])
    }
    assert ranges["jax"] == ranges["jaxlib"]
    assert jax.__version__ in ranges["jax"]
    assert JAXLIB in ranges["jaxlib"]
    assert "0.11.1" not in ranges["jax"]


@pytest.mark.pure
def test_types_are_shipped():
    assert (Path(brainjax.__file__).parent / "py.typed").is_file()


@pytest.mark.pure
def test_info_tells_whether_the_native_library_is_there():
    library = Path(brainjax.__file__).parent / "_native" / "brainjax_cpu.so"
    said = brainjax.info()["native_library"]
    if library.is_file():
        assert said == str(library)
    else:
        assert os.environ.get("BRAINJAX_REQUIRE_NATIVE", "0") != "1"
        assert "pure-JAX" in said


@pytest.mark.pure
def test_vendored_headers_are_those_of_the_version_they_name():
    """Checked wherever that very jaxlib is installed."""
    headers = sorted((ROOT / "csrc/third_party/xla/ffi/api").glob("*.h"))
    assert [header.name for header in headers] == ["api.h", "c_api.h", "ffi.h"]
    if found(r"`jaxlib` ([\d.]+) wheel", "csrc/third_party/README.md") == JAXLIB:
        origin = Path(jax.ffi.include_dir()) / "xla/ffi/api"
        for header in headers:
            assert header.read_bytes() == (origin / header.name).read_bytes()
