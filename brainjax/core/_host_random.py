"""Random numbers on the host, for what is drawn once when a network is built.

The generator is Philox-4x64-10, used through its raw bits alone: NumPy guarantees those to be the
same in every version and on every machine, but not what `np.random.Generator` makes of them.
"""

import hashlib
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
from jaxtyping import Float64, Int64, UInt64
from scipy.special import ndtri

from ._errors import explain

_BLOCK = 1 << 16  # numbers worked on at a time: 512 KiB, so that temporaries stay in the cache


def check_integer(what: str, value: object, *, low: int = 0, high: int | None = None) -> int:
    """`value` as a Python `int`, if it is an integer (no `bool`, no float) in `low..high`.

    **Arguments:**

    - `what`: what the value is, in the user's words; the beginning of the error.
    - `value`: a Python or NumPy integer.
    - `low`, `high`: the smallest and largest value allowed; `high=None` is no limit.

    **Raises:** `TypeError` if it is no integer, `ValueError` if it is out of range.
    """
    expected = f"an integer of at least {low}" if high is None else f"an integer in {low}..{high}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, SupportsIndex):
        mend = ""
        if isinstance(value, float | np.floating) and float(value).is_integer():
            mend = f"Write {int(value)}."
        raise TypeError(explain(what, got=value, expected=expected, mend=mend))
    number = operator.index(value)
    if number < low or (high is not None and number > high):
        raise ValueError(explain(what, got=number, expected=expected))
    return number


