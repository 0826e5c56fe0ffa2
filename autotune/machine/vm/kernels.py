# SPDX-License-Identifier: MIT
"""Finds a kernel with sched_ext for the micro-VM, or fetches one from the machine's own Debian mirror.

A fetched kernel set is a directory of the cache: the kernel, the few modules that the micro-VM loads, the kernel's
types for BPF programs, a libbpf that is new enough, and the digests of all these. It is made elsewhere and renamed, so
that nobody sees half of one. The system's own package manager is not touched: everything happens in a private apt root.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from autotune import digests, durable, reading, resources, trust
from autotune.errors import BusyError, FetchError, NoMachineError, UsageError
from autotune.frozen import dataclass
from autotune.machine.vm import archive, vmlinux
from autotune.machine.vm.choosing import KernelBuild, choices, version_key
from autotune.schedext import btf

Progress = Callable[[str], None]

MODULE_DIRS = ("fs/9p", "net/9p", "fs/netfs", "fs/overlayfs", "fs/fuse", "drivers/virtio", "crypto")
"""Modules that the micro-VM may load; a set has no others."""

MANIFEST = "manifest.json"
FORMAT = 3
"""Format of a kernel set: one of another format is fetched again. scripts/setup.sh looks for it too."""


@dataclass(frozen=True)
class Kernel:
    """A kernel that the micro-VM can boot. `modules` is its directory as below /lib/modules; `headers` a directory
    with `linux/bpf/vmlinux.h` and `libbpf` a library, both None where the system's have to do."""

    version: str
    image: Path
    modules: Path
    source: Literal["given", "host", "fetched"]
    headers: Path | None = None
    libbpf: Path | None = None
    unpacked: Path | None = None
    """The image as an ELF file, which boots without unpacking itself under emulation; None when there is none."""
    qemu: Path | None = None
    """A directory with a fetched QEMU (`bin/`, firmware in `share/`); None: the system's is used."""
    config: Path | None = None
    """Its build configuration; None when that is not kept. scx schedulers do not start without it."""


# --- finding ---------------------------------------------------------------------------------------------


def store() -> Path:
    """Return the directory of fetched sets."""
    return resources.cache_dir() / "kernels"


def find(given: Path | None = None) -> Kernel:
    """Find the kernel to boot: the given one (an image, with its modules beside it or in /lib/modules, or the directory
    of a kernel set, which nobody else could change); else the newest fetched one, which brings headers and libbpf with
    it; else the host's own when it has sched_ext. Raises UsageError for a given one that cannot be used, NoMachineError
    when there is none."""
    if given is not None:
        return _given(given)
    fetched = installed()
    if fetched:
        return fetched[0]
    host = _host()
    if host is not None:
        return host
    raise NoMachineError("there is no kernel with sched_ext for the micro-VM", hint="run 'autotune vm setup'")


def installed() -> list[Kernel]:
    """Return the fetched kernel sets that are whole and that nobody else could change, newest kernel first."""
    manifests = [path for path in store().glob(f"*/{MANIFEST}") if not trust.is_foreign(path)]
    whole = [kernel for path in manifests if (kernel := _from_manifest(path)) is not None]
    found = [kernel for kernel in whole if not any(map(trust.is_foreign, _believed(kernel)))]
    return sorted(found, key=lambda kernel: version_key(kernel.version), reverse=True)


def _from_manifest(path: Path) -> Kernel | None:
    try:
        data = reading.record(_manifest, path)
        if data["format"] != FORMAT:
            return None
        top = path.parent
        kernel = Kernel(
            version=data["version"],
            image=top / data["image"],
            modules=top / data["modules"],
            source="fetched",
            headers=top / data["headers"],
            libbpf=top / data["libbpf"],
            unpacked=top / data["unpacked"] if data.get("unpacked") else None,
            qemu=top / data["qemu"] if data.get("qemu") else None,
            config=top / data["config"],
        )
    except (OSError, ValueError, KeyError):
        return None
    whole = kernel.image.is_file() and kernel.modules.is_dir()
    return kernel if whole else None


def _believed(kernel: Kernel) -> list[Path]:
    """Return the files of a set that decide what is proven, compiled and loaded, as far as they are there."""
    types = kernel.headers / "linux/bpf/vmlinux.h" if kernel.headers else None
    return [path for path in (kernel.image, kernel.libbpf, types) if path is not None and path.exists()]


