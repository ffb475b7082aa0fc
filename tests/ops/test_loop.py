"""`repeat`: a loop as a program of the native library against `lax.fori_loop`, which defines it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from brainjax.ops import log_events, map_neurons, native_library, native_steps, repeat

native = pytest.mark.skipif(native_library() is None, reason="the native library is not built")
SIZE = 70


def compiled(body, carry, impl="auto"):
    """The compiled loop, as a function of the number of steps and the carry."""
    return jax.jit(lambda n, x: repeat(n, body, x, impl=impl)).lower(3, carry).compile()


def is_native(loop):
    return 'custom_call_target="brainjax_Loop"' in (loop.as_text() or "")


def check(body, carry, steps=(0, 1, 2, 7), native=True):
    """The same as the definition, to the bit, and by the library where that is asked for."""
    loop, expected = compiled(body, carry), compiled(body, carry, "jax")
    assert not is_native(expected)
    if native_library() is not None:
        assert is_native(loop) == native
    for n in map(jnp.int32, steps):
        jax.tree.map(np.testing.assert_array_equal, loop(n, carry), expected(n, carry))


A, B, C = (jnp.arange(SIZE, dtype=jnp.int32) * k + 1 for k in (1, 3, 7))
X = jnp.linspace(-2.0, 3.0, SIZE, dtype=jnp.float32)


# ---- what is carried, and where it lies ----------------------------------------------------------

MOVES = {
    "swap": lambda i, x: (x[1], x[0] + 1, x[2]),
    "turn": lambda i, x: (x[1], x[2], x[0]),
    "fibonacci": lambda i, x: (x[0] + x[1], x[0], x[2] - x[1]),
    "twice the same": lambda i, x: (x[0] + 1,) * 3,
    "read after it was made": lambda i, x: (x[0] + i, x[1] + x[0], x[2] + x[0] * (x[0] + i)),
    "a constant": lambda i, x: (jnp.full(SIZE, 3, jnp.int32), x[0] ^ x[1], x[2]),
    "a fixed number": lambda i, x: (x[0] + 2, x[1], x[0] + x[1]),
    "parts of a whole": lambda i, x: tuple(
        jnp.split(jnp.concatenate([x[0] + 1, x[2], x[0] * x[1]]), 3)
    ),
    "a whole of parts": lambda i, x: (
        jnp.concatenate([x[0][:10] + 1, x[1][10:] - 1]),
        jnp.concatenate([x[0][:10], x[0][:60] * 2]),
        x[2] * 5 - i,
    ),
    "a shape of another name": lambda i, x: (x[1].reshape(7, 10).reshape(SIZE), x[2], x[0] - x[1]),
}


@pytest.mark.parametrize("name", MOVES)
def test_what_is_carried_goes_where_it_should(name):
    check(MOVES[name], (A, B, C))


def test_a_loop_may_carry_numbers_and_truth():
    def body(i, x):
        count, odd, total = x
        return count + jnp.where(odd, 2, i), ~odd, total + 0.5 * count.astype(jnp.float32)

    check(body, (jnp.int32(4), jnp.array(False), jnp.float32(0.25)))


def test_arrays_of_no_numbers_are_carried():
    check(lambda i, x: (x[0] + 1, x[1] + i), (jnp.zeros(0, jnp.float32), jnp.int32(1)))


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_any_program_of_integers_is_its_definition(data):
    """Arithmetic, rows, parts, sums of what is carried, in any order, with any of it carried on."""
    pick = lambda n: data.draw(st.integers(0, n - 1))  # noqa: E731
    plan = [(pick(6), pick(9), pick(9), pick(SIZE)) for _ in range(data.draw(st.integers(1, 8)))]
    kept = [pick(9) for _ in range(3)]

    def body(i, x):
        *held, rows = x
        for kind, a, b, at in plan:
            one, other = held[a % len(held)], held[b % len(held)]
            if kind == 0:
                held.append(one + other * 3)
            elif kind == 1:
                held.append(jnp.where(one > other, one, other - i))
            elif kind == 2:
                rows = lax.dynamic_update_index_in_dim(rows, one, (i + at) % 5, 0)
            elif kind == 3:
                held.append(lax.dynamic_index_in_dim(rows, (i * at) % 5, 0, keepdims=False))
            elif kind == 4:
                held.append(jnp.concatenate([one[:at], other[at:]]))
            else:
                held.append(one.at[jnp.arange(SIZE) % (at + 1)].get(mode="clip"))
        return (*(held[k % len(held)] for k in kept), rows)

    check(body, (A, B, C, jnp.zeros((5, SIZE), jnp.int32)), steps=(5,))


# ---- calls --------------------------------------------------------------------------------------


def rises(v, gain):
    return v + gain * 0.5, jnp.where(v > 1.0, 1.0, 0.0)


def test_steps_logs_and_records_of_neurons():
    def body(i, x):
        (v, spikes), (w, others), (log, length), rows, sums = x
        v, spikes = map_neurons(rises, (), v, spikes)
        w, others = map_neurons(rises, (), w, spikes + others)
        log, length = log_events(log, length, spikes)
        rows = lax.dynamic_update_index_in_dim(rows, w[jnp.array([3, 1, 3])], i, 0)
        sums = lax.dynamic_update_index_in_dim(sums, jnp.mean(spikes), i, 0)
        return (v, spikes), (w, others), (log, length), rows, sums

    quiet, log = jnp.zeros(SIZE), jnp.zeros(300, jnp.int32)
    rows = jnp.zeros((7, 3), jnp.float32), jnp.zeros(7, jnp.float32)
    check(body, ((X, quiet), (X[::-1], quiet), (log, jnp.int32(0)), *rows))


def test_indices_of_rows_are_kept_inside_as_jax_keeps_them():
    def body(i, x):
        row = lax.dynamic_index_in_dim(x, 3 * i - 2, 0, keepdims=False)
        return lax.dynamic_update_index_in_dim(x, row + 1, 5 * i - 3, 0)

    check(body, jnp.arange(12, dtype=jnp.int32).reshape(4, 3))


@native
def test_what_has_no_native_form_runs_in_jax_and_says_so():
    m = jnp.eye(SIZE, dtype=jnp.float32)
    check(lambda i, x: m @ x, X, native=False)
    check(lambda i, x: x[::-1] + 1, X, native=False)
    check(lambda i, x: x + x[i], X, native=True)
    runs = native_steps()["loop over steps"]
    assert "jax: it contains dot_general" in runs and "native, " in runs


@pytest.mark.parametrize("of_step", [True, False], ids=["of the step", "always the same"])
def test_what_a_body_does_beside_its_results_is_done(of_step):
    seen = []

    def body(i, x):
        jax.debug.callback(lambda at: seen.append(int(at)), i if of_step else jnp.int32(7))
        return x + 1

    jax.block_until_ready(jax.jit(lambda x: repeat(3, body, x))(A))
    jax.effects_barrier()
    assert sorted(seen) == ([0, 1, 2] if of_step else [7, 7, 7])


@pytest.mark.parametrize("carry", [jnp.ones(3, jnp.bfloat16), jnp.ones(3, jnp.complex64)])
def test_numbers_that_native_code_does_not_know_are_left_to_jax(carry):
    check(lambda i, x: (x[0] + x[0], x[1] + 1), (carry, A), native=False)


@native
def test_a_program_is_the_same_text_each_time():
    """So that a second process finds it in the cache of compiled programs."""

    def text():
        body = lambda i, x: (x[1] + i, x[0] * 2 + x[2], x[2] - x[1])  # noqa: E731
        return jax.jit(lambda n, x: repeat(n, body, x)).lower(3, (A, B, C)).as_text()

    assert text() == text()


# ---- transforms and errors ----------------------------------------------------------------------


def test_a_loop_is_batched_and_pushed_forward_as_its_definition():
    def run(x, impl):
        return repeat(3, lambda i, y: jnp.sin(y) + i.astype(y.dtype), x, impl=impl)

    batch = jnp.stack([X, 2 * X])
    for f in (jax.vmap, lambda g: lambda x: jax.jvp(g, (x,), (jnp.ones_like(x),))):
        got, expected = (f(lambda x, impl=i: run(x, impl))(batch) for i in ("auto", "jax"))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, expected)


@pytest.mark.parametrize("body", [lambda i, x: x[:-1], lambda i, x: x.astype(jnp.int32)])
def test_a_body_that_changes_the_type_is_refused_as_jax_refuses_it(body):
    with pytest.raises(TypeError, match="carry"):
        repeat(2, body, X)


@native
def test_a_program_with_a_call_that_is_not_there_is_refused():
    empty = np.zeros(0, np.int64)
    call = {
        "attributes": {"none": np.int64(0)},
        "buffers": np.asarray([1, 0, 1, 0], np.int64),
        "name": "nonsense",
        "operands": np.int64(1),
        "types": np.asarray([11, 1, SIZE, 11, 1, SIZE], np.int64),
        "wave": np.int64(1),
    }
    loop = jax.ffi.ffi_lowering("brainjax_Loop", operand_output_aliases={1: 0})

    from brainjax.ops import _primitive as primitive

    p = primitive.new_primitive("damaged", lambda n, x: [x], lambda n, x: [x])
    jax.interpreters.mlir.register_lowering(
        p,
        lambda ctx, *xs: loop(ctx, *xs, calls={"00000": call}, carried=np.int64(1), sizes=empty),
        platform="cpu",
    )
    with pytest.raises(Exception, match="'nonsense'.*expected one that this version"):
        jax.block_until_ready(jax.jit(lambda x: p.bind(jnp.int32(1), x))(X))
