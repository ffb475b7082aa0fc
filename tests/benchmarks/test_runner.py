"""The benchmarks say what was measured: targets, agreement of rates, and who is faster."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def modules():
    """The benchmarks are no package; they import each other by name."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def load(name: str):
    return importlib.import_module(name)


def row(**changes):
    rows = load("rows")
    given = {"title": "work", "unit": "µs a step", "per": 1e-6, "contenders": ()}
    return rows.Row(**{**given, **changes})


def result(name: str, threads: int, seconds: list[float], facts=None, **said):
    title = f"{name}, {threads} thread{'s' * (threads > 1)}"
    rounds = [{"seconds": s, "peak_mb": 100.0, **said} for s in seconds]
    held = {"title": title, "name": name, "threads": threads, "error": ""}
    return {**held, "facts": facts or {}, "rounds": rounds}


OURS = result("BrainJAX", 1, [2e-6, 4e-6], rates={"network": 20.0})
BOTH = result("BrainJAX", 2, [1e-6, 3e-6], rates={"network": 20.0})
PEER = result("Peer", 1, [6e-6, 5e-6], rates={"network": 21.0})


@pytest.mark.parametrize("threads, faster", [(1, 1.0e-6), (2, 0.5e-6)])
def test_says_where_a_peer_is_faster(threads, faster):
    """Compared with the library on as many threads."""
    report = load("report")
    quick = result("Quick", threads, [faster])
    (said,) = report.faster(row(), [OURS, BOTH, PEER, quick])
    alike = "1 thread" if threads == 1 else "2 threads"
    assert said == f"**Quick, {alike} is 2 times faster than BrainJAX, {alike}.**"
    assert report.verdicts(row(), [OURS, BOTH, PEER]) == ["No peer is faster."]


@pytest.mark.parametrize(
    "must, aim, words",
    [(3.0, 1.0, "reached"), (3.0, 2.0, "aim reached"), (1.0, None, r"\*\*missed: 2 x\*\*")],
)
def test_a_time_against_its_target(must, aim, words):
    target = load("rows").Target(OURS["title"], "time", must, aim)
    value, said = load("report").outcome(row(), target, [OURS, PEER])
    assert value == pytest.approx(2.0)
    assert re.fullmatch(words, said)


@pytest.mark.parametrize("must, words", [(2.0, "reached"), (5.0, r"\*\*missed: 2 x\*\*")])
def test_a_speedup_against_its_target(must, words):
    target = load("rows").Target(OURS["title"], "speedup", must, 10.0, PEER["title"])
    value, said = load("report").outcome(row(), target, [OURS, PEER])
    assert value == pytest.approx(2.5)
    assert re.fullmatch(words, said)


def test_other_rates_are_not_compared():
    """Neither a ratio nor a verdict comes of networks that spike differently."""
    report, rows = load("report"), load("rows")
    other = result("Peer", 1, [1e-6], rates={"network": 40.0})
    work = row(
        tolerance=0.2, targets=(rows.Target(OURS["title"], "speedup", 2, 3, "Peer, 1 thread"),)
    )
    assert report.disagreements(work, [OURS, PEER]) == []
    assert report.disagreements(work, [OURS, other]) == [
        "Peer, 1 thread: network 40 Hz instead of 20"
    ]
    assert "ratio" not in report.table(work, [OURS, other])
    assert "ratio" in report.table(work, [OURS, PEER])
    assert report.faster(work, [OURS, other]) == []
    assert report.outcome(work, work.targets[0], [OURS, other]) is None
    assert "not compared" in " ".join(report.verdicts(work, [OURS, other]))
    assert report.disagreements(row(tolerance=0.2, band=(25.0, 30.0)), [OURS])
    assert report.disagreements(row(tolerance=0.2, reference={"network": 30.0}), [OURS])


def test_a_failure_is_named_and_measures_nothing():
    report = load("report")
    failed = {**PEER, "rounds": [], "error": "failed (status 1: no such thing)"}
    assert "no such thing" in report.table(row(), [OURS, failed])
    assert report.verdicts(row(), [OURS, failed]) == [f"**{PEER['title']}: {failed['error']}.**"]


def test_scaling_and_summary():
    report, rows = load("report"), load("rows")
    work = row(targets=(rows.Target(OURS["title"], "time", 3.0, 1.0),))
    held = {"work": (work, [OURS, BOTH, PEER])}
    assert "2.00" in report.scaling(held).splitlines()[-1]
    last = [cell.strip() for cell in report.summary(held).splitlines()[-1].split("|")]
    assert last[1:-1] == ["work", "1 thread", "2", "µs a step"] + [
        "Peer, 1 thread: 5 µs a step", "3", "1", "reached"
    ]  # fmt: skip


