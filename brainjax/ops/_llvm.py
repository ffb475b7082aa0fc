"""Writing LLVM IR: numbered values, each computed once before the loop or once a neuron.

The IR is text that names no machine: a kernel is the same text, and has the same digest, wherever
it is made. No instruction carries a fast-math flag and a multiply is fused with an add only where
`fma` says so, so a neuron's bits do not depend on where in a vector it stands.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

# Changes whenever the same text would be called or run differently.
ABI_VERSION = 2

_FLOATS = {"float32": "float", "float64": "double"}
_SUFFIX = {"float": "f32", "double": "f64"}


class Untranslatable(Exception):
    """What keeps a step from being one native loop; XLA runs it instead."""


class Value(NamedTuple):
    """A number: an SSA name or a literal, and whether it varies over neurons."""

    name: str
    dtype: Any
    varies: bool
    literal: bool = False

    @property
    def is_float(self) -> bool:
        """Whether it is a floating-point number."""
        return self.dtype.kind == "f"

    @property
    def bits(self) -> int:
        """Its width; truth has one bit."""
        return 1 if self.dtype.kind == "b" else 8 * self.dtype.itemsize


def llvm_type(dtype: Any, *, in_memory: bool = False) -> str:
    """LLVM's name of a dtype; truth takes a byte in memory."""
    if dtype.name in _FLOATS:
        return _FLOATS[dtype.name]
    if dtype.kind == "b":
        return "i8" if in_memory else "i1"
    if dtype.kind in "iu" and dtype.name[-1].isdigit():
        return f"i{8 * dtype.itemsize}"
    raise Untranslatable(f"it has numbers of type {dtype}")


def _literal(value: Any, dtype: Any) -> str:
    if dtype.kind == "f":
        bits = np.asarray(value, dtype).astype(np.float64).view(np.uint64)
        return f"0x{int(bits):016X}"
    if dtype.kind == "b":
        return "true" if value else "false"
    return str(int(value))


