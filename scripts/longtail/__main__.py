# SPDX-License-Identifier: MIT
"""`scripts/batches`: make long-tail batches, and say how to run them."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .batch import KINDS, Batch, Shape, make


def main(argv: Sequence[str] | None = None) -> int:
    """Make the batches that are named and print their commands. Return the exit code."""
    given = _parser().parse_args(argv)
    if not given.names:
        for kind in KINDS.values():
            print(f"{kind.name:24} {kind.summary}")
        return 0
    try:
        shape = Shape(given.jobs, given.long, given.scale, given.shuffle)
        for name in KINDS if given.names == ["all"] else given.names:
            _show(make(name, shape, given.directory))
    except (ValueError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"batches: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/batches", description="Make long-tail batches. Without a name: list them."
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="a batch, or 'all'")
    add_shape(parser)
    parser.add_argument("--directory", type=Path, metavar="DIR", help="where to make them; default: the cache")
    return parser


def add_shape(parser: argparse.ArgumentParser) -> None:
    """Add the options of a batch's shape."""
    usual = Shape()
    parser.add_argument(
        "--jobs", type=int, default=usual.jobs, metavar="N", help="jobs, one of them long (%(default)s)"
    )
    parser.add_argument(
        "--long", type=float, default=usual.long, metavar="X", help="the long one, in short ones (%(default)s)"
    )
    parser.add_argument(
        "--scale", type=float, default=usual.scale, metavar="X", help="length of a short one (%(default)s)"
    )
    parser.add_argument(
        "--shuffle", type=int, metavar="SEED", help="start in a random order; default: the long one last"
    )


def _show(batch: Batch) -> None:
    print(f"{batch.kind.name}: {batch.kind.summary}")
    print(f"  cd {batch.directory}")
    print(f"  autotune cc --prepare '{batch.prepare}' --cleanup '{batch.clean}' '{batch.start}'")


if __name__ == "__main__":
    sys.exit(main())
