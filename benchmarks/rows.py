"""The rows of the benchmark, as data: who does which work, and what must come out."""

import tomllib
from collections.abc import Callable
from typing import Any, NamedTuple

from measure import FOLDER, Contender


class Target(NamedTuple):
    """What one figure of a row is to be."""

    of: str  # title of the contender
    measure: str  # "time", "build_s", "peak_gb", "temp_mb"; "speedup" and "overhead" over `against`
    must: float
    aim: float | None = None
    against: str = ""


class Row(NamedTuple):
    """One piece of work and who does it; the first contender is what ratios refer to."""

    title: str
    unit: str
    per: float  # a figure is seconds of a round over this
    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...] = ()
    band: tuple[float, float] | None = None  # Hz, where the network's rate must be
    tolerance: float = 0.0  # of rates between contenders; 0 if there are none to compare
    reference: dict[str, float] | None = None  # published rates, Hz, by population
    note: str = ""
    rounds: int = 7
    together: bool = True
    when: str = ""  # "full": asked for with --full; "gpu": where one is
    kind: str = "table"  # or "profile", "cost"


ONE, TWO = "BrainJAX, 1 thread", "BrainJAX, 2 threads"


def both(call: str, arguments: dict[str, Any], name: str = "BrainJAX") -> list[Contender]:
    """One contender on one thread and on two."""
    return [Contender(name, call, arguments, threads) for threads in (1, 2)]


def published(config: str) -> dict[str, float]:
    """The published rates of a config, Hz, by population."""
    config = tomllib.loads((FOLDER.parent / "configs" / f"{config}.toml").read_text())
    return {name: e["rate_hz"]["published"] for name, e in config["expected"].items()}


def spaced(number: int) -> str:
    """A number with its thousands apart."""
    return f"{number:,}".replace(",", " ") if number >= 10_000 else str(number)


def microcircuit(config: str, drive: str, quick: bool, targets=(), when: str = "") -> Row:
    """The cortical microcircuit beside NEST; one at a time, because NEST takes 15 GB."""
    warmup, ms = (5.0, 10.0) if quick else (100.0, 200.0)
    full = config == "pd14"
    ours = {"config": config, "drive": drive, "warmup": warmup, "ms": ms}
    nest = {"scale": 1.0 if full else 0.1, "drive": drive, "threads": 2, "warmup": warmup, "ms": ms}
    call = "peers.nest_microcircuit:simulate"
    peers = [Contender("NEST", call, nest, 2, "oracles", patience=1800)]
    if not full:
        peers.append(peers[0]._replace(arguments={**nest, "threads": 1}, threads=1))
    size = (
        "full scale, 77 169 neurons, 299 M synapses"
        if full
        else "a tenth, 7717 neurons, 3 M synapses"
    )
    return Row(
        title=f"Microcircuit, {size}, {'Poisson' if drive == 'poisson' else 'DC'} drive",
        unit="x real time",
        per=ms / 1000,
        contenders=(*reversed(both("ours.microcircuit:simulate", ours)), *peers),
        targets=targets,
        tolerance=0.25,
        reference=published(config) if drive == "poisson" else None,
        note=f"All spikes recorded; {warmup:g} ms discarded, rounds of {ms:g} ms.",
        rounds=3,
        together=not full,
        when=when,
    )


def coba(size: int, ms: float, must: float, aim: float, quick: bool, peers=()) -> Row:
    """COBA beside Brian2 and others."""
    size, ms = (min(size, 4000), 20.0) if quick else (size, ms)
    work, both_cores = {"size": size, "ms": ms}, {"size": size, "ms": ms, "threads": 2}
    brian2 = "peers.brian2_coba:simulate"
    known = {
        "BrainPy": Contender("BrainPy", "peers.brainpy_coba:simulate", work, 2, "peers"),
        "NEST": Contender("NEST", "peers.nest_coba:simulate", both_cores, 2, "oracles"),
    }
    note = (
        "Every neuron's spikes counted. Brian2 in C++ standalone mode, with OpenMP on two threads."
    )
    if "BrainPy" not in peers:
        note += " BrainPy builds too long to be measured at this size."
    if "NEST" in peers:
        note += " NEST's conductance neuron has an adaptive integrator, which makes it slow."
    return Row(
        title=f"COBA, {spaced(size)} neurons, 80 synapses each",
        unit="x real time",
        per=ms / 1000,
        contenders=(
            *both("ours.coba:simulate", work),
            Contender("Brian2", brian2, {**work, "threads": 1}, 1, "oracles"),
            Contender("Brian2", brian2, both_cores, 2, "oracles"),
            *(known[name] for name in peers),
        ),
        targets=(
            Target(TWO, "speedup", must, aim, "Brian2, 1 thread"),
            Target(ONE, "speedup", must, aim, "Brian2, 1 thread"),
        ),
        band=(17.0, 26.0) if ms >= 1000 else None,
        tolerance=0.3 if ms >= 100 else 1.0,
        note=note,
        rounds=3 if size > 100_000 else 7,
    )


