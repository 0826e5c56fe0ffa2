# SPDX-License-Identifier: MIT
"""The program. Scripts ask for its version often, and that needs none of what follows."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `autotune` command; exits."""
    if sys.argv[1:] == ["--version"]:
        from autotune import __version__

        print(f"autotune {__version__}")
        return
    from autotune import cli

    cli.main()


if __name__ == "__main__":
    main()
