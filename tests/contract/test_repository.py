# SPDX-License-Identifier: MIT
"""What every file of the repository must be like."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP, capture_output=True, text=True, check=True
    )
    return [TOP / name for name in listed.stdout.splitlines() if (TOP / name).is_file()]


def test_every_source_file_names_its_licence() -> None:
    sources = [path for path in tracked() if path.suffix in (".py", ".c", ".h", ".sh")]
    bare = [str(path.relative_to(TOP)) for path in sources if "SPDX-License-Identifier" not in path.read_text()[:400]]
    assert bare == []


def test_bpf_sources_are_gpl_and_python_is_mit() -> None:
    for path in tracked():
        if path.suffix in (".c", ".h"):
            assert "SPDX-License-Identifier: GPL-2.0-only" in path.read_text(), path
        if path.suffix == ".py":
            assert "SPDX-License-Identifier: MIT" in path.read_text()[:200], path


def test_no_file_names_a_home_directory_or_an_archive_host() -> None:
    homes = r"/(?:home|Users)/(?!me\b|USER\b|you\b|user\b)\w+|/root/\."
    forbidden = re.compile(homes + r"|deb\.debian\.org|pypi\.org/simple")
    texts = {path: path.read_text(errors="replace") for path in tracked() if path.name != Path(__file__).name}
    assert [str(path) for path, text in texts.items() if forbidden.search(text)] == []


def test_the_page_about_schedulers_is_what_the_catalogue_says() -> None:
    shown = subprocess.run(
        [sys.executable, "scripts/schedulers_doc.py", "--check"], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.parametrize(
    "name", ["scripts/autotune", "scripts/test", "scripts/bench", "scripts/schedulers-doc", "scripts/lock", ".ci/run"]
)
def test_scripts_are_executable_and_parse(name: str) -> None:
    assert os.access(TOP / name, os.X_OK)
    assert subprocess.run(["bash", "-n", str(TOP / name)], check=False).returncode == 0