def test_the_parts_of_a_profile_add_up():
    report = load("report")
    parts = {"recorded": 10e-6, "whole": 8e-6, "unconnected": 5e-6, "undriven": 3e-6, "bare": 1e-6}
    limit = {"bytes": 1000.0, "bandwidth": 1e9, "operations": 4e3, "peak": 2e9, "events": 7.0}
    names = ("deliver", "populations", "stimuli", "recorders")
    held = result("BrainJAX", 1, [10e-6], {"limits": dict.fromkeys(names, limit)}, parts=parts)
    cells = {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]]
        for line in report.profile_table(row(), held).splitlines()
        if line.startswith("|")
    }
    assert [float(cells[n][0]) for n in (*names, "loop and calls")] == [3, 2, 2, 2, 1]
    assert cells["deliver"][1:] == ["30 %", "1", "1", "4000", "1", "2", "1.5"]


def test_every_contender_exists_and_takes_its_arguments():
    rows = load("rows")
    for name, make in rows.ROWS.items():
        for quick in (False, True):
            for contender in make(quick).contenders:
                module, _, function = contender.call.partition(":")
                names = arguments_of(module, function)
                assert names == set(contender.arguments) | (names - required(module, function)), (
                    name
                )


def definition(module: str, function: str) -> ast.FunctionDef:
    """Read, not imported: peers are in environments of their own."""
    tree = ast.parse((FOLDER / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    (found,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function]
    return found


def arguments_of(module: str, function: str) -> set[str]:
    return {a.arg for a in definition(module, function).args.args}


def required(module: str, function: str) -> set[str]:
    held = definition(module, function).args
    return {a.arg for a in held.args[: len(held.args) - len(held.defaults)]}


def test_targets_name_contenders_of_their_row():
    for make in load("rows").ROWS.values():
        work = make(False)
        titles = {c.title for c in work.contenders}
        assert {t.of for t in work.targets} | {t.against for t in work.targets} <= titles | {""}


def test_a_contender_that_breaks_is_reported(tmp_path, monkeypatch):
    measure = load("measure")
    (tmp_path / "broken.py").write_text("def work(how):\n    raise ValueError(f'broke {how}')\n")
    (tmp_path / "fine.py").write_text(
        "import os\ndef work(x):\n    print('noise')\n"
        "    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1\n"
        "    return {'cores': cores}, lambda: {'seconds': x}\n"
    )
    (tmp_path / "worker.py").write_text((FOLDER / "worker.py").read_text())
    monkeypatch.setattr(measure, "FOLDER", tmp_path)
    contenders = [
        measure.Contender("fine", "fine:work", {"x": 2.0}),
        measure.Contender("broken", "broken:work", {"how": "badly"}),
        measure.Contender("absent", "fine:work", {"x": 1.0}, interpreter="peers"),
    ]
    fine, broken, absent = measure.measure(contenders, 2, {"own": sys.executable, "peers": None})
    assert fine["error"] == "" and [r["seconds"] for r in fine["rounds"]] == [2.0, 2.0]
    assert fine["facts"] == {"cores": 1} and fine["rounds"][0]["peak_mb"] > 1
    assert broken["error"] == "failed (status 1: ValueError: broke badly)"
    assert broken["rounds"] == [] and "no environment" in absent["error"]


def run_quick(*names: str) -> str:
    command = [sys.executable, str(FOLDER / "run.py"), "--quick", "--rows", *names]
    # The runner finds its parts beside itself.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_row_runs():
    text = run_quick("deliver_8")
    assert "### Deliver, 320 k synapses" in text
    figures = [line.split("|")[5] for line in text.splitlines() if line.startswith("| BrainJAX")]
    assert len(figures) == 2 and all(0 < float(f) < 1e5 for f in figures)


@pytest.mark.slow
def test_every_row_runs():
    names = [n for n, make in load("rows").ROWS.items() if make(True).when == ""]
    assert run_quick(*names).count("\n### ") == len(names) - 1


def test_the_page_is_written_between_its_marks(tmp_path, monkeypatch):
    """From what was measured before, with its command and the picture."""
    run, rows = load("run"), load("rows")
    points = {axis: [{"value": 1.0, "rate": 1.0}] for axis in load("plots").LABELS}
    cost = result("BrainJAX", 1, [1.0], {"axes": points}, points={axis: [1e-3] for axis in points})
    common = {
        "command": "COMMAND",
        "date": "today",
        "commit": "abc",
        "machine": "here",
        "load": [0.0, 0.0],
    }
    for name, results in (("lif", [OURS, BOTH]), ("cost", [cost])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"results": results, **common}))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{run.BEGIN}\nold\n{run.END}\nafter\n")
    for name, value in (("HELD", tmp_path), ("PAGE", page), ("PICTURE", tmp_path / "cost.png")):
        monkeypatch.setattr(run, name, value)
    assert run.main(["--only-write"]) == 0
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "`COMMAND`, today, commit abc, here" in text and rows.ROWS["lif"](False).title in text
    assert "Not measured:" in text and (tmp_path / "cost.png").stat().st_size > 1000


def test_markdown_aligns():
    table = load("report").markdown([("a", "b"), ("long", "1.5")])
    assert table.splitlines() == ["| a    |   b |", "| ---- | --: |", "| long | 1.5 |"]
