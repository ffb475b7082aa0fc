"""The command line: run, check and list networks that configs describe.

Exit codes: 0 done; 1 a run that failed or was interrupted (what it had recorded is kept); 2 misuse.
"""

import argparse
import contextlib
import json
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from . import __version__, experiments
from .experiments import ConfigError
from .experiments._catalogue import first_line
from .experiments._config import changes_of
from .experiments._folder import check_partners, folder_for
from .experiments._reproduce import HEADING, row
from .ops import info


def main(arguments: Sequence[str] | None = None, *, models: Sequence[Any] = ()) -> int:
    """Run the command line; the exit code is returned.

    **Arguments:**

    - `arguments`: what follows the program's name; by default that of the process.
    - `models`: models of your own that configs may name: a script of yours that ends in
      `sys.exit(main(models=[MyNeuron]))` is `brainjax` with your neuron.
    """
    program = "brainjax" if arguments is not None else Path(sys.argv[0]).name
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(arguments)
    options.models, options.command_line = models, shlex.join([program, *arguments])
    command: Callable[[argparse.Namespace], int] = options.call
    try:
        return command(options)
    except ConfigError as error:
        print(f"brainjax {options.command}: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, FloatingPointError, MemoryError) as error:
        reason = str(error) or "out of memory"
        print(f"brainjax {options.command}: {reason}\nNothing was kept.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"brainjax {options.command}: interrupted; nothing was kept", file=sys.stderr)
        return 1
    except BrokenPipeError:  # as of `brainjax list | head`
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="brainjax", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(call: Callable[[argparse.Namespace], int], name: str, text: str):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(call=call)
        return sub

    def config(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("config", help="a TOML file, or the name of a config: see brainjax list")
        sub.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="change a key of the config, as --set network.populations.exc.size=100",
        )

    run = command(_run, "run", "run a network from a config, and write a run folder")
    config(run)
    run.add_argument("--out", metavar="DIR", help="the run folder (default: runs/NAME-TIME)")
    run.add_argument("--json", action="store_true", help="print summary.json alone on stdout")
    run.add_argument("--quiet", action="store_true", help="print errors only")
    many = command(_reproduce, "reproduce", "run published networks over seeds, and compare")
    many.add_argument("configs", nargs="+", metavar="config")
    many.add_argument("--seeds", type=int, default=10, help="how many (default 10)")
    config(command(_validate, "validate", "check a config without running it"))
    command(_list, "list", "list the configs and the models that configs may name")
    describe = command(_describe, "describe", "what a model is, and its keys in a config")
    describe.add_argument("model")
    command(_info, "info", "versions, devices, implementation of each op")
    return parser


def _load(options: argparse.Namespace) -> experiments.Experiment:
    changes = changes_of(options.set)
    return experiments.load(options.config, changes, models=options.models)


def _run(options: argparse.Namespace) -> int:
    experiment = _load(options)
    check_partners()
    folder = folder_for(experiment.name, options.out)
    experiment.check()
    loud = not (options.json or options.quiet)
    if loud:
        print(_header(experiment))
        print(experiment.summary(), flush=True)
    with _terminated_as_interrupted():
        outcome = experiments.run(experiment, progress=not options.quiet)
    summary = experiments.summary_of(outcome)
    if loud:
        print(experiments.report(outcome, summary))
    if options.json:
        print(json.dumps(summary, indent=2, allow_nan=False), flush=True)
    if isinstance(outcome.error, KeyboardInterrupt):
        print(f"brainjax run: interrupted after {outcome.recorded:g} ms", file=sys.stderr)
    elif outcome.error is not None:
        print(f"brainjax run: {outcome.error}", file=sys.stderr)
    if not outcome.recorded:
        print("Nothing was recorded: the run ended in the warm-up.", file=sys.stderr)
        return 1
    try:
        experiments.write_run(folder, outcome, summary, options.command_line)
    except OSError as error:
        print(f"brainjax run: {folder} could not be written: {error}", file=sys.stderr)
        print(
            "Nothing is left of it. The same config and seed give the same bits again: make room, "
            "or choose another --out.",
            file=sys.stderr,
        )
        return 1
    if loud or outcome.error is not None:
        kept = "wrote" if outcome.error is None else f"kept {outcome.recorded:g} ms in"
        print(f"{kept} {folder}", file=sys.stdout if loud else sys.stderr)
    return 0 if outcome.error is None else 1


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, by which clusters announce the end of a job, is taken for Ctrl-C meanwhile."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if here else None
    try:
        yield
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)


def _header(experiment: experiments.Experiment) -> str:
    about = info()
    ops = about["ops"] if experiment.impl == "auto" else experiment.impl
    text = f"BrainJAX {about['version']}, ops: {ops}, on {about['devices']} (jax {about['jax']})"
    title = experiment.config["title"]
    return f"{text}\n{title}" if title else text


def _reproduce(options: argparse.Namespace) -> int:
    if options.seeds < 1:
        raise ConfigError(f"--seeds: got {options.seeds}, expected at least 1.")
    agrees = True
    findings = experiments.reproduce(
        options.configs, seeds=options.seeds, models=options.models, progress=True
    )
    for number, finding in enumerate(findings):
        if number == 0:
            print(HEADING)
        print(row(finding), flush=True)
        agrees = agrees and finding.agrees is not False
    return 0 if agrees else 1


def _validate(options: argparse.Namespace) -> int:
    experiment = _load(options)
    experiment.check()
    print(experiment.summary())
    print(f"\n{options.config} is valid")
    return 0


def _list(options: argparse.Namespace) -> int:
    print("configs")
    for name, title in experiments.titles().items():
        print(f"  {name:24} {title}")
    for kind, entries in experiments.registry(options.models).items():
        print(f"\n{kind}")
        for name, entry in entries.items():
            print(f"  {name:24} {first_line(entry)}")
    return 0


def _describe(options: argparse.Namespace) -> int:
    print(experiments.describe(options.model, models=options.models))
    return 0


def _info(options: argparse.Namespace) -> int:
    del options
    for name, value in info().items():
        print(f"{name:24} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