@dataclass(frozen=True)
class HostStream:
    """A counter-based stream of random numbers on the host.

    Number `i` is a pure function of `(key, path, i)`: never of what was drawn before, elsewhere,
    or in which portions. `stream.uniform(10)[5:]` equals `stream.uniform(5, start=5)`.

    **Arguments:**

    - `key`: two integers in `0..2**32 - 1`, the words of a JAX key
      (`tuple(jax.random.key_data(key).tolist())` of a threefry key).
    - `path`: names that lead here from the key; extended by `child`.

    **Raises:** `TypeError` or `ValueError` for a key or a name of another form.

    ```python
    stream = HostStream((0, 42)).child("exc->inh", "weight")
    first = stream.uniform(1000)
    more = stream.uniform(1000, start=1000)
    ```

    Source: Salmon et al. 2011, 'Parallel random numbers: as easy as 1, 2, 3',
    doi:10.1145/2063384.2063405.
    """

    key: tuple[int, int]
    path: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        words = _words(self.key)
        object.__setattr__(self, "key", words)
        object.__setattr__(self, "path", tuple(_name(name) for name in self.path))

    def child(self, *names: str | int) -> "HostStream":
        """The stream under this one called `names`; independent of this one and of all others.

        `child("a", 1)` is `child("a").child(1)`; the names `1` and `"1"` differ.

        **Raises:** `TypeError` for a name that is neither string nor integer, `ValueError` if none
        is given.
        """
        if not names:
            raise ValueError(
                explain("HostStream.child", got=names, expected="one name or more", mend=_CHILD)
            )
        return HostStream(self.key, (*self.path, *names))

    def bits(self, n: int, start: int = 0) -> UInt64[np.ndarray, "n"]:
        """Numbers `start..start + n` of the stream, each of 64 random bits: `uint64[n]`.

        **Raises:** `TypeError` or `ValueError` unless `n` and `start` are integers of at least 0,
        as do all the methods below.
        """
        return self._map(n, start, np.uint64, lambda raw: raw)

    def uniform(self, n: int, start: int = 0) -> Float64[np.ndarray, "n"]:
        """Uniform in [0, 1), multiples of 2**-53: `float64[n]`."""
        return self._map(n, start, np.float64, lambda raw: (raw >> np.uint64(11)) * 2.0**-53)

    def uniform_open(self, n: int, start: int = 0) -> Float64[np.ndarray, "n"]:
        """Uniform in (0, 1), odd multiples of 2**-53, so never 0 and never 1: `float64[n]`."""
        return self._map(n, start, np.float64, _open)

    def integers(self, n: int, high: int, start: int = 0) -> Int64[np.ndarray, "n"]:
        """Uniform in `0..high - 1`: `int64[n]`.

        The high word of `bits * high`, exact in integers. The probabilities of two values differ
        by at most 2**-64, that is relative to `1 / high` by `high / 2**64`.

        **Raises:** `ValueError` unless `1 <= high <= 2**63`.
        """
        high = check_integer("HostStream.integers: high", high, low=1, high=1 << 63)
        return self._map(n, start, np.int64, lambda raw: _multiply_high(raw, high))

    def normal(self, n: int, start: int = 0) -> Float64[np.ndarray, "n"]:
        """Standard normal by the inverse of its distribution function: `float64[n]`, |x| < 8.3.

        One number costs one number of the stream. The last bits are those of the installed SciPy's
        `ndtri`; the other methods give the same bits everywhere.
        """
        return self._map(n, start, np.float64, lambda raw: ndtri(_open(raw)))

    def _map(self, n: int, start: int, dtype: Any, transform: Callable) -> np.ndarray:
        n = check_integer("HostStream: n", n)
        start = check_integer("HostStream: start", start)
        out = np.empty(n, dtype)
        done = 0
        for raw in self._raw(n, start):
            out[done : done + raw.size] = transform(raw)
            done += raw.size
        return out

    def _raw(self, n: int, start: int) -> Iterator[np.ndarray]:
        """The numbers `start..start + n` in blocks. One step of Philox's counter makes four."""
        philox = np.random.Philox(key=self._philox_key(), counter=start // 4)
        philox.random_raw(start % 4, output=False)
        for done in range(0, n, _BLOCK):
            yield philox.random_raw(min(_BLOCK, n - done))

    def _philox_key(self) -> np.ndarray:
        # Each part is written with its kind and length, so that no two paths read the same.
        text = hashlib.blake2b(digest_size=16, person=b"bj.host_random")
        text.update(b"".join(word.to_bytes(4, "little") for word in self.key))
        for name in self.path:
            part = str(name).encode()
            text.update((b"s" if isinstance(name, str) else b"i") + len(part).to_bytes(8, "little"))
            text.update(part)
        return np.frombuffer(text.digest(), "<u8").astype(np.uint64)


_KEY = "Take them from a key: HostStream(tuple(jax.random.key_data(key).tolist()))."
_CHILD = "For example stream.child('weight')."


def _words(key: Any) -> tuple[int, int]:
    what = "HostStream: key"
    if not isinstance(key, tuple):
        raise TypeError(explain(what, got=key, expected="a tuple of two 32-bit words", mend=_KEY))
    if len(key) != 2:
        raise ValueError(explain(what, got=key, expected="two 32-bit words", mend=_KEY))
    first, second = (check_integer(f"{what}: a word", w, high=2**32 - 1) for w in key)
    return first, second


def _name(name: object) -> str | int:
    if isinstance(name, str):
        return name
    if isinstance(name, bool | np.bool_) or not isinstance(name, SupportsIndex):
        expected = "a string or an integer"
        raise TypeError(explain("HostStream: a name", got=name, expected=expected, mend=_CHILD))
    return operator.index(name)


def _open(raw: np.ndarray) -> np.ndarray:
    # 52 bits and not 53: k + 1/2 is then exact in a double, so that it cannot round up to 1.
    return ((raw >> np.uint64(12)) + 0.5) * 2.0**-52


def _multiply_high(raw: np.ndarray, high: int) -> np.ndarray:
    """The upper 64 bits of the product of `raw` and `high`.

    With limbs of 32 bits, raw = a 2^32 + b and high = c 2^32 + d, the product is
    ac 2^64 + (ad + bc) 2^32 + bd. No sum below passes 2^64: (2^32 - 1)^2 + 2 (2^32 - 1) = 2^64 - 1.
    """
    shift, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    c, d = np.uint64(high >> 32), np.uint64(high & 0xFFFFFFFF)
    a, b = raw >> shift, raw & mask
    middle = a * d + (b * d >> shift)
    if c == 0:
        return middle >> shift
    return a * c + (middle >> shift) + (b * c + (middle & mask) >> shift)