def frame(size: int, quick: bool) -> Row:
    """What describing a network costs, beside a scan written for it."""
    work = {"size": min(size, 4000) if quick else size, "ms": 20.0 if quick else 1000.0}
    hand = "hand-written scan, 1 thread"
    return Row(
        title=f"COBA, {spaced(size)} neurons, beside a scan written for it",
        unit="x real time",
        per=work["ms"] / 1000,
        contenders=(
            Contender("hand-written scan", "ours.coba:by_hand", work),
            Contender("BrainJAX simulate", "ours.coba:simulate", {**work, "counted": False}),
            Contender("BrainJAX rollout", "ours.coba:rollout", work),
        ),
        targets=(
            Target("BrainJAX simulate, 1 thread", "overhead", 1.10, 1.0, hand),
            Target("BrainJAX rollout, 1 thread", "overhead", 1.10, 1.0, hand),
        ),
        tolerance=0.3 if not quick else 1.0,
        note="One `lax.scan`, one array per variable (`benchmarks/handwritten.py`); it delivers "
        "with the library's op, so this is what the frame costs. Nothing recorded.",
    )


def lif(quick: bool) -> Row:
    """Neurons alone."""
    steps = 50 if quick else 2000
    work = {"size": 65_536, "steps": steps}
    return Row(
        title="A step of 65 536 LIF neurons with conductances",
        unit="µs a step",
        per=steps * 1e-6,
        contenders=(
            *both("ours.neurons:lif", work),
            *both("ours.neurons:lif", {**work, "impl": "jax"}, 'XLA (impl="jax")'),
        ),
        targets=(Target(ONE, "time", 45, 30), Target(TWO, "time", 28, 18)),
        note="No connections, nothing recorded.",
        rounds=15,
    )


def hundred(quick: bool) -> Row:
    """A network so small that calls are what it costs."""
    ms = 20.0 if quick else 1000.0
    work = {"size": 100, "ms": ms}
    brian2 = Contender("Brian2", "peers.brian2_coba:simulate", {**work, "threads": 1}, 1, "oracles")
    return Row(
        title="A network of 100 neurons (COBA, 80 synapses each), all in",
        unit="µs a step",
        per=ms / 0.1 * 1e-6,
        contenders=(Contender("BrainJAX", "ours.coba:simulate", work), brian2),
        targets=(Target(ONE, "time", 3, 1),),
        note="Spikes counted; the time of the whole call of `simulate`. Rates of so small a "
        "network depend on its connections and are not compared.",
        rounds=15,
    )


def deliver(spikes: int, quick: bool) -> Row:
    """Delivery alone."""
    steps = 200 if quick else 5000
    work = {"size": 4000, "out_degree": 80, "spikes": spikes, "steps": steps}
    ours = "ours.delivery:deliver"
    brainevent = Contender("brainevent", "peers.brainevent_deliver:deliver", work, 1, "peers")
    eight = (Target("BrainJAX (history), 1 thread", "time", 2.5, 1.5),)
    return Row(
        title=f"Deliver, 320 k synapses (4000 x 80), {spikes} spikes a step",
        unit="µs a step",
        per=steps * 1e-6,
        contenders=(
            Contender("BrainJAX (history)", ours, {**work, "form": "history"}),
            Contender("BrainJAX (ring)", ours, {**work, "form": "ring"}),
            brainevent,
        ),
        targets=eight if spikes == 8 else (),
        note="All read who spikes from an array; a history is what `simulate` keeps, a ring is "
        "what can be differentiated. brainevent: `BinaryArray @ CSR`.",
        rounds=15,
    )


def gradient(quick: bool) -> Row:
    """The derivative of a run."""
    work = {"size": 4000, "steps": 20 if quick else 500}
    ours = "ours.gradient:by_weights"
    cases = [(s, c) for s in ("fast sigmoid", "compact") for c in (True, False)]
    named = {
        f"BrainJAX, {s}, states {'recomputed' if c else 'kept'}": {
            **work,
            "surrogate": s,
            "checkpoint": c,
        }
        for s, c in cases
    }
    xla = {**named["BrainJAX, fast sigmoid, states recomputed"], "impl": "jax"}
    sharp = "BrainJAX, compact, states recomputed, 1 thread"
    wide = "BrainJAX, fast sigmoid, states recomputed, 1 thread"
    return Row(
        title=f"Gradient of {work['steps']} steps by 320 k weights, 4000 neurons (COBA)",
        unit="s",
        per=1.0,
        contenders=(
            *(Contender(name, ours, arguments) for name, arguments in named.items()),
            Contender('XLA (impl="jax"), fast sigmoid, states recomputed', ours, xla),
        ),
        targets=(
            Target(wide, "time", 0.15),
            Target(wide, "temp_mb", 40),
            Target(sharp, "time", 0.15, 0.06),
            Target(sharp, "temp_mb", 40),
        ),
        note="Reverse mode, forward pass included. `compact` is a triangle of 1 mV to each side of "
        "threshold; *active* is the share of (neuron, step) whose surrogate derivative is not "
        "zero.",
    )


