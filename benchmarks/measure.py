"""Measures contenders: each in a process on its cores, in turns, so that drift meets all alike."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent


class Contender(NamedTuple):
    """Something that does the work of a row."""

    name: str
    call: str  # "module:function", as of worker.py
    arguments: dict[str, Any]
    threads: int = 1
    interpreter: str = "own"  # or "oracles", "peers": see INTERPRETERS of run.py
    platform: str = "cpu"
    patience: float = 900.0  # seconds that preparing or a round may take

    @property
    def title(self) -> str:
        """Name and threads, which tell the contenders of a row apart."""
        return f"{self.name}, {self.threads} thread{'s' * (self.threads > 1)}"


class Process:
    """A contender at work; use as a context. A failure is kept in `error`, and is no exception."""

    process: Any = None

    def __init__(self, contender: Contender, python: str | None):
        self.contender, self.python = contender, python
        self.facts: dict[str, Any] = {}
        self.rounds: list[dict[str, Any]] = []
        self.error = ""

    def __enter__(self):
        if self.python is None:
            self.error = f"not measured: no environment '{self.contender.interpreter}'"
            return self
        command = [self.python, "worker.py", str(self.contender.threads), self.contender.call]
        self.said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            [*command, json.dumps(self.contender.arguments)],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            env=environment(self.contender),
        )
        self.facts = self._answer()
        return self

    def __exit__(self, *_):
        if self.process is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
            self.said.close()

    def round(self) -> None:
        """Let it do the work once."""
        if self.error:
            return
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        answer = self._answer()
        if not self.error:
            self.rounds.append(answer)

    def _answer(self) -> dict[str, Any]:
        patience = self.contender.patience
        ran_out = threading.Event()
        timer = threading.Timer(patience, lambda: (ran_out.set(), self.process.kill()))
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if line:
            return json.loads(line)
        status = self.process.wait()
        self.said.seek(0)
        last = next((x.strip() for x in reversed(self.said.readlines()) if x.strip()), "")
        why = f"more than {patience:g} s" if ran_out.is_set() else f"status {status}: {last}"
        self.error = f"failed ({why})"
        return {}

    def result(self) -> dict[str, Any]:
        """What was measured, as JSON."""
        held = {"title": self.contender.title, "name": self.contender.name}
        held |= {"threads": self.contender.threads, "error": self.error}
        return held | {"facts": self.facts, "rounds": self.rounds}


def environment(contender: Contender) -> dict[str, str]:
    """The variables of its process: no cache of compilations, nothing of another interpreter's."""
    others = "PYTHON" if contender.interpreter != "own" else "PYTHONSAFEPATH"
    dropped = ("JAX_", "XLA_", "OMP_", others)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    if contender.platform == "cpu":
        kept["JAX_PLATFORMS"] = "cpu"
    return kept | {"OMP_NUM_THREADS": str(contender.threads)}


def measure(
    contenders: Sequence[Contender],
    rounds: int,
    interpreters: Mapping[str, str | None],
    *,
    together: bool = True,
) -> list[dict[str, Any]]:
    """Measure `contenders`.

    **Arguments:**

    - `contenders`: who.
    - `rounds`: how often each does the work.
    - `interpreters`: name to the Python that has what a contender needs; `None` if there is none.
    - `together`: whether all are prepared first and then take turns (A B C A B C), or, where memory
      holds but one, each is measured by itself.

    **Returns:**

    A result for each, in order: `name`, `threads`, `facts`, `rounds`, `error`.
    """
    results = []
    for group in [contenders] if together else [[c] for c in contenders]:
        with contextlib.ExitStack() as stack:
            running = []
            for contender in group:
                print(f"  preparing {contender.title}", file=sys.stderr, flush=True)
                python = interpreters[contender.interpreter]
                running.append(stack.enter_context(Process(contender, python)))
            for _ in range(rounds):
                for process in running:
                    process.round()
        results += [p.result() for p in running]
    for result in results:
        if result["error"]:
            print(f"  {result['title']}: {result['error']}", file=sys.stderr, flush=True)
    return results
