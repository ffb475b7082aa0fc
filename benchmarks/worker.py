"""One contender in a process of its own, so that it has its cores, its memory and its interpreter.

    python worker.py THREADS MODULE:FUNCTION ARGUMENTS

`FUNCTION(**ARGUMENTS)`, the arguments being JSON, prepares the work and returns `(facts, run)`.
The facts are printed as a line of JSON. For each line on standard input `run()` does the work once
and what it returns is printed: a mapping with `seconds`. Needs nothing but Python, because peers
run it in environments of their own.
"""

import importlib
import json
import os
import resource
import sys


def peak_mb() -> float:
    """The most memory that this process, or a child that has ended, held at a time."""
    used = (
        resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return max(used) / (1e6 if sys.platform == "darwin" else 1e3)


def confine(threads: int) -> None:
    """Let this process use the last `threads` of the cores it may use, if the system can say so.

    XLA, NumPy, Brian2 and NEST size their pools by that: what has one core has one thread.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def main() -> None:
    """Confine this process, prepare, then run once for each line."""
    threads, call, arguments = sys.argv[1:]
    confine(int(threads))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what others print, in C or in Python, is no answer
    module, _, function = call.partition(":")
    facts, run = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    print(json.dumps(facts), file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps({**run(), "peak_mb": peak_mb()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
