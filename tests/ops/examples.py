"""Networks that no one would write, for the fuzzer: strategies of Hypothesis.

Hypothesis chooses the structure, so that what fails shrinks to few and small projections; numbers
are drawn from a seed that it chooses.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from ops import formats
from ops.formats import Synapses, in_order
from ops.structures import Wiring, narrowed, wire

from brainjax.ops import Connections, Regular
from brainjax.ops._procedural import Procedural

SIZES = (1, 5, 0, 63, 64, 65, 130)
STORED = ("many", "one row", "one target", "one delay", "few", "none")
SPECIAL = (0.0, -0.0, np.nan, np.inf, -np.inf, 1.0)


class Example(NamedTuple):
    """A network, what goes on in it, and how it is run."""

    wiring: Wiring
    listed: tuple[Synapses, ...]  # per projection
    spikes: tuple[np.ndarray, ...]  # per population: examples of (steps, size)
    weights: tuple[np.ndarray, ...]  # per projection: examples of () or (weights,)
    batched: tuple[bool, bool]  # whether spikes, weights have an example each, or share the first
    start: int
    threads: bool

    def __repr__(self) -> str:
        """What one wants to know of an example that failed; its arrays are long."""
        sizes, layout, rows, *_ = self.wiring
        of = zip(layout.sources, rows, self.weights, strict=True)
        projections = [
            f"{type(r).__name__}{r.numbers} from {p}, {r.num_synapses} synapses, "
            f"{'a weight each' if w.ndim > 1 else 'one weight'}"
            for p, r, w in of
        ]
        return (
            f"Example(sizes={sizes}, {layout._replace(formats=None)}, {projections}, spikes of "
            f"{[x.shape for x in self.spikes]}, batched={self.batched}, start={self.start}, "
            f"threads={self.threads})"
        )

    def each(self, weights):
        """What each synapse weighs, per projection, given the operands of one example."""
        return tuple(made.weights(w) for made, w in zip(self.listed, weights, strict=True))


@st.composite
def examples(draw, dtype: type, special: bool) -> Example:
    """Networks of any shape, whose factors are of `dtype`; `special` values, or ordinary ones."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.sampled_from(SIZES), min_size=1, max_size=3))
    num_slots, width = draw(st.integers(1, 9)), draw(st.sampled_from([1, 4, 40]))
    num_ports = draw(st.integers(1, 2))
    drawn, ports, others = [], [], {}
    for j in range(draw(st.integers(1, 6))):
        source, port = draw(st.integers(0, len(sizes) - 1)), draw(st.integers(0, num_ports - 1))
        size, delay, origin = sizes[source], draw(st.integers(1, num_slots)), port * width
        kind = draw(st.sampled_from([*STORED, *(_NOT_STORED if size else ())]))
        if kind in STORED:
            pre, post, delays = _stored(rng, kind, size, width, num_slots)
            one = draw(st.booleans())
            drawn.append((source, pre, post + origin, delays, 1.0 if one else np.ones(pre.size)))
        else:
            others[j] = _NOT_STORED[kind](draw, rng, size, width, delay, origin)
            made = formats.synapses(others[j], dtype)
            drawn.append((source, *made[:3], 1.0))
            one = others[j].by_row or draw(st.booleans())
            others[j] = others[j], made, np.ones(() if one else others[j].num_weights)
        ports.append(port)
    sizes = sizes[: 1 + max(d[0] for d in drawn)]
    wiring = wire(sizes, width * num_ports, drawn, num_slots)
    if draw(st.booleans()):
        wiring = narrowed(wiring, [port * width for port in ports])
    if draw(st.booleans()):
        layout = wiring.layout._replace(ports=tuple(ports), sizes=(width,) * num_ports)
        wiring = wiring._replace(layout=layout)
    listed = [in_order(*s) for s in wiring.synapses]
    stored = zip(wiring.rows, listed, wiring.weights, strict=True)
    kept = [others.get(j, given) for j, given in enumerate(stored)]
    rows, listed, weights = map(tuple, zip(*kept, strict=True))
    steps, number = draw(st.integers(1, 12)), draw(st.integers(1, 3))

    def contents(shape, silence):
        values = rng.normal(size=(number, *shape))
        values[rng.random(values.shape) < silence] = 0
        strange = rng.random(values.shape) < (0.03 if special else 0)
        return np.where(strange, rng.choice(SPECIAL, values.shape), values).astype(np.float32)

    return Example(
        wiring._replace(rows=rows),
        listed,
        tuple(contents((steps, n), draw(st.sampled_from([0.7, 0.0, 0.97]))) for n in sizes),
        tuple(contents(np.shape(w), 0) for w in weights),
        (draw(st.booleans()), draw(st.booleans())),
        draw(st.sampled_from([0, 1, 8, 2**20 + 3])),
        draw(st.booleans()),
    )


