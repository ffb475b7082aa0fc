"""How a compiled step is called: its buffers, its blocks and threads, its machine code."""

import ctypes
import itertools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from brainjax.ops import _kernels, _objects, map_neurons, native_library, native_steps
from brainjax.ops._translate import translate

pytest.importorskip("llvmlite")
pytestmark = pytest.mark.skipif(native_library() is None, reason="this is a pure-JAX installation")


def decay(parameters, state, current):
    """A membrane with many parameters, a counter, and a leaf that nothing changes."""
    tau, gain, shift, steps, unused = parameters
    v, left, kept = state
    v = v * jnp.exp(-1 / tau) + gain * current + shift
    left = jnp.where(v > 1, steps, jnp.maximum(left - 1, 0))
    return (v, left, kept), jnp.tanh(v)


def operands(size, seed=0):
    rng = np.random.default_rng(seed)
    parameters = (*map(jnp.float32, (2.5, 0.5, 0.1)), jnp.int32(20), jnp.float32(7))
    v, kept, current = (jnp.asarray(rng.normal(size=size), jnp.float32) for _ in range(3))
    return parameters, (v, jnp.asarray(rng.integers(0, 3, size), "i4"), kept), current


def loop(parameters, state, current):
    def body(_, state):
        return map_neurons(decay, (parameters,), state, current)[0]

    return lax.fori_loop(0, 5, body, state)


def call_in(text):
    """The line of a program that calls a compiled step, with what surrounds it."""
    (at,) = [i for i, x in enumerate(text.splitlines()) if '"brainjax_Map"' in x]
    lines = text.splitlines()
    begin = max(i for i in range(at) if lines[i].endswith("{"))
    end = min(i for i in range(at, len(lines)) if lines[i].startswith("}"))
    return lines[at], "\n".join(lines[begin:end])


def test_what_is_fixed_is_one_buffer_made_before_the_loop():
    args = operands(40)
    call, around = call_in(jax.jit(loop).lower(*args).compile().as_text())
    given = call.partition("custom-call(")[2].partition(")")[0].split(",")
    # tau, gain, shift and steps in one; v, left, current; `unused` and `kept` are not handed over.
    assert len(given) == 4, call
    results = call.partition("=")[2].partition("custom-call")[0]
    assert results.count("[40]") == 3, call
    assert "concatenate" not in around
    assert "u32[4]" in around


def test_a_leaf_that_nothing_changes_is_handed_on():
    parameters, state, current = operands(40)
    for impl in ("native", "jax"):
        moved, _ = map_neurons(decay, (parameters,), state, current, impl=impl)
        np.testing.assert_array_equal(moved[2], state[2])

    def with_shared(parameters, state, current):  # batched over currents: the leaf gets a batch too
        return map_neurons(decay, (parameters,), state, current)[0][2]

    many = jax.vmap(with_shared, (None, None, 0))(parameters, state, jnp.stack([current] * 3))
    np.testing.assert_array_equal(many, jnp.broadcast_to(state[2], (3, 40)))


def test_bundled_numbers_are_differentiated_and_batched_one_by_one():
    parameters, state, current = operands(40)

    def total(gain, shift, impl="auto"):
        fixed = (parameters[0], gain, shift, *parameters[3:])
        (v, _, _), out = map_neurons(decay, (fixed,), state, current, impl=impl)
        return jnp.sum(v + out)

    for argument in (0, 1):
        native, plain = (
            jax.grad(lambda *a, i=i: total(*a, impl=i), argument)(0.5, 0.1) for i in ("auto", "jax")
        )
        np.testing.assert_allclose(native, plain, rtol=1e-5)
    gains = jnp.linspace(0.1, 1, 4)
    many = jax.vmap(lambda g: map_neurons(decay, (_with(parameters, g),), state, current)[1])(gains)
    for i in range(4):
        one = map_neurons(decay, (_with(parameters, gains[i]),), state, current)[1]
        np.testing.assert_array_equal(many[i], one)


def _with(parameters, gain):
    return (parameters[0], gain, *parameters[2:])


def flat(*leaves):
    (parameters, state), current = (leaves[:5], leaves[5:8]), leaves[8]
    return tuple(jax.tree.leaves(decay(parameters, state, current)))


