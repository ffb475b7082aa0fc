"""What was measured, in words: tables, what came of the targets, where a peer is faster."""

import statistics
from typing import Any

from rows import ONE, TWO, Row, Target

CLOSE = 1.02  # ratios nearer to 1 than this say nothing


def markdown(rows: list[tuple[str, ...]]) -> str:
    """Rows as a Markdown table, the first the heading, all columns but the first to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]
    lines = [
        [row[0].ljust(widths[0]), *(x.rjust(w) for x, w in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [lines[0], rule, *lines[1:]])


def number(x: float) -> str:
    """Three digits, never in powers of ten."""
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"


def figures(row: Row, result: dict[str, Any]) -> list[float]:
    """The figure of each round, in the unit of the row."""
    return [r["seconds"] / row.per for r in result["rounds"]]


def fact(result: dict[str, Any], name: str) -> float | None:
    """A fact of a contender, or the mean of what its rounds say."""
    if name == "peak_gb":
        peaks = [r["peak_mb"] / 1000 for r in result["rounds"]]
        return max(peaks) if peaks else None
    if name in result["facts"]:
        return result["facts"][name]
    said = [r[name] for r in result["rounds"] if name in r]
    return statistics.mean(said) if said else None


def rates(result: dict[str, Any]) -> dict[str, float]:
    """Hz by population, the mean over rounds."""
    said = [r["rates"] for r in result["rounds"] if "rates" in r]
    return {n: statistics.mean(s[n] for s in said) for n in said[0]} if said else {}


def disagreements(row: Row, results: list[dict[str, Any]]) -> list[str]:
    """Where rates differ more than the row allows, so that times must not be compared."""
    if not row.tolerance:
        return []
    found = {r["title"]: rates(r) for r in results if not r["error"]}
    wrong = []
    for title, rate in found.items():
        network = rate["network"]
        if row.band and not row.band[0] <= network <= row.band[1]:
            wrong.append(f"{title}: {network:.3g} Hz, outside {row.band[0]:g} to {row.band[1]:g}")
    base = {**next(iter(found.values()), {}), **(row.reference or {})}
    for title, rate in found.items():
        for name in base.keys() & rate.keys():
            # Few spikes of quiet populations: a third of a Hz is within their spread.
            if abs(rate[name] - base[name]) > row.tolerance * base[name] + 0.3:
                wrong.append(f"{title}: {name} {rate[name]:.3g} Hz instead of {base[name]:.3g}")
    return sorted(wrong)


def table(row: Row, results: list[dict[str, Any]]) -> str:
    """The contenders of a row side by side, rates before times."""
    comparable = not disagreements(row, results)
    head = ["contender", "rate / Hz", "build / s", "compile / s", "peak / GB"]
    head += [f"min / {row.unit}", "median", "spread", "ratio"]
    lines = [tuple(head)]
    base = figures(row, results[0])
    for result in results:
        if result["error"]:
            lines.append((result["title"], *[""] * 7, result["error"]))
            continue
        own, rate = figures(row, result), rates(result).get("network")
        facts = [fact(result, n) for n in ("build_s", "compile_s", "peak_gb")]
        ratio = ""
        if comparable and base and result is not results[0]:
            paired = statistics.median(a / b for a, b in zip(own, base, strict=True))
            ratio = f"{number(min(own) / min(base))} ({number(paired)})"
        lines.append(
            (
                result["title"],
                "" if rate is None else number(rate),
                *("" if f is None else number(f) for f in facts),
                number(min(own)),
                number(statistics.median(own)),
                f"{100 * (max(own) / min(own) - 1):.0f} %",
                ratio,
            )
        )
    # A column that nobody fills is none.
    kept = [i for i in range(len(head)) if i == 0 or any(line[i] for line in lines[1:])]
    return markdown([tuple(line[i] for i in kept) for line in lines])


def details(results: list[dict[str, Any]]) -> list[str]:
    """What contenders say of themselves beside their times."""
    lines = []
    for result in results:
        facts, said = result["facts"], []
        if "temp_mb" in facts:
            said.append(f"{facts['temp_mb']:.3g} MB of temporary memory")
            said.append(f"active {100 * facts['active_share']:.2g} %")
            said.append(f"{100 * facts['nonzero_share']:.2g} % of the gradient is not zero")
            said.append("all of it finite" if facts["finite"] else "**not finite**")
        if said:
            lines.append(f"- {result['title']}: {', '.join(said)}.")
    return lines


def rate_table(row: Row, results: list[dict[str, Any]]) -> str:
    """Rates by population beside what is published, where populations are more than a few."""
    names = list(row.reference or {})
    if not names:
        return ""
    lines = [("rate / Hz", *names), ("published", *(number(row.reference[n]) for n in names))]
    for result in results:
        if found := rates(result):
            lines.append((result["title"], *(number(found[n]) for n in names)))
    return markdown(lines)


def verdicts(row: Row, results: list[dict[str, Any]]) -> list[str]:
    """Sentences: who was not measured, whether rates agree, where a peer is faster."""
    said = [f"**{r['title']}: {r['error']}.**" for r in results if r["error"]]
    if wrong := disagreements(row, results):
        return [*said, f"**Rates do not agree, so times are not compared: {'; '.join(wrong)}.**"]
    if any(map(is_peer, measured(results))):
        said += faster(row, results) or ["No peer is faster."]
    return said


def faster(row: Row, results: list[dict[str, Any]]) -> list[str]:
    """A sentence for each peer that is faster than the library on as many threads."""
    ours = {r["title"]: min(figures(row, r)) for r in measured(results) if is_ours(r)}
    if not ours or disagreements(row, results):
        return []
    said = []
    for peer in filter(is_peer, measured(results)):
        alike = {title for title in ours if title.endswith(threads_of(peer))} or ours.keys()
        best = min(alike, key=lambda title: ours[title])
        ratio = ours[best] / min(figures(row, peer))
        if ratio > CLOSE:
            said.append(f"**{peer['title']} is {number(ratio)} times faster than {best}.**")
    return said


def measured(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of which there are times."""
    return [r for r in results if r["rounds"] and not r["error"]]