def _whole(top: Path) -> Kernel | None:
    """Return a fetched kernel set whose files are all as they were fetched and nobody else's; None otherwise."""
    kernel = _from_manifest(top / MANIFEST)
    if kernel is None or any(map(trust.is_foreign, (top / MANIFEST, *_believed(kernel)))):
        return None
    return None if digests.damaged(top) else kernel


_NAMED = ("version", "image", "modules", "headers", "libbpf", "config")
_OPTIONAL = ("unpacked", "qemu")


def _manifest(found: Any) -> dict[str, Any]:
    """Return what a manifest says. Raises ValueError, TypeError for one of another shape."""
    for name in (*_NAMED, *_OPTIONAL):
        value = found[name] if name in _NAMED else found.get(name, "")
        if not isinstance(value, str) and (value is not None or name in _NAMED):
            raise ValueError(f"{name} is not a text")
    return {**found}


def _given(image: Path) -> Kernel:
    kept = _from_manifest(image / MANIFEST) if image.is_dir() else None
    if kept is not None:
        for path in (image / MANIFEST, *_believed(kept)):
            trust.refuse_foreign(path, would="would decide what is compiled and proven", stage="machine")
        return replace(_with_own_programs(kept, image), source="given")
    if not image.is_file():
        raise UsageError(f"--kernel {image}: no such file", hint="name a kernel image, such as /boot/vmlinuz-VERSION")
    version = _image_version(image)
    places = [image.parent, Path("/lib/modules") / version]
    modules = next((place for place in places if (place / "modules.dep").is_file()), None)
    if modules is None:
        raise UsageError(
            f"--kernel {image}: its modules were not found", hint=f"put them into /lib/modules/{version} (depmod)"
        )
    config = next(
        (path for path in (image.parent / f"config-{version}", image.parent / "config") if path.is_file()), None
    )
    return Kernel(version, image.resolve(), modules.resolve(), "given", config=config and config.resolve())


def _with_own_programs(kept: Kernel, place: Path) -> Kernel:
    """Replace the QEMU and the libbpf of a given set by those of the user's own store, else the system's. They run
    outside of the micro-VM, as whoever runs autotune, while a given set only chooses the kernel to boot."""
    if place.resolve().parent == store().resolve():
        return kept
    own = next(iter(installed()), None)
    return replace(kept, qemu=own.qemu if own else None, libbpf=own.libbpf if own else None)


def _image_version(image: Path) -> str:
    """Return the release in the image's header (Documentation/arch/x86/boot.rst: `kernel_version` at 0x20e), else the
    one in its name."""
    with open(image, "rb") as file:
        data = file.read(0x8000)
    if len(data) > 0x210 and data[0x202:0x206] == b"HdrS":
        start = int.from_bytes(data[0x20E:0x210], "little") + 0x200
        return data[start : start + 128].split(b"\0", 1)[0].split(b" ", 1)[0].decode(errors="replace")
    return image.name.removeprefix("vmlinuz-") if image.name.startswith("vmlinuz-") else image.parent.name


def _host() -> Kernel | None:
    """Return the running kernel, when its configuration has what the micro-VM needs and its files are there."""
    version = os.uname().release
    image, config = Path(f"/boot/vmlinuz-{version}"), Path(f"/boot/config-{version}")
    modules = Path("/lib/modules") / version
    try:
        text = reading.text(config)
    except (OSError, ValueError):
        return None
    needs = ("CONFIG_SCHED_CLASS_EXT=y", "CONFIG_9P_FS=", "CONFIG_OVERLAY_FS=")
    if not all(f"\n{need}" in text for need in needs) or not os.access(image, os.R_OK):
        return None
    loadable = not list(modules.glob("kernel/fs/9p/*.ko.*"))
    return Kernel(version, image, modules, "host", config=config) if loadable and modules.is_dir() else None


# --- fetching --------------------------------------------------------------------------------------------


def fetch(progress: Progress, version: str | None = None) -> Kernel:
    """Fetch a kernel with sched_ext, the types for BPF programs and libbpf into the cache; `version` chooses one by the
    beginning of its release. A build that cannot be fetched, or cannot load schedulers, is skipped for the next best.
    Raises FetchError; nothing half-finished stays behind."""
    archive.require_debian()
    try:
        store().mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(progress):
            durable.sweep(store())
            with durable.draft_directory(store() / "fetch") as scratch:
                return _fetch_into(scratch, progress, version)
    except OSError as error:
        needs = f"{durable.advice(error, store())}: about 600 MB are needed"
        advice = needs if error.errno in (errno.ENOSPC, errno.EDQUOT) else durable.advice(error, store())
        raise FetchError(f"the kernel could not be stored: {error.strerror or error}", hint=advice) from error


