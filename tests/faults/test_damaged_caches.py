# SPDX-License-Identifier: MIT
"""What a cache holds is noticed when it was damaged, said in one line, and made or fetched anew.

Small files that count as absent when they are damaged (results of KVM, options of programs): tests of their modules.
The knowledge store: tests/faults/test_nothing_is_lost.py.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autotune import digests
from autotune.commands import requirements
from autotune.deadline import unlimited
from autotune.errors import AutotuneError, BuildError, FetchError, NoMachineError
from autotune.events import Event, Warned
from autotune.machine.vm import healing, kernels
from autotune.machine.vm.kernels import Kernel
from autotune.records import Candidate
from autotune.schedext import build
from autotune.schedext.resolve import CatalogResolver, program_spec
from autotune.session.start import Engine
from autotune.views.checks import Check
from tests.support import command_line, scx_programs

Damage = Callable[[Path], object]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def flipped(path: Path) -> None:
    """One bit in the middle; size and time stay as they were."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def replaced_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [cut, emptied, flipped, grown, Path.unlink, replaced_by_a_directory]
any_damage = pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)


# --- kernels -----------------------------------------------------------------------------------------------

RELEASE = "6.18.15-amd64"
MODULES = f"lib/modules/{RELEASE}"
FILES = {
    f"{MODULES}/vmlinuz": b"image" * 1000,
    f"{MODULES}/vmlinux": b"an unpacked kernel" * 1000,
    f"{MODULES}/config": b"\nCONFIG_SCHED_CLASS_EXT=y\n",
    f"{MODULES}/kernel/fs/9p/9p.ko": b"module" * 1000,
    "include/linux/bpf/vmlinux.h": b"struct sched_ext_ops;" * 1000,
    "libbpf.so.1": b"library" * 1000,
    "qemu/bin/qemu-system-x86_64": b"program" * 1000,
    "qemu/share/bios.bin": b"firmware" * 1000,
}


