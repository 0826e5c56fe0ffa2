# SPDX-License-Identifier: MIT
"""The lists of Python packages that setup.sh installs by hash agree with pyproject.toml, and what does not is found.

The real script in copies of the checkout's files. The last test resolves again what the installed packages require.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
RUN, DEV = "scripts/requirements.txt", "scripts/requirements-dev.txt"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    for name in ("pyproject.toml", "scripts/lock.py", RUN, DEV):
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def check(top: Path) -> tuple[int, str]:
    argv = [sys.executable, str(top / "scripts/lock.py"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def edit(path: Path, pattern: str, new: str) -> None:
    text, count = re.subn(pattern, new, path.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    path.write_text(text)


def test_the_lists_agree_with_pyproject(checkout: Path) -> None:
    assert check(checkout) == (0, "")


@pytest.mark.parametrize(
    ("pattern", "new", "fault"),
    [
        ('^  "psutil>=5.9",', '  "psutil>=99",', "psutil>=99 is met by"),
        ('^  "psutil>=5.9",', '  "psutil>=5.9",\n  "attrs>=20",', "attrs>=20 is met by nothing"),
        ('^  "psutil>=5.9",', "", "it is not of this pyproject.toml"),
        ('^  "ruff>=0.5",', '  "ruff>=999",', f"{DEV}: ruff>=999 is met by"),
        ("hatchling>=1.21", "hatchling>=999", "hatchling>=999 is met by"),
        ('requires-python = ">=3.10"', 'requires-python = ">=3.11"', "it is not of this pyproject.toml"),
        ("python_version < '3.11'", "python_version < '3.12'", "with Python 3.11"),
    ],
)
def test_a_changed_pyproject_is_found(checkout: Path, pattern: str, new: str, fault: str) -> None:
    edit(checkout / "pyproject.toml", pattern, new)
    code, output = check(checkout)
    assert code == 1
    assert fault in output


@pytest.mark.parametrize(
    ("pattern", "new", "fault"),
    [
        (r"^(anthropic==\S+) \\\n(    --hash.*\n)+", r"\1\n", "anthropic"),
        (r"--hash=sha256:[0-9a-f]{64}", "--hash=sha256:0123", "has no hash"),
        (r"--hash=sha256:[0-9a-f]{64}", "--hash=md5:" + "0" * 32, "has no hash"),
        (r"^anthropic==\S+", "anthropic", "is not a package with its version"),
        (r"^anthropic==\S+", "anthropic>=2", "is not a package with its version"),
        (r"^anthropic==\S+", "anthropic @ https://packages.example/anthropic.whl", "is not a package with its version"),
        (r"^anthropic==", "--index-url https://packages.example/\nanthropic==", "is not a package with its version"),
        (r"^anthropic==\S+", "anthropic==1.0", "anthropic>=2 is met by ['1.0']"),
        (r"^anthropic==(\S+)", r"anthropic==\1 ; python_full_version < '3.12'", "nothing with Python 3.12"),
        (r"^anthropic==[\s\S]*?\n(?! )", "", "anthropic>=2 is met by nothing"),
        (r"\Z", "evil==1.0 \\\\\n    --hash=sha256:" + "0" * 64 + "\n", "has packages that are not in it"),
    ],
)
def test_a_list_changed_by_hand_is_found(checkout: Path, pattern: str, new: str, fault: str) -> None:
    edit(checkout / RUN, pattern, new)
    code, output = check(checkout)
    assert code == 1
    assert fault in output


@pytest.mark.parametrize("name", [RUN, DEV])
def test_a_list_that_is_gone_is_found(checkout: Path, name: str) -> None:
    (checkout / name).unlink()
    assert check(checkout)[0] == 1


@pytest.mark.parametrize("name", [RUN, DEV])
def test_no_list_names_a_place_to_fetch_from(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    assert [line for line in lines if "://" in line or re.match(r"\s*--(?!hash=)", line) or "@" in line] == []


def test_all_that_the_listed_packages_require_is_listed_too() -> None:
    """As installed here, for the Python that runs this: what pip would have to refuse."""
    listed = dict(pins())
    missing = [
        f"{name}: {wanted}"
        for name in listed
        for wanted in required(name)
        if not wanted.specifier.contains(listed.get(canonicalize_name(wanted.name), ""), prereleases=True)
    ]
    assert missing == []


def pins() -> Iterator[tuple[str, str]]:
    """Names and versions that hold for this Python."""
    for line in (ROOT / DEV).read_text().splitlines():
        found = re.match(r"([a-z0-9-]+)==([^\s;]+)(?: ; (.+?))?(?: \\)?$", line)
        if found and (found[3] is None or Requirement(f"x; {found[3]}").marker.evaluate()):  # type: ignore[union-attr]
            yield found[1], found[2]


def required(name: str) -> Iterator[Requirement]:
    """What an installed package requires without extras."""
    try:
        texts = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.fail(f"{name} is not installed: run scripts/test")
    for text in texts:
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            yield wanted
