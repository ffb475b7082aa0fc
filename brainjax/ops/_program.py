"""A program of the native library: calls in order, and where what they read and write lies.

What a loop carries from step to step is written where it was read from, if nobody reads it after
that, and copied at the end of a step if somebody does. csrc/loop.cc runs it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._llvm import Untranslatable

# As XLA numbers them, from one on.
_DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()


def bytes_of(aval) -> int:
    """The memory that a value takes."""
    if aval.dtype.name not in _DTYPES:
        raise Untranslatable(f"it has numbers of type {aval.dtype}")
    return math.prod(aval.shape) * aval.dtype.itemsize


class Block:
    """Memory of its own, or a part of another block."""

    def __init__(self, size: int, number: int | None = None):
        self.size = size  # bytes
        self.number = number  # among the buffers of the program, once it has one
        self.within: tuple[Block, int] | None = None  # the other block, and from which byte on
        self.readers: list[tuple[int, int, int]] = []  # (wave, call, operand)

    def place(self) -> tuple["Block", int]:
        """The block of its own that this lies in, and from which byte on."""
        if self.within is None:
            return self, 0
        block, first = self.within[0].place()
        return block, first + self.within[1]


class Value(NamedTuple):
    """Where a value lies."""

    aval: Any
    block: Block
    offset: int = 0  # bytes

    @property
    def is_all(self) -> bool:
        """Whether it fills its block."""
        return bytes_of(self.aval) == self.block.size

    def as_type(self, aval, offset: int = 0) -> "Value":
        """The same memory, or what lies from `offset` bytes on, as a value of another type."""
        return Value(aval, self.block, self.offset + offset)


class Call(NamedTuple):
    """A call of a handler, of a compiled loop over neurons, or of what csrc/loop.cc itself does."""

    name: str
    operands: Sequence[Value]
    results: Sequence[Value]
    attributes: Mapping[str, Any]
    wave: int  # what threads share: these calls do not depend on one another, or run in order
    shared: frozenset[tuple[int, int]]  # (operand, result) that may lie in the same memory


class Program:
    """Calls, added one by one. Buffers are the step's index, then the operands of the loop."""

    def __init__(self, avals: Sequence[Any], num_carried: int):
        """`avals`: the types of the index, of what is kept, and of what is carried."""
        self.calls: list[Call] = []
        self.wave = 0
        self.inputs = [Value(x, Block(bytes_of(x), k)) for k, x in enumerate(avals)]
        self._carried = self.inputs[len(avals) - num_carried :]

    def call(
        self,
        name: str,
        operands: Sequence[Value],
        avals: Sequence[Any],
        attributes: Mapping[str, Any] | None = None,
        shared: Iterable[tuple[int, int]] = (),
    ) -> list[Value]:
        """Add a call; its results are of the types `avals` and get memory of their own."""
        results = [Value(x, Block(bytes_of(x))) for x in avals]
        for k, x in enumerate(operands):
            x.block.readers.append((self.wave, len(self.calls), k))
        held = frozenset(shared)
        self.calls.append(Call(name, operands, results, attributes or {}, self.wave, held))
        return results

    def attributes(self, outputs: Sequence[Value]) -> dict[str, Any]:
        """What csrc/loop.cc is told, where `outputs` are carried to the next step."""
        self._finish(outputs)
        blocks = dict.fromkeys(x.block.place()[0] for c in self.calls for x in c.results)
        fresh = [b for b in blocks if b.number is None]
        for number, block in enumerate(fresh, start=len(self.inputs)):
            block.number = number
        return {
            "calls": {f"{k:05}": _described(c) for k, c in enumerate(self.calls)},
            "carried": np.int64(len(self._carried)),
            "sizes": np.asarray([b.size for b in fresh], np.int64),
        }

    def _finish(self, outputs: Sequence[Value]) -> None:
        """Put what is carried on where it was, or copy it there."""
        end = self.wave + 1
        for new in outputs:
            new.block.readers.append((end, -1, -1))
        moved = [
            [old, new]
            for old, new in zip(self._carried, outputs, strict=True)
            if not self._in_place(old, new)
        ]
        self.wave = end
        taken = {id(old.block) for old, _ in moved}
        for pair in moved:  # what another is copied over goes elsewhere first
            if id(pair[1].block.place()[0]) in taken:
                (pair[1],) = self.call("copy", [pair[1]], [pair[1].aval])
        for old, new in moved:
            (copy,) = self.call("copy", [new], [old.aval])
            copy.block.within = old.block, 0

    def _in_place(self, old: Value, new: Value) -> bool:
        """Let `new` be written where `old` is, if nobody reads that later."""
        block = new.block
        if block is old.block:
            return True
        if block.number is not None or block.within or not new.is_all:
            return False
        made = self._maker(block)
        if made is None:
            return False
        at, result = made
        call = self.calls[at]
        for wave, reader, operand in old.block.readers:
            itself = reader == at and (operand, result) in call.shared
            if wave > call.wave or (wave == call.wave and not itself):
                return False
        block.within = old.block, 0
        return True

    def _maker(self, block: Block) -> tuple[int, int] | None:
        """The call that a block is a result of, and the number of the result."""
        for at, call in enumerate(self.calls):
            for k, x in enumerate(call.results):
                if x.block is block:
                    return at, k
        return None


def _described(call: Call) -> dict[str, Any]:
    buffers, types = [], []
    for x in (*call.operands, *call.results):
        block, first = x.block.place()
        buffers += [block.number, first + x.offset]
        types += [_DTYPES.index(x.aval.dtype.name) + 1, len(x.aval.shape), *x.aval.shape]
    return {
        "attributes": dict(call.attributes),
        "buffers": np.asarray(buffers, np.int64),
        "name": call.name,
        "operands": np.int64(len(call.operands)),
        "types": np.asarray(types, np.int64),
        "wave": np.int64(call.wave),
    }