def make_set(top: Path, release: str = RELEASE) -> None:
    """A set as `kernels.fetch` makes it, of other content."""
    for name, content in FILES.items():
        path = top / name.replace(RELEASE, release)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    own = f"lib/modules/{release}"
    manifest = {
        "format": kernels.FORMAT, "version": release, "image": f"{own}/vmlinuz", "unpacked": f"{own}/vmlinux",
        "config": f"{own}/config", "modules": own, "headers": "include", "libbpf": "libbpf.so.1", "qemu": "qemu",
    }  # fmt: skip
    (top / kernels.MANIFEST).write_text(json.dumps(manifest))
    digests.note_all(top)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the one set in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_set(kernels.store() / RELEASE)
    return kernels.store() / RELEASE


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The versions that were fetched, instead of from an archive."""
    asked: list[str | None] = []

    def fetch(_progress: object, version: str | None = None) -> Kernel:
        asked.append(version)
        top = kernels.store() / RELEASE
        shutil.rmtree(top)
        make_set(top)
        return kernels.find(None)

    monkeypatch.setattr(kernels, "fetch", fetch)
    return asked


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_given: object) -> Kernel:
        raise FetchError("the archive cannot be reached", hint="check the network")

    monkeypatch.setattr(kernels, "fetch", fetch)


@any_damage
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_a_kernel_is_said_and_the_set_fetched_anew(
    cached: Path, fetched: list[str | None], name: str, damage: Damage
) -> None:
    damage(cached / name)
    said: list[str] = []
    kernel = healing.sound(None, said.append)
    assert len(said) == 1
    assert said[0].startswith(f"kernel {RELEASE} in the cache is damaged: {Path(name).name} ")
    assert said[0].endswith("; it is fetched anew")
    assert fetched == [RELEASE]
    assert (cached / name).read_bytes() == FILES[name]
    assert healing.sound(None, said.append) == kernel
    assert len(said) == 1


@pytest.mark.parametrize("damage", [cut, emptied, flipped])
def test_a_damaged_manifest_is_fetched_anew(cached: Path, fetched: list[str | None], damage: Damage) -> None:
    (cached / kernels.MANIFEST).write_bytes(b"{" + (cached / kernels.MANIFEST).read_bytes()[1:])
    damage(cached / kernels.MANIFEST)
    said: list[str] = []
    assert healing.sound(None, said.append).version == RELEASE
    assert fetched == [RELEASE]
    assert len(said) == 1


@pytest.mark.parametrize("damage", [cut, emptied])
def test_damaged_digests_prove_nothing(cached: Path, fetched: list[str | None], damage: Damage) -> None:
    damage(cached / digests.LIST)
    said: list[str] = []
    healing.sound(None, said.append)
    assert (len(said), fetched) == (1, [RELEASE])


@pytest.mark.usefixtures("offline")
def test_what_cannot_be_fetched_is_never_booted(cached: Path) -> None:
    flipped(cached / "libbpf.so.1")
    with pytest.raises(NoMachineError, match=r"libbpf\.so\.1 has changed; it cannot be fetched anew") as caught:
        healing.sound(None, lambda _text: None)
    assert caught.value.exit_code == 4
    assert "network" in caught.value.hint
    said: list[str] = []
    assert healing.sound_parts(said.append) is None, "a host uses the system's libbpf then"
    assert "libbpf.so.1 has changed" in said[-1]


@any_damage
@pytest.mark.parametrize("name", ["libbpf.so.1", "include/linux/bpf/vmlinux.h"])
def test_a_host_has_the_part_that_it_uses_fetched_anew(
    cached: Path, fetched: list[str | None], name: str, damage: Damage
) -> None:
    damage(cached / name)
    said: list[str] = []
    kernel = healing.sound_parts(said.append)
    assert kernel is not None
    assert (len(said), fetched) == (1, [RELEASE])
    assert (cached / name).read_bytes() == FILES[name]


@pytest.mark.usefixtures("offline")
def test_a_host_is_not_kept_from_its_libbpf_and_headers_by_what_only_a_micro_vm_uses(cached: Path) -> None:
    cut(cached / MODULES / "vmlinux")
    flipped(cached / "qemu/bin/qemu-system-x86_64")
    said: list[str] = []
    kernel = healing.sound_parts(said.append)
    assert (kernel, said) == (kernels.installed()[0], [])
    assert kernel is not None
    assert kernel.libbpf == cached / "libbpf.so.1"


def test_each_file_of_a_set_is_read_once(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    whole = digests._digest

    def counted(path: Path) -> list[int | str]:
        read.append(path)
        return whole(path)

    monkeypatch.setattr(digests, "_digest", counted)
    healing.sound(None, lambda _text: None)
    assert sorted(read) == sorted(cached / name for name in json.loads((cached / digests.LIST).read_text()))


@pytest.mark.usefixtures("offline")
def test_another_kernel_that_is_whole_takes_its_place(cached: Path) -> None:
    make_set(kernels.store() / "6.17.2-amd64", "6.17.2-amd64")
    cut(cached / MODULES / "vmlinux")
    said: list[str] = []
    assert healing.sound(None, said.append).version == "6.17.2-amd64"
    assert said[-1].endswith("kernel 6.17.2-amd64 is used instead")


def test_a_set_from_before_digests_is_noted_at_its_first_use(cached: Path, fetched: list[str | None]) -> None:
    (cached / digests.LIST).unlink()
    said: list[str] = []
    healing.sound(None, said.append)
    assert (said, fetched) == ([], [])
    cut(cached / "libbpf.so.1")
    healing.sound(None, said.append)
    assert fetched == [RELEASE]


def test_a_given_set_that_is_damaged_is_refused(tmp_path: Path, cached: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(cached, copy)
    flipped(copy / MODULES / "kernel/fs/9p/9p.ko")
    with pytest.raises(NoMachineError, match=r"9p\.ko has changed"):
        healing.sound(copy, lambda _text: None)


def test_doctor_and_vm_status_say_what_is_damaged(cached: Path) -> None:
    assert requirements._vm_kernel().found
    flipped(cached / "qemu/bin/qemu-system-x86_64")
    found = requirements._vm_kernel()
    assert (found.found, found.detail) == (False, f"{RELEASE} is damaged: qemu-system-x86_64 has changed")
    assert found.fix == "autotune vm setup"
    shown = command_line.run("vm", "status").stdout
    assert f"{RELEASE} is damaged: qemu-system-x86_64 has changed; 'autotune vm setup' fetches it anew." in shown


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, flipped])
def test_an_unpacked_kernel_is_unpacked_again_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Damage
) -> None:
    """A real kernel: its image unpacks to the very same file."""
    real = next(iter(kernels.installed()), None)
    if real is None or real.unpacked is None:
        pytest.skip("no kernel was fetched here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    top = kernels.store() / RELEASE
    make_set(top)
    for name, source in (("vmlinuz", real.image), ("vmlinux", real.unpacked)):
        shutil.copyfile(source, top / MODULES / name)
    digests.note_all(top)
    damage(top / MODULES / "vmlinux")
    said: list[str] = []
    healing.sound(None, said.append)
    (line,) = said
    assert line.startswith(f"kernel {RELEASE} in the cache was damaged: vmlinux ")
    assert line.endswith("; it was unpacked anew")
    assert (top / MODULES / "vmlinux").read_bytes() == real.unpacked.read_bytes()


# --- compiled schedulers -----------------------------------------------------------------------------------


def resolved(cache: Path, notify: Callable[[str], None]) -> Path:
    spec = CatalogResolver(None, objects=cache, notify=notify)(Candidate("at_fifo"))
    assert spec.object_path is not None
    return Path(spec.object_path)


@pytest.fixture
def _types(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's types, wherever they are."""
    fetched, find = next(iter(kernels.installed()), None), build.find_headers
    headers = fetched.headers if fetched is not None else None
    monkeypatch.setattr(build, "find_headers", lambda given=None: find(given or headers))


