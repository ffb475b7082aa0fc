"""The command line: `brainjax info` says what is installed and which implementation of ops runs."""

import argparse
from collections.abc import Sequence

from . import __version__
from .ops import info


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is returned.

    **Arguments:**

    - `arguments`: what follows the program's name; by default that of the process.
    """
    parser = argparse.ArgumentParser(prog="brainjax", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="versions, devices, implementation of the ops")
    parser.parse_args(arguments)
    for name, value in info().items():
        print(f"{name:15} {value}")
    return 0
