# SPDX-License-Identifier: MIT
"""What every file of the repository must be like."""

from __future__ import annotations

import json
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
        if path.suffix in (".c", ".h") and path.parent.name != "scripts":  # there: a workload, no BPF
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


def test_the_prices_of_models_are_what_the_package_says() -> None:
    pytest.importorskip("genai_prices", reason="genai-prices is a development package, for Python 3.11 and later")
    shown = subprocess.run(
        [sys.executable, "scripts/model_prices.py", "--check"], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert (shown.returncode, shown.stderr) == (0, "")


def test_prices_that_were_edited_by_hand_are_found(tmp_path: Path) -> None:
    pytest.importorskip("genai_prices", reason="genai-prices is a development package, for Python 3.11 and later")
    edited = json.loads((TOP / "autotune/planner/model_prices.json").read_text())
    edited["models"]["claude-opus-5-5"]["output"] += 0.1
    (tmp_path / "prices.json").write_text(json.dumps(edited))
    program = (
        "import sys; from pathlib import Path; from autotune import resources; from scripts import model_prices\n"
        "resources.model_prices_json = lambda: Path(sys.argv[1])\n"
        "sys.exit(model_prices.main(['--check']))"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "prices.json")]
    shown = subprocess.run(argv, cwd=TOP, capture_output=True, text=True, check=False)
    assert (shown.returncode, "does not agree" in shown.stderr) == (1, True)


SCRIPTS = (
    "autotune", "test", "bench", "batches", "simulate", "schedulers-doc", "model-prices", "lock", "install-daemon"
)  # fmt: skip


@pytest.mark.parametrize("name", [*(f"scripts/{name}" for name in SCRIPTS), ".ci/run"])
def test_scripts_are_executable_and_parse(name: str) -> None:
    assert os.access(TOP / name, os.X_OK)
    assert subprocess.run(["bash", "-n", str(TOP / name)], check=False).returncode == 0


def test_scripts_test_looks_for_the_tests_of_each_phase_where_they_are() -> None:
    """Elsewhere they would never run: most phases collect their places only."""
    text = (TOP / "scripts/test").read_text()
    places = [TOP / name for line in re.findall(r'^in_vm\+?="(.*)"$', text, re.M) for name in line.split()]
    assert all(place.exists() for place in places)
    tests = {path: path.read_text() for path in (TOP / "tests").rglob("test_*.py") if path != Path(__file__).resolve()}
    marked = [path for path, source in tests.items() if "mark.vm" in source]
    assert len(marked) > 10
    assert [path for path in marked if not any(path.is_relative_to(place) for place in places)] == []
    assert "testpaths=tests/vm " in text
    assert {path.parent for path, source in tests.items() if "mark.alone" in source} == {TOP / "tests/vm"}
