# SPDX-License-Identifier: MIT
"""Which kernel is found, which is fetched, and what is said when there is none."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from autotune.errors import AutotuneError, FetchError, NoMachineError, UsageError
from autotune.machine.vm import archive, kernels, microvm
from autotune.machine.vm.kernels import find, installed
from tests.support import btf_files

NAMES = [
    "linux-image-6.12.95+deb13-amd64",
    "linux-image-6.18.9+deb13-amd64",
    "linux-image-6.18.15+deb13-amd64",
    "linux-image-7.3.4+deb13-amd64",
    "linux-base-7.3.4+deb13-amd64",
    "linux-binary-7.3.4+deb13-amd64",
    "linux-modules-7.3.4+deb13-amd64",
]
PARTS = {
    name: tuple(part for part in NAMES if "7.3.4" in part and part != name)
    if "7.3.4" in name
    else (name.replace("image", "base"),)  # which the archive does not have
    for name in NAMES
    if name.startswith("linux-image-")
}


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


class SmallArchive:
    """An archive of real Debian packages, built from the files of `holds` on demand. Those that are `gone`
    are listed and cannot be downloaded."""

    holds: ClassVar[dict[str, dict[str, bytes]]] = {}
    gone: ClassVar[set[str]] = set()
    downloaded: ClassVar[list[str]] = []

    def __init__(self, _root: Path) -> None:
        type(self).downloaded = []

    def update(self) -> None:
        pass

    def names(self, _pattern: str) -> list[str]:
        return NAMES

    def parts_of(self, images: list[str]) -> dict[str, tuple[str, ...]]:
        return {image: PARTS[image] for image in images}

    def backport_of(self, _package: str) -> str | None:
        return None

    def download(self, packages: list[str], target: Path) -> list[Path]:
        for package in packages:
            self.downloaded.append(package)
            if package in self.gone:
                raise FetchError(f"the download failed: E: no {package} in the pool")
            self._build(package, target)
        return sorted(target.glob("*.deb"))

    def _build(self, package: str, target: Path) -> None:
        tree = target / package
        control = f"Package: {package}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: a\n"
        for path, data in {"DEBIAN/control": control.encode(), **self.holds.get(package, {})}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        made = ["dpkg-deb", "-Znone", "-b", str(tree), str(target / f"{package}.deb")]
        subprocess.run(made, check=True, capture_output=True)


CONFIG = b"# made\nCONFIG_SCHED_CLASS_EXT=y\n"


def one_package(release: str, image: bytes, config: bytes = CONFIG) -> dict[str, dict[str, bytes]]:
    """A kernel as Debian packed it up to 6.18: image, modules and configuration in one."""
    modules = f"lib/modules/{release}"
    files = {f"boot/vmlinuz-{release}": image, f"boot/config-{release}": config, f"{modules}/kernel/fs/9p/9p.ko": b""}
    lists = {f"{modules}/modules.order": b"order", f"{modules}/modules.builtin": b"in"}
    return {f"linux-image-{release}": {**files, **lists}}


def four_packages(release: str, image: bytes) -> dict[str, dict[str, bytes]]:
    """A kernel as Debian packs it from 7.x on."""
    modules = f"usr/lib/modules/{release}"
    base = {"config": CONFIG, "modules.order": b"order", "modules.builtin": b"in"}
    return {
        f"linux-binary-{release}": {f"{modules}/vmlinuz": image},
        f"linux-modules-{release}": {f"{modules}/kernel/fs/9p/9p.ko": b""},
        f"linux-base-{release}": {f"{modules}/{name}": data for name, data in base.items()},
    }


COMMON = {
    "linux-bpf-dev": {"usr/include/linux/bpf/vmlinux.h": b"types"},
    "libbpf1": {"usr/lib/x86_64-linux-gnu/libbpf.so.1.5.0": b"library"},
}
GOOD_IMAGE, BROKEN_IMAGE = btf_files.image(btf_files.GOOD), btf_files.image(btf_files.BROKEN)


@pytest.fixture
def small_archive(monkeypatch: pytest.MonkeyPatch) -> type[SmallArchive]:
    """It has whole kernels of 6.18 and 7.3; tests take things out of it."""
    monkeypatch.setattr(archive, "Archive", SmallArchive)
    newer, older = "6.18.15+deb13-amd64", "6.18.9+deb13-amd64"
    holds = {**COMMON, **one_package(newer, GOOD_IMAGE), **one_package(older, GOOD_IMAGE)}
    SmallArchive.holds = {**holds, **four_packages("7.3.4+deb13-amd64", GOOD_IMAGE)}
    SmallArchive.gone = set()
    return SmallArchive


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


@pytest.mark.parametrize("what", [".", "manifest.json", "image", "libbpf", "headers", "headers' directory"])
def test_a_set_that_others_could_change_is_not_found_and_not_taken(cache: Path, what: str) -> None:
    """Its types are compiled into what root loads, and its kernel proves generated schedulers."""
    top = fetched(cache, "6.18.9+deb13-amd64")
    whole = kernels.find(None)
    assert whole.libbpf is not None
    assert whole.headers is not None
    types = whole.headers / "linux/bpf/vmlinux.h"
    for path in (types, whole.libbpf):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert kernels.find(top).source == "given"
    place = {"image": whole.image, "libbpf": whole.libbpf, "headers": types, "headers' directory": types.parent}
    open_one = place.get(what, top / what)
    open_one.chmod(open_one.stat().st_mode | 0o002)
    assert kernels.installed() == []
    with pytest.raises(AutotuneError, match="would decide what is compiled and proven"):
        kernels.find(top)


def test_the_release_is_read_from_the_header_of_an_x86_image(tmp_path: Path) -> None:
    image = tmp_path / "bzImage"
    header = bytearray(0x400)
    header[0x202:0x206] = b"HdrS"
    header[0x20E:0x210] = (0x300 - 0x200).to_bytes(2, "little")
    header[0x300:0x320] = b"6.18.1-mine (me@here) #1 SMP".ljust(0x20, b"\0")
    image.write_bytes(header)
    (tmp_path / "modules.dep").write_text("")
    assert find(image).version == "6.18.1-mine"


@pytest.mark.usefixtures("cache")
def test_another_architecture_is_advised_to_bring_its_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(FetchError, match=r"aarch64.*--kernel IMAGE"):
        kernels.fetch(lambda _text: None)


def test_the_best_kernel_is_fetched_and_the_reason_is_reported(cache: Path, small_archive: type[SmallArchive]) -> None:
    notices: list[str] = []
    assert kernels.fetch(notices.append).version == "6.18.15+deb13-amd64"
    assert "chosen: kernel 6.18.15+deb13-amd64, because its series is known to work" in notices
    assert sorted(path.name for path in cache.iterdir()) == [".lock", "6.18.15+deb13-amd64"]
    assert not any("7.3.4" in package for package in small_archive.downloaded)


@pytest.mark.usefixtures("cache", "small_archive")
def test_a_kernel_whose_configuration_is_in_a_package_of_its_own_is_whole() -> None:
    kernel = kernels.fetch(lambda _text: None, "7.3")
    assert kernel.config is not None
    assert kernel.config.read_bytes() == CONFIG
    assert [(kernel.modules / name).read_bytes() for name in ("modules.order", "modules.builtin")] == [b"order", b"in"]
    assert (kernel.modules / "kernel/fs/9p/9p.ko").is_file()


FAULTS: dict[str, dict[str, dict[str, bytes]]] = {
    "cannot load schedulers": one_package("6.18.15+deb13-amd64", BROKEN_IMAGE),
    "no sched_ext": one_package("6.18.15+deb13-amd64", GOOD_IMAGE, b"# CONFIG_SCHED_CLASS_EXT is not set\n"),
    "empty package": {"linux-image-6.18.15+deb13-amd64": {}},
    "no configuration": {"linux-image-6.18.15+deb13-amd64": {"boot/vmlinuz-6": b"", "lib/modules/6/kernel/a": b""}},
    "gone": {},
}


@pytest.mark.first
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_the_best_kernel_leads_to_the_next(
    fault: str, cache: Path, small_archive: type[SmallArchive]
) -> None:
    small_archive.holds = {**small_archive.holds, **FAULTS[fault]}
    small_archive.gone = {"linux-image-6.18.15+deb13-amd64"} if fault == "gone" else set()
    notices: list[str] = []
    assert kernels.fetch(notices.append).version == "6.18.9+deb13-amd64"
    assert [text for text in notices if text.startswith("skipping kernel 6.18.15+deb13-amd64: ")]
    assert sorted(path.name for path in cache.iterdir()) == [".lock", "6.18.9+deb13-amd64"]


@pytest.mark.usefixtures("cache")
def test_when_a_whole_series_left_the_pool_the_next_one_is_taken(small_archive: type[SmallArchive]) -> None:
    small_archive.gone = {name for name in NAMES if "6.18" in name}
    assert kernels.fetch(lambda _text: None).version == "7.3.4+deb13-amd64"


@pytest.mark.usefixtures("cache")
def test_a_build_that_cannot_load_schedulers_is_refused_before_its_modules_are_downloaded(
    small_archive: type[SmallArchive],
) -> None:
    small_archive.holds = {**COMMON, **four_packages("7.3.4+deb13-amd64", BROKEN_IMAGE)}
    with pytest.raises(FetchError, match=r"no scheduler can be loaded.*scx_bpf_kick_cpu"):
        kernels.fetch(lambda _text: None, "7.3")
    assert small_archive.downloaded == ["linux-binary-7.3.4+deb13-amd64"]


@pytest.mark.usefixtures("cache")
def test_a_full_disk_ends_the_search(small_archive: type[SmallArchive], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another kernel would not find room either."""

    def full(self: SmallArchive, packages: list[str], _target: Path) -> list[Path]:
        self.downloaded.extend(packages)
        raise archive.DiskFull("the download failed: the disk is full")

    monkeypatch.setattr(SmallArchive, "download", full)
    with pytest.raises(FetchError, match="disk is full"):
        kernels.fetch(lambda _text: None)
    assert small_archive.downloaded == ["linux-image-6.18.15+deb13-amd64"]


