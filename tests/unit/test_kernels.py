# SPDX-License-Identifier: MIT
"""Which kernel is found, which is fetched, and what is said when there is none."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from autotune.errors import FetchError, NoMachineError, UsageError
from autotune.machine import archive, kernels, microvm
from autotune.machine.archive import mirror_in_targets, mirror_in_uris
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
    names = {
        "image": "vmlinuz",
        "modules": "modules",
        "headers": "include",
        "libbpf": "libbpf.so.1",
        "config": "config",
    }
    (top / "manifest.json").write_text(json.dumps({"format": kernels.FORMAT, "version": version, **names}))
    return top


class EmptyArchive:
    """Lists a kernel and downloads a real Debian package that holds no file."""

    def __init__(self, _root: Path) -> None:
        pass

    def update(self) -> None:
        pass

    def names(self, _pattern: str) -> list[str]:
        return NAMES

    def parts_of(self, _image: str) -> list[str]:
        return []

    def backport_of(self, _package: str) -> str | None:
        return None

    def download(self, _packages: list[str], target: Path) -> list[Path]:
        control = target / "empty" / "DEBIAN" / "control"
        control.parent.mkdir(parents=True)
        control.write_text("Package: empty\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: a\n")
        deb = target / "empty.deb"
        subprocess.run(["dpkg-deb", "-b", str(target / "empty"), str(deb)], check=True, capture_output=True)
        return [deb]


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


def test_a_fetched_set_can_be_given_by_its_directory(cache: Path) -> None:
    top = fetched(cache, "6.18.9+deb13-amd64")
    fetched(cache, "6.18.15+deb13-amd64")
    assert (find(top).version, find(top).source) == ("6.18.9+deb13-amd64", "given")
    with pytest.raises(UsageError, match="no such file"):
        find(cache)


def with_programs(top: Path) -> Path:
    """A set that brings its own QEMU, as fetched ones do."""
    manifest = json.loads((top / "manifest.json").read_text())
    (top / "manifest.json").write_text(json.dumps({**manifest, "qemu": "qemu"}))
    program = top / "qemu/bin/qemu-system-x86_64"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho run on the host\n")
    program.chmod(0o755)
    (top / "libbpf.so.1").write_bytes(b"\x7fELF")
    return top


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("named", ["6.18.9+deb13-amd64", "set"])
def test_a_given_set_never_brings_its_own_qemu_and_libbpf(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool, named: str
) -> None:
    monkeypatch.setattr(microvm, "find_tool", lambda name, _package: f"/usr/bin/{name}")
    elsewhere = with_programs(fetched(tmp_path / "elsewhere", named))
    given = tmp_path / "link"
    given.symlink_to(elsewhere)
    kernel = find(given if linked else elsewhere)
    assert (kernel.version, kernel.source, kernel.libbpf) == (named, "given", None)
    assert microvm.qemu_program(kernel) == ["/usr/bin/qemu-system-x86_64"]
    own = with_programs(fetched(cache, "6.18.15+deb13-amd64"))
    kernel = find(given if linked else elsewhere)
    assert (kernel.version, kernel.libbpf) == (named, own / "libbpf.so.1")
    assert microvm.qemu_program(kernel)[0] == str(own / "qemu/bin/qemu-system-x86_64")


def test_a_set_of_the_store_keeps_its_own_qemu_and_libbpf(cache: Path) -> None:
    old = with_programs(fetched(cache, "6.18.9+deb13-amd64"))
    with_programs(fetched(cache, "6.18.15+deb13-amd64"))
    kernel = find(old)
    assert (kernel.qemu, kernel.libbpf) == (old / "qemu", old / "libbpf.so.1")


def test_the_release_is_read_from_the_header_of_an_x86_image(tmp_path: Path) -> None:
    image = tmp_path / "bzImage"
    header = bytearray(0x400)
    header[0x202:0x206] = b"HdrS"
    header[0x20E:0x210] = (0x300 - 0x200).to_bytes(2, "little")
    header[0x300:0x320] = b"6.18.1-mine (me@here) #1 SMP".ljust(0x20, b"\0")
    image.write_bytes(header)
    (tmp_path / "modules.dep").write_text("")
    assert find(image).version == "6.18.1-mine"


def test_the_mirror_is_debians_main_suite_and_no_one_elses() -> None:
    rows = [
        "Docker bookworm https://third.example/linux/",
        "Debian bookworm-security http://mirror.example/debian-security/",
        "Debian bookworm http://mirror.example/debian/",
    ]
    assert mirror_in_targets("\n".join(rows)) == "http://mirror.example/debian/"
    assert mirror_in_targets("\n".join(rows[:2])) is None
    assert mirror_in_targets("") is None


def test_the_mirror_is_known_before_the_first_update_too() -> None:
    said = (
        "'http://mirror.example/debian-security/dists/bookworm-security/InRelease' name 0 \n"
        "'http://mirror.example/debian/dists/bookworm/InRelease' name 0 \n"
    )
    assert mirror_in_uris(said) == "http://mirror.example/debian/"
    assert mirror_in_uris("") is None


@pytest.mark.usefixtures("cache")
def test_another_architecture_is_told_to_bring_its_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive.platform, "machine", lambda: "aarch64")
    with pytest.raises(FetchError, match=r"aarch64.*--kernel IMAGE"):
        kernels.fetch(lambda _text: None)


def test_packages_without_a_kernel_are_an_error_and_leave_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive changed its layout: everything is fetched, and then the image is not in there."""
    monkeypatch.setattr(archive, "Archive", EmptyArchive)
    with pytest.raises(FetchError, match="packages hold no"):
        kernels.fetch(lambda _text: None)
    assert [path.name for path in cache.iterdir()] == [".lock"]


@pytest.mark.usefixtures("cache")
def test_a_full_disk_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(kernels, "_fetch_into", full)
    with pytest.raises(FetchError, match=r"No space left.*free some disk space"):
        kernels.fetch(lambda _text: None)


@pytest.mark.usefixtures("cache")
def test_a_host_without_debians_tools_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(archive, "tool", lambda _name: None)
    with pytest.raises(FetchError, match="--kernel IMAGE"):
        kernels.fetch(lambda _text: None)


@pytest.mark.slow
def test_a_fetch_that_fails_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network: the mirror is an address on this machine where nobody listens."""
    monkeypatch.setattr(archive, "mirror", lambda: "http://127.0.0.1:9/debian")
    with pytest.raises(FetchError, match="list of packages"):
        kernels.fetch(lambda _text: None)
    assert [path.name for path in cache.iterdir()] == [".lock"]