def _one_at_a_time(progress: Progress) -> contextlib.AbstractContextManager[None]:
    def busy() -> BusyError:
        return BusyError("another fetch is running", hint="wait for it to end", stage=FetchError.default_stage)

    def waiting() -> None:
        progress("waiting for another fetch")

    return durable.locked(store() / ".lock", busy, wait_s=None, waiting=waiting)


def _fetch_into(scratch: Path, progress: Progress, version: str | None) -> Kernel:
    apt = archive.Archive(scratch / "apt")
    progress("reading the list of packages")
    apt.update()
    build, unpacked = _first_usable(apt, scratch, progress, version)
    target = store() / build.release
    existing = _whole(target)
    if existing is not None:
        progress(f"kernel {build.release} is there already")
        return existing
    others = ["linux-bpf-dev", "libbpf1", *_newer_qemu(apt)]
    files = _unpack(apt, others, unpacked, progress)
    made = scratch / "set"
    made.mkdir()
    _arrange(unpacked, made, build.release, [*build.packages, *files])
    durable.put_directory(made, target)
    kernel = _from_manifest(target / MANIFEST)
    if kernel is None:
        raise FetchError(f"kernel {build.release} was fetched but is not whole", hint="try 'autotune vm setup' again")
    progress(f"kernel {build.release} is ready")
    return kernel


def _first_usable(
    apt: archive.Archive, scratch: Path, progress: Progress, version: str | None
) -> tuple[KernelBuild, Path]:
    """Find the best build that is there already, or that can be fetched and used, and the directory with its files."""
    available = apt.names("^linux-(image|base|binary|modules)-[0-9]")
    images = [name for name in available if name.startswith("linux-image-")]
    failed: list[tuple[KernelBuild, FetchError]] = []
    for build in choices(apt.parts_of(images), available, version):
        place = scratch / build.release
        try:
            if _whole(store() / build.release) is None:
                _fetch_build(apt, build, place, progress)
        except archive.DiskFull:
            raise
        except FetchError as error:
            progress(f"skipping kernel {build.release}: {error.message}")
            failed.append((build, error))
            shutil.rmtree(place, ignore_errors=True)
        else:
            progress(f"chosen: kernel {build.release}, because {build.why}")
            return build, place
    raise _none_left(failed)


def _none_left(failed: Sequence[tuple[KernelBuild, FetchError]]) -> FetchError:
    build, error = failed[0]
    others = f" (nor could {len(failed) - 1} others)" if len(failed) > 1 else ""
    detail = "\n".join(f"{build.release}: {error.message}\n{error.detail}" for build, error in failed)
    message = f"kernel {build.release} could not be used: {error.message}{others}"
    return FetchError(message, hint=error.hint, detail=detail)


def _fetch_build(apt: archive.Archive, build: KernelBuild, place: Path, progress: Progress) -> None:
    """Fetch and unpack a build. Its image comes first and is looked at before the rest is downloaded. Raises FetchError
    for one that cannot load schedulers."""
    _unpack(apt, build.packages[:1], place, progress)
    image = _first(place, "**/vmlinuz*")
    fault = fault_of(vmlinux.unpack(reading.data(image, most_bytes=reading.MOST_IMAGE_BYTES)) or b"")
    if fault is not None:
        raise _unusable(fault)
    _unpack(apt, build.packages[1:], place, progress)
    _first(place, f"**/lib/modules/{build.release}/kernel")
    if "\nCONFIG_SCHED_CLASS_EXT=y" not in reading.text(_config(place, build.release)):
        raise _unusable("it was built without sched_ext")


def fault_of(kernel: bytes) -> str | None:
    """Return why no scheduler can be loaded into a kernel, as far as its ELF file, or its BTF alone, shows."""
    broken = btf.unresolvable(kernel)
    if not broken:
        return None
    shown = "scx_bpf_kick_cpu" if "scx_bpf_kick_cpu" in broken else broken[0]
    return f"this build describes {len(broken)} of the kernel's functions wrongly, such as {shown}"


def _unusable(why: str) -> FetchError:
    return FetchError(f"no scheduler can be loaded: {why}", hint="choose another: autotune vm setup --version VERSION")


def _config(place: Path, release: str) -> Path:
    """Return the kernel's build configuration: in /boot or, from 7.x on, beside its modules."""
    beside = next(place.glob(f"**/lib/modules/{release}/config"), None)
    return beside or _first(place, f"**/config-{release}")