def test_packages_without_a_kernel_are_an_error_and_leave_nothing(
    cache: Path, small_archive: type[SmallArchive]
) -> None:
    """The archive changed its layout: everything is fetched, and then the image is not in there."""
    small_archive.holds = {}
    with pytest.raises(FetchError, match="packages have no"):
        kernels.fetch(lambda _text: None)
    assert [path.name for path in cache.iterdir()] == [".lock"]


KILLED = """
import os, signal
from autotune.machine.vm import archive, kernels
class Archive:
    def __init__(self, root):
        (root / "half").mkdir(parents=True)
        os.kill(os.getpid(), signal.SIGKILL)
archive.Archive = Archive
kernels.fetch(print)
"""


@pytest.mark.usefixtures("small_archive")
def test_what_a_killed_fetch_left_is_removed_by_the_next(cache: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    assert [path.name[:13] for path in cache.iterdir() if path.name != ".lock"] == [".draft-fetch."]
    kernels.fetch(lambda _text: None)
    assert sorted(path.name for path in cache.iterdir()) == [".lock", "6.18.15+deb13-amd64"]


@pytest.mark.usefixtures("cache")
def test_a_full_disk_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(kernels, "_fetch_into", full)
    with pytest.raises(FetchError, match=r"No space left.*free some space on the disk of .*about 600 MB"):
        kernels.fetch(lambda _text: None)


@pytest.mark.usefixtures("cache")
def test_a_host_without_debians_tools_gets_advice(monkeypatch: pytest.MonkeyPatch) -> None:
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