@pytest.mark.bpf
@pytest.mark.slow
@pytest.mark.usefixtures("_types")
def test_a_damaged_object_is_said_and_compiled_anew(tmp_path: Path) -> None:
    said: list[str] = []
    path = resolved(tmp_path, said.append)
    whole = path.read_bytes()
    assert said == []
    for damage in (cut, emptied, flipped, grown):
        damage(path)
        assert build.damaged_objects(tmp_path) == [path]
        assert resolved(tmp_path, said.append) == path
        assert path.read_bytes() == whole
        assert build.damaged_objects(tmp_path) == []
    assert len(said) == 4
    assert all(text.startswith(path.name) and text.endswith("; it was compiled anew") for text in said)


@pytest.mark.bpf
@pytest.mark.slow
@pytest.mark.usefixtures("_types")
def test_an_object_without_a_digest_is_compiled_anew_without_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    path = resolved(tmp_path, said.append)
    whole = path.read_bytes()
    for note in tmp_path.glob("*.sha256"):
        note.unlink()
    cut(path)  # its writer was killed in between, or it is older than digests
    resolved(tmp_path, said.append)
    assert (said, path.read_bytes()) == ([], whole)
    assert digests.has_note(path)


def test_a_session_says_what_was_compiled_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = build.Build(tmp_path / "x.o", "0" * 64, "19", 1.0, False, "x.o has changed; it was compiled anew")
    monkeypatch.setattr("autotune.schedext.resolve.build", lambda *_given, **_more: made)
    events: list[Event] = []

    class Place:
        headers = None

    from autotune.schedext.catalogue.catalog import Catalog

    resolve = Engine().resolver(Catalog.load(), Place(), events.append, unlimited())  # type: ignore[arg-type]
    resolve(Candidate("at_fifo"))
    assert events == [Warned("x.o has changed; it was compiled anew")]


def test_doctor_says_which_object_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "autotune" / "objects" / "at_fifo-0.o"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"object" * 100)
    digests.note(path)
    assert requirements._objects().found
    cut(path)
    found = requirements._objects()
    assert isinstance(found, Check)
    assert not found.found
    assert found.detail == "1 damaged, such as at_fifo-0.o; compiled anew at the next use"


# --- programs in the store ---------------------------------------------------------------------------------


def in_store(store: Path) -> Path:
    """A program as `schedulers install` leaves it, without its note."""
    program = scx_programs.put(store / "scx_good/1.2.3", "scx_good")
    (store / "scx_good/current").symlink_to("1.2.3")
    return program


@pytest.mark.parametrize("damage", [cut, emptied, flipped, grown], ids=lambda damage: damage.__name__)
def test_a_damaged_program_is_never_started_and_named_with_what_builds_it_anew(tmp_path: Path, damage: Damage) -> None:
    program = in_store(tmp_path)
    digests.note(program)
    places = scx_programs.only(stores=[tmp_path])
    candidate, scheduler = Candidate("scx_good"), scx_programs.entry()
    spec = program_spec(candidate, scheduler, places).program
    assert spec is not None
    assert spec.argv[0] == str(program)
    damage(program)
    with pytest.raises(AutotuneError, match=rf"^{program} is damaged: it has ") as caught:
        program_spec(candidate, scheduler, places)
    assert caught.value.hint == "build it anew: autotune schedulers install scx_good"


def test_a_program_from_before_digests_is_started(tmp_path: Path) -> None:
    program = in_store(tmp_path)
    assert program_spec(Candidate("scx_good"), scx_programs.entry(), scx_programs.only(stores=[tmp_path]))
    assert not digests.has_note(program)


# --- the kernel's types ------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [cut, emptied, flipped])
def test_damaged_types_of_the_running_kernel_are_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Damage
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "_output", lambda _argv: "struct sched_ext_ops {};" * 100)
    target = build._dump_headers() / build.VMLINUX
    whole = target.read_bytes()
    damage(target)
    build._dump_headers()
    assert target.read_bytes() == whole
    monkeypatch.setattr(build, "_output", lambda _argv: "")
    damage(target)
    with pytest.raises(BuildError, match="types could not be read"):
        build._dump_headers()