def is_ours(result: dict[str, Any]) -> bool:
    """Whether it is the library that works."""
    return result["name"].startswith("BrainJAX")


def is_peer(result: dict[str, Any]) -> bool:
    """Whether it is not."""
    return not is_ours(result)


def threads_of(result: dict[str, Any]) -> str:
    """How a title ends that has the same threads."""
    return result["title"].rpartition(", ")[2]


def outcome(row: Row, target: Target, results: list[dict[str, Any]]) -> tuple[float, str] | None:
    """What came of a target: its figure, and in words how that stands."""
    by_title = {r["title"]: r for r in measured(results)}
    if target.of not in by_title or (target.against and target.against not in by_title):
        return None
    own = by_title[target.of]
    higher_is_better = target.measure == "speedup"
    if target.against:
        if disagreements(row, results):
            return None
        ratio = min(figures(row, own)) / min(figures(row, by_title[target.against]))
        value = 1 / ratio if higher_is_better else ratio
    else:
        value = min(figures(row, own)) if target.measure == "time" else fact(own, target.measure)
    if value is None:
        return None
    short = target.must / value if higher_is_better else value / target.must
    if short > 1:
        return value, f"**missed: {number(short)} x**"
    beyond = target.aim and (value >= target.aim if higher_is_better else value <= target.aim)
    return value, "aim reached" if beyond else "reached"


WORDS = {
    "time": "{unit}",
    "build_s": "s to build",
    "peak_gb": "GB at peak",
    "temp_mb": "MB of temporary memory",
    "speedup": "times faster than {against}",
    "overhead": "of the time of {against}",
}


def summary(held: dict[str, tuple[Row, list[dict[str, Any]]]]) -> str:
    """The table of what must come out: every target of every row that was measured."""
    head = "work|threads, form|measured||fastest peer|must reach|aim|outcome"
    lines = [tuple(head.split("|"))]
    for row, results in held.values():
        peers = [r for r in measured(results) if is_peer(r)]
        best = min(peers, key=lambda r: min(figures(row, r)), default=None)
        peer = f"{best['title']}: {number(min(figures(row, best)))} {row.unit}" if best else ""
        for target in row.targets:
            came = outcome(row, target, results)
            value, words = came if came else (float("nan"), "not measured")
            unit = WORDS[target.measure].format(unit=row.unit, against=target.against)
            aim = number(target.aim) if target.aim else ""
            who = target.of.removeprefix("BrainJAX").strip(", ")
            measured_value = number(value) if came else ""
            lines.append(
                (row.title, who, measured_value, unit, peer, number(target.must), aim, words)
            )
    return markdown(lines)


def scaling(held: dict[str, tuple[Row, list[dict[str, Any]]]]) -> str:
    """Strong scaling: the library's time on one thread over its time on two."""
    lines = [("work", "unit", "1 thread", "2 threads", "1 / 2")]
    for row, results in held.values():
        by_title = {r["title"]: r for r in measured(results)}
        if row.kind == "table" and {ONE, TWO} <= by_title.keys():
            one, two = (min(figures(row, by_title[t])) for t in (ONE, TWO))
            lines.append((row.title, row.unit, number(one), number(two), f"{one / two:.2f}"))
    return markdown(lines) if len(lines) > 1 else ""


def profile_table(row: Row, result: dict[str, Any]) -> str:
    """Where the time of a step goes, and how far each part is from what the machine can do."""
    runs = result["rounds"]
    best = {n: min(r["parts"][n] for r in runs) / row.per for n in runs[0]["parts"]}
    whole = best["recorded"]
    quiet = best.get("undriven", best["unconnected"])  # without stimuli there is but one
    spent = {
        "deliver": best["whole"] - best["unconnected"],
        "populations": quiet - best["bare"],
        "stimuli": best["unconnected"] - quiet,
        "recorders": best["recorded"] - best["whole"],
        "loop and calls": best["bare"],
    }
    head = "part|µs a step|share|kB|GB/s|operations|memory limit / µs|arithmetic limit / µs"
    lines = [(*head.split("|"), "times the limit")]
    for name, us in spent.items():
        if name == "stimuli" and not us:
            continue
        share = f"{100 * us / whole:.0f} %"
        limit = result["facts"]["limits"].get(name)
        if not limit:
            lines.append((name, number(us), share, *[""] * 6))
            continue
        memory = limit["bytes"] / limit["bandwidth"] * 1e6 if limit["bandwidth"] else 0.0
        arithmetic = limit["operations"] / limit["peak"] * 1e6
        bound = max(memory, arithmetic)
        lines.append(
            (
                name,
                number(us),
                share,
                *(number(limit["bytes"] / 1000), number(limit["bandwidth"] / 1e9)),
                *(number(limit["operations"]), number(memory), number(arithmetic)),
                # A part within the noise of what is taken off it has no factor.
                number(us / bound) if bound > 0.01 and us > 0.01 * whole else "",
            )
        )
    lines.append(("whole step", number(whole), "100 %", *[""] * 6))
    events = result["facts"]["limits"]["deliver"]["events"]
    peak = result["facts"]["limits"]["deliver"]["peak"] / 1e9
    about = (
        f"{number(events)} synapses are due in a step; {peak:.0f} GFLOP/s; "
        f"{result['threads']} thread{'s' * (result['threads'] > 1)}."
    )
    return f"{markdown(lines)}\n\n{about}"