@pytest.mark.parametrize("size", [1, 63, 64, 65, 1001, 4099])
@pytest.mark.parametrize("num_blocks", [2, 7])
def test_bits_do_not_depend_on_the_blocks(size, num_blocks):
    leaves = jax.tree.leaves(operands(size))
    call = translate(jax.make_jaxpr(flat)(*leaves), [None] * len(leaves))
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
        _kernels._address(_kernels._named(call.ir))
    )

    def run(borders):
        given = [np.array(leaves[i]) for (i,) in call.buffers]
        made = [np.zeros(size, np.asarray(flat(*leaves)[k]).dtype) for k in call.results]
        pointers = (ctypes.c_void_p * len(given + made))(*[x.ctypes.data for x in given + made])
        for begin, end in itertools.pairwise(borders):
            kernel(pointers, begin, end)
        return [x.tobytes() for x in made]

    length = -(-size // num_blocks // 64) * 64 or 64
    borders = [*range(0, size, length), size]
    assert run(borders) == run([0, size])


PROCESS = """
import hashlib, os, sys
cores = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, cores[: int(sys.argv[1])])
import jax, numpy as np
sys.path.insert(0, sys.argv[2])
from test_map_call import loop, operands
digest = hashlib.sha256()
many = jax.tree.map(lambda *x: np.stack(x), *(operands(30_011, seed) for seed in range(3)))
for f, args in ((loop, operands(200_003)), (jax.vmap(loop), many)):
    for x in jax.tree.leaves(jax.jit(f)(*args)):
        digest.update(np.asarray(x).tobytes())
print(digest.hexdigest())
"""


def process(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, *arguments, os.path.dirname(__file__)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cannot pin here")
def test_bits_do_not_depend_on_the_number_of_threads(tmp_path):
    """Nor on where the machine code comes from: compiled, kept, or damaged and compiled anew."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    one = process("1", **cache)
    kept = list((tmp_path / "brainjax_kernels").glob("*.o"))
    assert len(kept) == 1  # the loop and its batch share a kernel
    assert process("64", **cache) == one
    damaged = bytearray(kept[0].read_bytes())
    damaged[-100] ^= 1
    kept[0].write_bytes(damaged)
    assert process("64", **cache) == one
    assert kept[0].read_bytes() != bytes(damaged)


SHARED = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
import jax, numpy as np
sys.path.insert(0, sys.argv[1])
from test_map_call import loop, operands
calls = [(jax.jit(loop), operands(200_003 + 64 * k, k)) for k in range(3)]
alone = [jax.block_until_ready(f(*args)) for f, args in calls]

def again(caller):
    for i in range(12):
        k = (caller + i) % 3
        time.sleep(0.0002 * (i % 3))  # helpers are awake, about to go, gone
        made = calls[k][0](*calls[k][1])
        for x, y in zip(jax.tree.leaves(made), jax.tree.leaves(alone[k]), strict=True):
            assert np.array_equal(x, y), (caller, i)
    return i

with ThreadPoolExecutor(4) as callers:
    print(list(callers.map(again, range(4))))
"""


@pytest.mark.parametrize("threads", [2, 5])  # of XLA's pool
def test_callers_at_once_share_the_pool(threads):
    """Helpers wait for the next call of anyone: work is neither lost nor done twice."""
    done = subprocess.run(
        [sys.executable, "-c", SHARED, os.path.dirname(__file__)],
        env={**os.environ, "NPROC": str(threads)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[11, 11, 11, 11]\n"


def test_no_code_is_kept_unless_asked_for(tmp_path):
    assert jax.config.jax_compilation_cache_dir is None
    _objects.keep("key", b"code")
    assert _objects.load("key") is None


def first_model(x):
    return jnp.exp(x)


def test_each_step_that_was_compiled_has_a_line():
    for size in (5, 6):
        map_neurons(first_model, (), jnp.ones(size, jnp.float32))
    lines = [native_steps()[f"first_model, {size} neurons"] for size in (5, 6)]
    assert lines[0].startswith("native, kernel ")
    assert lines[0] == lines[1]  # one kernel
    with jax.enable_x64(True):
        map_neurons(first_model, (), jnp.ones(5, jnp.float64))
    assert native_steps()["first_model, 5 neurons"].count("native, kernel ") == 2