def _unpack(apt: archive.Archive, packages: Sequence[str], place: Path, progress: Progress) -> list[str]:
    """Download packages and unpack them into a directory. Returns the names of their files."""
    if not packages:
        return []
    progress(f"downloading {', '.join(packages)}")
    with tempfile.TemporaryDirectory(dir=place.parent) as downloads:
        files = apt.download(packages, Path(downloads))
        for file in files:
            archive.run(["dpkg", "-x", str(file), str(place)], "unpacking failed")
        return [file.name for file in files]


QEMU_PACKAGES = ("qemu-system-x86", "qemu-system-common", "qemu-system-data")


def _newer_qemu(apt: archive.Archive) -> list[str]:
    """Return the packages of a QEMU built for this release of Debian, when its backports have one: 7.2, which is Debian
    12's own, sometimes kills an emulated kernel while it switches schedulers (see `resilient`); 10.0 does not."""
    version, firmware = apt.backport_of(QEMU_PACKAGES[0]), apt.backport_of("seabios")
    if version is None or firmware is None:
        return []
    return [*(f"{name}={version}" for name in QEMU_PACKAGES), f"seabios={firmware}"]


def _arrange(unpacked: Path, made: Path, release: str, packages: Sequence[str]) -> None:
    """Move what is needed out of the unpacked packages, and write the manifest last."""
    modules = made / "lib" / "modules" / release
    source = _first(unpacked, f"**/lib/modules/{release}/kernel").parent
    for name in MODULE_DIRS:
        if (source / "kernel" / name).is_dir():
            shutil.copytree(source / "kernel" / name, modules / "kernel" / name)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        found = next(unpacked.glob(f"**/lib/modules/{release}/{name}"), None)  # from 7.x on in a package of its own
        if found is not None:
            shutil.copy2(found, modules / name)
    packed = [str(path) for path in modules.glob("**/*.ko.xz")]
    if packed:
        archive.run(["xz", "-d", *packed], "the modules could not be unpacked")
    archive.run(["depmod", "-b", str(made), release], "depmod failed")
    shutil.move(_first(unpacked, "**/vmlinuz*"), modules / "vmlinuz")
    shutil.move(_config(unpacked, release), modules / "config")
    shutil.move(_first(unpacked, "**/linux/bpf/vmlinux.h").parents[2], made / "include")
    shutil.move(_first(unpacked, "**/libbpf.so.1.*"), made / "libbpf.so.1")
    qemu = _arrange_qemu(unpacked, made)
    elf = vmlinux.unpack(reading.data(modules / "vmlinuz", most_bytes=reading.MOST_IMAGE_BYTES))
    if elf is not None:
        (modules / "vmlinux").write_bytes(elf)
    manifest = {
        "format": FORMAT,
        "qemu": qemu,
        "version": release,
        "image": f"lib/modules/{release}/vmlinuz",
        "unpacked": f"lib/modules/{release}/vmlinux" if elf is not None else None,
        "config": f"lib/modules/{release}/config",
        "modules": f"lib/modules/{release}",
        "headers": "include",
        "libbpf": "libbpf.so.1",
        "packages": list(packages),
    }
    (made / MANIFEST).write_text(json.dumps(manifest, indent=1))
    digests.note_all(made)


def _arrange_qemu(unpacked: Path, made: Path) -> str | None:
    """Keep a fetched QEMU that starts here; its libraries are those of the system's QEMU."""
    program = next(unpacked.glob("usr/bin/qemu-system-x86_64"), None)
    if program is None:
        return None
    try:
        done = subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return None
    if done.returncode != 0:
        return None
    target = made / "qemu"
    (target / "bin").mkdir(parents=True)
    (target / "share").mkdir()
    shutil.move(program, target / "bin" / program.name)
    for firmware in ("qemu", "seabios"):
        for file in (unpacked / "usr/share" / firmware).glob("*"):
            if file.is_file() and not file.is_symlink() and file.stat().st_size < 1 << 20:
                shutil.copy2(file, target / "share" / file.name)
    modules = next(unpacked.glob("usr/lib/*/qemu"), None)
    if modules is not None:
        shutil.copytree(modules, target / "lib")
    return "qemu"


def _first(unpacked: Path, pattern: str) -> Path:
    found = next(unpacked.glob(pattern), None)
    if found is None:
        raise FetchError(f"the packages have no {pattern.removeprefix('**/')}", hint="boot another: --kernel IMAGE")
    return found
