# SPDX-License-Identifier: MIT
"""Which kernel is found, which is fetched, and what is said when there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autotune.errors import FetchError, NoMachineError, UsageError
from autotune.machine import kernels
from autotune.machine.kernels import choose_image, find, installed

NAMES = [
    "linux-image-6.12.95+deb13-amd64",
    "linux-image-6.17.13+deb13-amd64",
    "linux-image-6.18.9+deb13-amd64",
    "linux-image-6.18.15+deb13-amd64",
    "linux-image-6.18.15+deb13-cloud-amd64",
    "linux-image-6.18.15+deb13-rt-amd64",
    "linux-image-7.2.12+deb13-amd64",
]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kernels, "_host", lambda: None)
    return tmp_path / "autotune" / "kernels"


def fetched(cache: Path, version: str) -> Path:
    top = cache / version
    (top / "modules").mkdir(parents=True)
    (top / "vmlinuz").write_bytes(b"kernel")
    names = {"image": "vmlinuz", "modules": "modules", "headers": "include", "libbpf": "libbpf.so.1"}
    (top / "manifest.json").write_text(json.dumps({"version": version, **names}))
    return top


def test_the_newest_long_term_kernel_is_preferred() -> None:
    assert choose_image(NAMES) == "linux-image-6.18.15+deb13-amd64"


def test_without_it_the_newest_is_taken() -> None:
    assert choose_image([name for name in NAMES if "6.18" not in name]) == "linux-image-7.2.12+deb13-amd64"


def test_a_version_can_be_asked_for() -> None:
    assert choose_image(NAMES, "6.17") == "linux-image-6.17.13+deb13-amd64"


def test_debians_6_12_has_no_sched_ext() -> None:
    with pytest.raises(FetchError, match="no kernel with sched_ext"):
        choose_image(NAMES[:1])


@pytest.mark.usefixtures("cache")
def test_no_kernel_at_all_says_how_to_get_one() -> None:
    with pytest.raises(NoMachineError, match="autotune vm setup"):
        find()


def test_the_newest_fetched_kernel_is_found(cache: Path) -> None:
    for version in ("6.18.9+deb13-amd64", "6.18.15+deb13-amd64"):
        fetched(cache, version)
    assert [kernel.version for kernel in installed()] == ["6.18.15+deb13-amd64", "6.18.9+deb13-amd64"]
    assert find().source == "fetched"


def test_half_a_set_is_never_found(cache: Path) -> None:
    (fetched(cache, "6.18.9+deb13-amd64") / "vmlinuz").unlink()
    (fetched(cache, "6.18.8+deb13-amd64") / "manifest.json").write_text("{")
    assert installed() == []


def test_a_given_kernel_must_be_there_with_its_modules(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        find(tmp_path / "vmlinuz-1.2.3")
    image = tmp_path / "vmlinuz-1.2.3"
    image.write_bytes(b"kernel")
    with pytest.raises(UsageError, match="modules were not found"):
        find(image)
    (tmp_path / "modules.dep").write_text("")
    assert (find(image).version, find(image).source) == ("1.2.3", "given")


@pytest.mark.usefixtures("cache")
def test_a_host_without_debians_tools_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(kernels, "_tool", lambda _name: None)
    with pytest.raises(FetchError, match="--kernel IMAGE"):
        kernels.fetch(lambda _text: None)


def test_a_fetch_that_fails_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network: the mirror is an address on this machine where nobody listens."""
    monkeypatch.setattr(kernels, "_mirror", lambda: "http://127.0.0.1:9/debian")
    with pytest.raises(FetchError, match="list of packages"):
        kernels.fetch(lambda _text: None)
    assert [path.name for path in cache.iterdir()] == [".lock"]