def poisson(quick: bool) -> Row:
    """Random input alone."""
    steps = 20 if quick else 300
    work = {"size": 77_169, "rate": 16_000.0, "steps": steps}
    xla = {**work, "steps": max(steps // 10, 1)}
    peer = Contender("jax.random.poisson", "ours.neurons:xla_poisson", {**xla, "repeat": 10})
    return Row(
        title="Poisson input of 77 169 neurons, 1.6 events a step each",
        unit="µs a step",
        per=steps * 1e-6,
        contenders=(*both("ours.neurons:poisson", work), peer, peer._replace(threads=2)),
        targets=(Target(ONE, "time", 60, 30), Target(TWO, "time", 60, 30)),
        note="What the input adds to a step of LIF neurons: with it less without it.",
        rounds=9,
    )


def gpu(quick: bool) -> Row:
    """The microcircuit on a GPU."""
    config, ms = ("pd14_tenth", 10.0) if quick else ("pd14", 200.0)
    work = {"config": config, "drive": "poisson", "warmup": 100.0, "ms": ms}
    one = Contender(
        "BrainJAX", "ours.microcircuit:simulate", work, 1, platform="gpu", patience=1800
    )
    return Row(
        title="Microcircuit on one GPU, Poisson drive",
        unit="x real time",
        per=ms / 1000,
        contenders=(one,),
        targets=(Target(ONE, "time", 1.0, 0.10),),
        reference=published(config),
        tolerance=0.25,
        note="GeNN on an RTX 4090, as published: 0.27 x real time.",
        rounds=3,
        when="gpu",
    )


def profile(title: str, config: str, changes: dict, threads: int, steps: int, quick: bool) -> Row:
    """Where the time of a step goes."""
    steps = 50 if quick else steps
    work = {"config": config, "changes": changes, "steps": steps}
    return Row(
        title=title,
        unit="µs a step",
        per=steps * 1e-6,
        contenders=(Contender("BrainJAX", "ours.profile:step", work, threads),),
        kind="profile",
        when="full" if config == "pd14" else "",
    )


def cost(quick: bool) -> Row:
    """Cost against what a network is made of."""
    work = {"steps": 20 if quick else 1000, "most": 1000 if quick else 300_000}
    return Row(
        title="Cost against neurons, synapses, rate and delay spread",
        unit="µs a step",
        per=work["steps"] * 1e-6,
        contenders=tuple(both("ours.cost:points", work)),
        kind="cost",
        rounds=5,
    )


FULL = (
    Target(TWO, "time", 3.0, 1.5),
    Target(TWO, "peak_gb", 3.5, 2.5),
    Target(TWO, "build_s", 60, 20),
)

# Name, as of --rows, to a function of `quick` that returns the row.
ROWS: dict[str, Callable[[bool], Row]] = {
    "microcircuit": lambda q: microcircuit("pd14", "poisson", q, FULL, "full"),
    "microcircuit_dc": lambda q: microcircuit(
        "pd14", "dc", q, (Target(TWO, "time", 2.5, 1.2),), "full"
    ),
    "microcircuit_tenth": lambda q: microcircuit("pd14_tenth", "poisson", q),
    "microcircuit_gpu": gpu,
    "coba_4000": lambda q: coba(4000, 1000.0, 6, 10, q, ("BrainPy", "NEST")),
    "coba_40000": lambda q: coba(40_000, 1000.0, 8, 15, q, ("BrainPy",)),
    "coba_400000": lambda q: coba(400_000, 200.0, 6, 12, q),
    "frame_4000": lambda q: frame(4000, q),
    "frame_40000": lambda q: frame(40_000, q),
    "lif": lif,
    "hundred": hundred,
    "deliver_0": lambda q: deliver(0, q),
    "deliver_2": lambda q: deliver(2, q),
    "deliver_8": lambda q: deliver(8, q),
    "deliver_80": lambda q: deliver(80, q),
    "gradient": gradient,
    "poisson": poisson,
    "profile_coba_4000": lambda q: profile("COBA, 4000 neurons", "coba", {}, 1, 10_000, q),
    "profile_coba_40000": lambda q: profile(
        "COBA, 40 000 neurons", "coba", {"scale": 10.0}, 1, 2000, q
    ),
    "profile_microcircuit_tenth": lambda q: profile(
        "Microcircuit, a tenth", "pd14_tenth", {}, 2, 2000, q
    ),
    "profile_microcircuit": lambda q: profile("Microcircuit, full", "pd14", {}, 2, 1000, q),
    "cost": cost,
}
