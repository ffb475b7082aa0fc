"""Machine code of kernels, kept beside JAX's compilation cache where a user has enabled that.

A file holds the digest of its contents before them, so a damaged one is as good as none; it is
written under another name and renamed, so a half-written one is never seen.
"""

import contextlib
import hashlib
import os
import pathlib
import tempfile
from typing import Any

import jax

_CONFIG: Any = jax.config  # JAX makes its options at run time: type checkers do not see them
_DIGEST = hashlib.sha256().digest_size


def _folder() -> pathlib.Path | None:
    place = _CONFIG.jax_compilation_cache_dir
    if not place or not _CONFIG.jax_enable_compilation_cache or "://" in place:
        return None
    return pathlib.Path(place) / "brainjax_kernels"


def _file(folder: pathlib.Path, key: str) -> pathlib.Path:
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()}.o"


def load(key: str) -> bytes | None:
    """The machine code kept under `key`, or `None`."""
    folder = _folder()
    if folder is None:
        return None
    try:
        kept = _file(folder, key).read_bytes()
    except OSError:
        return None
    return kept[_DIGEST:] if hashlib.sha256(kept[_DIGEST:]).digest() == kept[:_DIGEST] else None


def keep(key: str, code: bytes) -> None:
    """Keep machine code under `key`. A folder that cannot be written to is left as it is."""
    folder = _folder()
    if folder is None:
        return
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(name, _file(folder, key))
        except OSError:
            os.unlink(name)
            raise