def _stored(rng, kind, size, width, num_slots):
    """`(pre, post, delay)` of synapses in any order, pairs repeated."""
    count = {"none": 0, "few": 3}.get(kind, 200) if size else 0
    pre, post = rng.integers(0, max(size, 1), count), rng.integers(0, width, count)
    delay = rng.integers(1, num_slots + 1, count)
    if kind in ("one row", "one target", "one delay") and count:
        held = {"one row": pre, "one target": post, "one delay": delay}[kind]
        held[:] = held[0]
    return pre, post, delay


# ---- what is not stored: connections that end in `width` accumulators from `origin` on -----------


def _regular(draw, rng, size, width, delay, origin) -> Connections:
    fan_out = draw(st.integers(0, width))
    stride = draw(st.integers(0, (width - fan_out) // (size - 1) if size > 1 else 3))
    return Regular(jnp.int32(delay), jnp.int32(origin), size, fan_out, stride)


def _fixed_fan_out(draw, rng, size, width, delay, origin) -> Connections:
    target = rng.integers(0, width, (size, draw(st.integers(0, 9))))
    if draw(st.booleans()):
        return formats.fixed_fan_out(*target.shape, target, delay, origin, jnp.uint16)
    return formats.fixed_fan_out(*target.shape, origin + target, delay)


def _convolution(draw, rng, size, width, delay, origin) -> Connections:
    """Of grids of all proportions; what of the outputs there is room for."""
    divisors = [n for n in range(1, size + 1) if size % n == 0]
    channels = draw(st.sampled_from([n for n in divisors if n <= 5]))
    height = draw(st.sampled_from([n for n in divisors if size // channels % n == 0]))
    shape = height, size // channels // height, channels
    pair, out = st.integers(1, 3), draw(st.integers(1, min(3, width)))
    kernel = draw(pair), draw(pair), channels, out
    strides, padding = (draw(pair), draw(pair)), (draw(pair) - 1, draw(pair) - 1)
    return formats.conv(strides, padding, delay, shape, kernel, origin, room=width)


def _procedural(draw, rng, size, width, delay, origin) -> Connections:
    kind = draw(st.sampled_from(["with_replacement", "without_replacement", "in_degree"]))
    num_post, hollow = draw(st.sampled_from([1, 7, 64, 1000])), draw(st.booleans())
    hollow = hollow and kind != "in_degree" and num_post > 1
    most = min(20, num_post - hollow) if kind == "without_replacement" else 20
    lengths = rng.integers(0, most + 1, size)
    degree = -(-int(lengths.sum()) // num_post) if kind == "in_degree" else 0
    shape = Procedural(kind, size, num_post, int(lengths.max()), hollow, max(degree, 0))
    return _window(draw, rng, shape, lengths, lengths, width, delay, origin)


def _on_grid(draw, rng, size, width, delay, origin) -> Connections:
    ny = draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
    grid = ny, size // ny
    reach = tuple(draw(st.integers(0, min(2, (n - 1) // 2))) for n in grid)
    positions = (2 * reach[0] + 1) * (2 * reach[1] + 1)
    how = {"hollow": draw(st.booleans()), "periodic": draw(st.booleans())}
    shape = Procedural("distance", size, size, positions, grid=grid, reach=reach, **how)
    where = rng.integers(0, 2**31 + 1, positions, dtype=np.uint32)
    return _window(draw, rng, shape, where, [positions] * size, width, delay, origin)


def _window(draw, rng, shape, where, places, width, delay, origin):
    """Rows of which as many targets are held as there is room for; maybe delays of their own."""
    if draw(st.booleans()):
        delay = [sorted(rng.integers(1, delay + 1, n).tolist()) for n in places]
    first = draw(st.integers(0, shape.num_post - 1))
    count = draw(st.integers(0, min(width, shape.num_post - first)))
    words = rng.integers(0, 2**32, 2, dtype=np.uint32)
    how = {"varied": draw(st.booleans()), "origin": origin, "words": words}
    return formats.procedural(shape, where, delay, first, count, **how)


_NOT_STORED = {
    "regular": _regular,
    "fixed fan-out": _fixed_fan_out,
    "convolution": _convolution,
    "procedural": _procedural,
    "distance": _on_grid,
}