class Builder:
    """A function body in two parts: `before` the loop, and in it."""

    def __init__(self):
        self.before: list[str] = []
        self.loop: list[str] = []
        self._count = 0
        self._declared: set[str] = set()
        self._pointers: set[int] = set()

    # ---- values ------------------------------------------------------------------------------

    def constant(self, value: Any, dtype: Any) -> Value:
        """A number known now."""
        dtype = jax.numpy.dtype(dtype)
        llvm_type(dtype)
        return Value(_literal(value, dtype), dtype, False, True)

    def emit(self, dtype: Any, text: str, varies: bool) -> Value:
        """The value that the instruction `text` gives."""
        name = f"%v{self._count}"
        self._count += 1
        (self.loop if varies else self.before).append(f"  {name} = {text}")
        return Value(name, dtype, varies)

    def _alike(self, operands: Sequence[Any]) -> list[Value]:
        """Python's numbers as constants of the type of the values beside them."""
        dtype = next(x.dtype for x in operands if isinstance(x, Value))
        return [x if isinstance(x, Value) else self.constant(x, dtype) for x in operands]

    # ---- instructions ------------------------------------------------------------------------

    def op(self, opcode: str, a: Any, b: Any) -> Value:
        """An instruction of two operands and a result of one type, as `fadd` or `and`."""
        a, b = self._alike((a, b))
        return self.emit(
            a.dtype, f"{opcode} {llvm_type(a.dtype)} {a.name}, {b.name}", a.varies or b.varies
        )

    def add(self, a: Any, b: Any) -> Value:
        """a + b"""
        a, b = self._alike((a, b))
        return self.op("fadd" if a.is_float else "add", a, b)

    def sub(self, a: Any, b: Any) -> Value:
        """a - b"""
        a, b = self._alike((a, b))
        return self.op("fsub" if a.is_float else "sub", a, b)

    def mul(self, a: Any, b: Any) -> Value:
        """a b"""
        a, b = self._alike((a, b))
        return self.op("fmul" if a.is_float else "mul", a, b)

    def neg(self, a: Value) -> Value:
        """-a"""
        if not a.is_float:
            return self.op("sub", self.constant(0, a.dtype), a)
        return self.emit(a.dtype, f"fneg {llvm_type(a.dtype)} {a.name}", a.varies)

    def fma(self, a: Any, b: Any, c: Any) -> Value:
        """a b + c, rounded once."""
        return self.call("fma", a, b, c)

    def horner(self, x: Value, coefficients: Sequence[float]) -> Value:
        """A polynomial in `x`, the coefficient of the highest power first."""
        total: Any = self.constant(coefficients[0], x.dtype)
        for c in coefficients[1:]:
            total = self.fma(total, x, c)
        return total

    def compare(self, predicate: str, a: Any, b: Any) -> Value:
        """A comparison by LLVM's name of it, as `oge` of floats or `slt` of integers."""
        a, b = self._alike((a, b))
        opcode = "fcmp" if a.is_float else "icmp"
        text = f"{opcode} {predicate} {llvm_type(a.dtype)} {a.name}, {b.name}"
        return self.emit(np.dtype(bool), text, a.varies or b.varies)

    def select(self, condition: Value, yes: Any, no: Any) -> Value:
        """`yes` where the condition holds, else `no`."""
        yes, no = self._alike((yes, no))
        kind = llvm_type(yes.dtype)
        text = f"select i1 {condition.name}, {kind} {yes.name}, {kind} {no.name}"
        return self.emit(yes.dtype, text, condition.varies or yes.varies or no.varies)

    def cast(self, opcode: str, a: Value, dtype: Any) -> Value:
        """A conversion by LLVM's name of it, as `sitofp` or `bitcast`."""
        dtype = jax.numpy.dtype(dtype)
        if opcode == "uitofp" and a.bits == 1:  # LLVM finds no shorter way; 65 536 LIF: 48 -> 42 us
            return self.select(a, self.constant(1.0, dtype), 0.0)
        text = f"{opcode} {llvm_type(a.dtype)} {a.name} to {llvm_type(dtype)}"
        return self.emit(dtype, text, a.varies)

    def call(self, intrinsic: str, *operands: Any, flags: str = "") -> Value:
        """An intrinsic of LLVM whose operands and result have one type."""
        values = self._alike(operands)
        kind = llvm_type(values[0].dtype)
        name = f"@llvm.{intrinsic}.{_SUFFIX.get(kind, kind)}"
        extra = ["i1"] if flags else []
        self._declared.add(f"declare {kind} {name}({', '.join([kind] * len(values) + extra)})")
        given = ", ".join([*(f"{kind} {x.name}" for x in values), *([flags] if flags else [])])
        varies = any(x.varies for x in values)
        return self.emit(values[0].dtype, f"call {kind} {name}({given})", varies)

    def saturate(self, a: Value, dtype: Any) -> Value:
        """A float as the nearest integer towards zero that the type holds; NaN as zero."""
        dtype = jax.numpy.dtype(dtype)
        to, kind = llvm_type(dtype), llvm_type(a.dtype)
        sign = "u" if dtype.kind == "u" else "s"
        name = f"@llvm.fpto{sign}i.sat.{to}.{_SUFFIX[kind]}"
        self._declared.add(f"declare {to} {name}({kind})")
        return self.emit(dtype, f"call {to} {name}({kind} {a.name})", a.varies)

    # ---- memory ------------------------------------------------------------------------------

    def load(self, position: int, dtype: Any, entry: int | None = None) -> Value:
        """The operand at `position`: one number a neuron, or entry number `entry` of it."""
        memory = llvm_type(dtype, in_memory=True)
        self._pointer(position)
        if entry is not None:
            place = f"%s{position}_{entry}"
            self.before.append(f"  {place} = getelementptr {memory}, ptr %p{position}, i64 {entry}")
            return self._as_truth(self.emit(dtype, f"load {memory}, ptr {place}", False))
        self.loop.append(f"  %a{position} = getelementptr {memory}, ptr %p{position}, i64 %i")
        text = f"load {memory}, ptr %a{position}, !llvm.access.group !0"
        return self._as_truth(self.emit(dtype, text, True))

    def lookup(self, name: str, table: Sequence[float], index: Value) -> Value:
        """The number at `index` of a table of float64 that is a part of the module."""
        double, numbers = np.dtype(np.float64), [_literal(x, np.dtype(np.float64)) for x in table]
        kind = f"[{len(numbers)} x double]"
        held = ", ".join(f"double {x}" for x in numbers)
        self._declared.add(f"@{name} = private unnamed_addr constant {kind} [{held}]")
        place = f"getelementptr {kind}, ptr @{name}, i64 0, {llvm_type(index.dtype)} {index.name}"
        address = self.emit(double, place, index.varies)
        text = f"load double, ptr {address.name}, !llvm.access.group !0"
        return self.emit(double, text, index.varies)

    def _as_truth(self, loaded: Value) -> Value:
        if loaded.dtype.kind != "b":
            return loaded
        return self.emit(loaded.dtype, f"trunc i8 {loaded.name} to i1", loaded.varies)

    def store(self, position: int, value: Value, varies: bool) -> None:
        """Write the result at `position`; all loads must have been emitted."""
        memory = llvm_type(value.dtype, in_memory=True)
        self._pointer(position)
        if value.dtype.kind == "b":
            value = self.emit(value.dtype, f"zext i1 {value.name} to i8", value.varies)
        if not varies:
            self.before.append(f"  store {memory} {value.name}, ptr %p{position}")
            return
        self.loop += [
            f"  %a{position} = getelementptr {memory}, ptr %p{position}, i64 %i",
            f"  store {memory} {value.name}, ptr %a{position}, !llvm.access.group !0",
        ]

    def _pointer(self, position: int) -> None:
        if position in self._pointers:
            return
        self._pointers.add(position)
        self.before += [
            f"  %q{position} = getelementptr ptr, ptr %arguments, i64 {position}",
            f"  %p{position} = load ptr, ptr %q{position}",
        ]

    def cost(self) -> int:
        """How many instructions there are a neuron."""
        return sum("getelementptr" not in line for line in self.loop)

    def text(self, interleave: int = 1) -> str:
        """The module: `kernel(pointers of operands and results, first neuron, one past last)`.

        It works on `interleave` vectors side by side, a power of two.
        """
        return "\n".join(
            [
                *sorted(self._declared),
                "define void @kernel(ptr noalias %arguments, i64 %begin, i64 %end) #0 {",
                "entry:",
                *self.before,
                "  %some = icmp slt i64 %begin, %end",
                "  br i1 %some, label %loop, label %exit",
                "loop:",
                "  %i = phi i64 [ %begin, %entry ], [ %next, %loop ]",
                *self.loop,
                "  %next = add nuw nsw i64 %i, 1",
                "  %more = icmp slt i64 %next, %end",
                "  br i1 %more, label %loop, label %exit, !llvm.loop !1",
                "exit:",
                "  ret void",
                "}",
                # The stack is aligned for the vectors that are spilled onto it.
                'attributes #0 = { nounwind alignstack=64 "prefer-vector-width"="512" }',
                # Iterations touch different numbers even where a result is updated in place.
                "!0 = distinct !{}",
                "!1 = distinct !{!1, !2, !3, !4}",
                '!2 = !{!"llvm.loop.parallel_accesses", !0}',
                '!3 = !{!"llvm.loop.vectorize.enable", i1 true}',
                f'!4 = !{{!"llvm.loop.interleave.count", i32 {interleave}}}',
                "",
            ]
        )
