# SPDX-License-Identifier: MIT
"""Writes docs/SCHEDULERS.md from the catalogue; with --check only checks that the page is current."""

from __future__ import annotations

import sys
from pathlib import Path

from autotune.schedext.catalogue.catalog import Catalog
from autotune.views.reference import reference

PAGE = Path(__file__).resolve().parents[1] / "docs/SCHEDULERS.md"


def main(given: list[str]) -> int:
    if given not in ([], ["--check"]):
        print("usage: scripts/schedulers-doc [--check]", file=sys.stderr)
        return 2
    text = reference(Catalog.load())
    if not given:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.name} does not match the catalogue: run scripts/schedulers-doc", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
