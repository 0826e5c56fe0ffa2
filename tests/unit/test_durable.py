# SPDX-License-Identifier: MIT
"""Files are whole or not there, drafts never stay, and a lock says who is in the way."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotune import durable
from autotune.errors import AutotuneError, BusyError

ROOT = Path(__file__).parents[2]
OLD, NEW = b"old content", b"new content"


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def full(*_args: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def busy() -> BusyError:
    return BusyError("it is in use", hint="wait")


# --- files ---


def test_a_file_is_replaced_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(OLD)
    path.chmod(0o644)
    durable.replace(path, NEW)
    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["state.json"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o027])
def test_a_file_that_the_user_named_keeps_its_mode_and_a_new_one_obeys_the_umask(tmp_path: Path, umask: int) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(OLD)
    old.chmod(0o640)
    before = os.umask(umask)
    try:
        durable.write_named(old, NEW)
        durable.write_named(new, NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert stat.S_IMODE(new.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(OLD)
    monkeypatch.setattr(os, step, full)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            durable.replace(path, NEW)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["state.json"]


FILLS = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from autotune import durable
path = Path(sys.argv[2]) / "state"
path.write_bytes(b"old")
for _ in range(3):
    try:
        durable.replace(path, bytes(1 << 20))
    except OSError as error:
        print(error.strerror)
print(path.read_bytes(), os.listdir(path.parent))
"""


def test_a_disk_that_is_really_full_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    """A file system of 64 KiB, in a mount namespace of its own."""
    small = tmp_path / "small"
    small.mkdir()
    (tmp_path / "fills.py").write_text(FILLS)
    script = 'mount -t tmpfs -o size=64k none "$3" && exec "$0" "$1" "$2" "$3"'
    argv = [sys.executable, str(tmp_path / "fills.py"), str(ROOT), str(small)]
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, *argv], capture_output=True, text=True, check=False)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no file system of our own can be mounted here: {done.stderr.strip()}")
    assert done.stdout.splitlines() == ["No space left on device"] * 3 + ["b'old' ['state']"], done.stderr


@pytest.mark.slow
def test_a_process_that_is_killed_in_mid_write_never_leaves_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from autotune import durable
number = 0
while True:
    number += 1
    durable.replace(Path({str(path)!r}), bytes([number % 256]) * 300_000)
"""
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", code])
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.05)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        content = path.read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1
        durable.sweep(tmp_path)
        assert names(tmp_path) == ["state"]


def test_the_first_of_two_that_create_a_file_wins(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert durable.create(path, OLD)
    assert not durable.create(path, NEW)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["key"]


def test_a_link_is_replaced_and_never_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(OLD)
    link = tmp_path / "link"
    link.symlink_to(target)
    durable.replace(link, NEW)
    assert (target.read_bytes(), link.read_bytes(), link.is_symlink()) == (OLD, NEW, False)


def test_the_longest_name_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    durable.replace(path, NEW)
    assert path.read_bytes() == NEW


# --- directories ---


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    place = tmp_path / "scheduler"
    durable.replace_directory(place, {"a": OLD, "b": OLD})
    durable.replace_directory(place, {"a": NEW})
    assert names(place) == ["a"]
    assert (place / "a").read_bytes() == NEW
    assert names(tmp_path) == ["scheduler"]


@pytest.mark.parametrize("failing", ["write", "rename"])
def test_a_directory_that_cannot_be_replaced_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    place = tmp_path / "scheduler"
    durable.replace_directory(place, {"a": OLD})
    real = os.rename

    def only_away(source: Path, target: Path) -> None:
        if str(source) != str(place) and str(target) == str(place) and (Path(source) / "a").read_bytes() == NEW:
            full()
        real(source, target)

    monkeypatch.setattr(durable, "_exchange", lambda *_paths: False)  # as on a file system that cannot
    monkeypatch.setattr(os, *(("fsync", full) if failing == "write" else ("rename", only_away)))
    with pytest.raises(OSError, match="No space left"):
        durable.replace_directory(place, {"a": NEW})
    monkeypatch.undo()
    assert (place / "a").read_bytes() == OLD
    assert names(tmp_path) == ["scheduler"]


def test_sweeping_removes_drafts_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(OLD)
    (tmp_path / f"{durable.DRAFT_PREFIX}state.1234").write_bytes(b"half")
    (tmp_path / f"{durable.DRAFT_PREFIX}scheduler.1").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"{durable.DRAFT_PREFIX}link").symlink_to(elsewhere)
    durable.sweep(tmp_path)
    assert names(tmp_path) == ["elsewhere", "state"]


# --- locks ---


def other_process(path: Path) -> subprocess.Popen[bytes]:
    """Holds the lock until it is killed."""
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(flush=True); time.sleep(600)"
    other = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    return other


def test_a_lock_is_refused_at_once_and_free_when_its_process_was_killed(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    other = other_process(path)
    try:
        with pytest.raises(BusyError, match="in use"), durable.locked(path, busy):
            pass
    finally:
        other.kill()
        other.wait()
    with durable.locked(path, busy):
        pass


def test_waiting_for_a_lock_is_reported_once_and_ends_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    other = other_process(path)
    notices: list[str] = []

    def waiting() -> None:
        notices.append("waiting")
        other.kill()

    with durable.locked(path, busy, wait_s=None, waiting=waiting):
        assert notices == ["waiting"]
    other.wait()


def test_waiting_for_a_lock_ends_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    other = other_process(path)
    try:
        with pytest.raises(BusyError), durable.locked(path, busy, wait_s=0.1):
            pass
    finally:
        other.kill()
        other.wait()


def test_what_is_raised_under_a_lock_frees_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with pytest.raises(KeyboardInterrupt), durable.locked(path, busy):
        raise KeyboardInterrupt
    with durable.locked(path, busy):
        pass


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AutotuneError, match=r"cannot be taken: .*symbolic"), durable.locked(tmp_path / ".lock", busy):
        pass
    assert not (tmp_path / "elsewhere").exists()


# --- files that the user named ---


def test_a_pipe_and_a_link_that_the_user_named_are_written_through(tmp_path: Path) -> None:
    pipe, target, link = tmp_path / "pipe", tmp_path / "target", tmp_path / "link"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    durable.write_named(pipe, NEW)
    assert os.read(reader, 100) == NEW
    os.close(reader)
    target.write_bytes(OLD)
    link.symlink_to(target)
    durable.write_named(link, NEW)
    assert (link.is_symlink(), target.read_bytes()) == (True, NEW)
    durable.write_named(Path("/dev/null"), NEW)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("opened", [False, True], ids=["no reader", "a reader that does not read"])
def test_a_pipe_that_nobody_reads_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: bool) -> None:
    monkeypatch.setattr(durable, "READER_S", 0.2)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK) if opened else -1
    try:
        with pytest.raises(OSError, match=r"it is a pipe that nobody has read for 0\.2 s") as caught:
            durable.write_named(pipe, bytes(1 << 20))
        assert durable.advice(caught.value, pipe) == f"start what reads {pipe}"
    finally:
        if opened:
            os.close(reader)


def test_a_reader_that_comes_later_and_reads_slowly_gets_it_all(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reads = "import sys, time; time.sleep(0.3); data = open(sys.argv[1], 'rb').read(); print(len(data))"
    with subprocess.Popen([sys.executable, "-c", reads, str(pipe)], stdout=subprocess.PIPE, text=True) as child:
        durable.write_named(pipe, bytes(1 << 20))
        assert child.communicate(timeout=60)[0] == f"{1 << 20}\n"


def test_what_a_descriptor_leads_to_is_written_at_its_place(tmp_path: Path) -> None:
    """As for `--json /dev/stdout` with standard output in a file, and `--json >(jq .)`."""
    with open(tmp_path / "out", "wb", buffering=0) as file:
        file.write(b"printed\n")
        durable.write_named(Path(f"/dev/fd/{file.fileno()}"), NEW)
        file.write(b"\nlater\n")
    assert (tmp_path / "out").read_bytes() == b"printed\n" + NEW + b"\nlater\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    reading, writing = os.pipe()
    durable.write_named(Path(f"/proc/self/fd/{writing}"), NEW)
    assert os.read(reading, 100) == NEW
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/dev/stdout", 1),
        ("/dev/stderr", 2),
        ("/dev/fd/63", 63),
        ("/dev/../dev/fd/5", 5),
        ("/proc/self/fd/1", 1),
        ("/dev/null", None),
        ("/dev/fd/x", None),
        ("/dev/fd", None),
        ("dev/stdout", None),
        ("/tmp/dev/stdout", None),
    ],
)
def test_which_paths_are_descriptors(path: str, number: int | None) -> None:
    assert durable.descriptor(Path(path)) == number


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.EBUSY])
def test_a_file_that_can_be_written_and_not_replaced_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_paths: object) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "mounted"
    path.write_bytes(OLD)
    monkeypatch.setattr(os, "replace", refuse)
    durable.write_named(path, NEW)
    assert path.read_bytes() == NEW
    assert names(tmp_path) == ["mounted"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_leaves_a_file_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_bytes(OLD)
    os.chown(path, 65534, 65534)
    durable.write_named(path, NEW)
    assert (path.stat().st_uid, path.stat().st_gid, path.read_bytes()) == (65534, 65534, NEW)


def test_a_link_is_exchanged_for_another(tmp_path: Path) -> None:
    durable.replace_link(tmp_path / "current", "1.0")
    durable.replace_link(tmp_path / "current", "1.1")
    assert os.readlink(tmp_path / "current") == "1.1"
    assert names(tmp_path) == ["current"]


def test_sweeping_the_drafts_of_one_name_leaves_those_of_others(tmp_path: Path) -> None:
    for name in ("mine.12345678", "mine.old.12345678", "other.12345678"):
        (tmp_path / f"{durable.DRAFT_PREFIX}{name}").write_bytes(b"half")
    durable.sweep(tmp_path, "mine")
    assert names(tmp_path) == [".draft-mine.old.12345678", ".draft-other.12345678"]


# --- scratch directories ---


LEFT = """
import os, signal, sys
from pathlib import Path
from autotune import durable
kept = durable.Scratch(Path(sys.argv[1]), "autotune-vm")
(kept.path / "initrd").write_bytes(b"4 MB")
print(kept.path, flush=True)
sys.stdin.read()
"""


def scratch_of_another(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    argv = [sys.executable, "-c", LEFT, str(parent)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    child = subprocess.Popen(argv, text=True, **pipes)  # type: ignore[call-overload]
    return child, Path(child.stdout.readline().strip())


def test_what_killed_processes_left_is_removed_by_the_next_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    (killed, left), (lives, used) = scratch_of_another(tmp_path), scratch_of_another(tmp_path)
    with killed, lives:
        killed.kill()
        killed.wait()
        scratch = durable.Scratch(tmp_path, "autotune-vm")
        assert (left.exists(), (used / "initrd").exists(), scratch.path.is_dir()) == (False, True, True)
        scratch.close()
        scratch.close()
        assert list(tmp_path.iterdir()) == [used]
        lives.kill()


@pytest.mark.parametrize(("age_s", "stays"), [(0, True), (600, False)])
def test_one_without_a_lock_file_is_just_being_made_or_an_older_versions(
    tmp_path: Path, age_s: int, stays: bool
) -> None:
    left = tmp_path / "autotune-vm-x"
    left.mkdir()
    os.utime(left, (time.time() - age_s,) * 2)
    durable.sweep_scratch(tmp_path, "autotune-vm")
    assert left.exists() is stays


def test_links_files_and_other_names_are_no_scratch_directories(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "autotune-vm-link").symlink_to("precious")
    (tmp_path / "autotune-vm-file").touch()
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0), follow_symlinks=False)
    durable.sweep_scratch(tmp_path, "autotune-vm")
    durable.sweep_scratch(tmp_path / "nowhere", "autotune-vm")
    assert names(tmp_path) == ["autotune-vm-file", "autotune-vm-link", "precious"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as others")
def test_another_users_directory_is_left_alone_unless_it_was_made_for_them(tmp_path: Path) -> None:
    left = tmp_path / "autotune-pristine-x"
    left.mkdir()
    os.utime(left, (0, 0))
    os.chown(left, 65534, 65534)
    durable.sweep_scratch(tmp_path, "autotune-pristine")
    assert left.exists()
    scratch = durable.Scratch(tmp_path, "autotune-pristine", (65534, 65534))
    assert (left.exists(), scratch.path.stat().st_uid) == (False, 65534)
    scratch.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as others")
def test_an_ordinary_users_overlay_is_removed_whole(tmp_path: Path) -> None:
    """Overlayfs leaves a directory that nobody but root may enter."""
    os.chown(tmp_path, 65534, 65534)
    for directory in tmp_path.parents:
        if directory.stat().st_uid == 0 and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    program = """
import os, random, shutil, sys, tempfile
from pathlib import Path
sys.path[:0] = [sys.argv[2]]
from autotune import durable
os.setgroups([]); os.setgid(65534); os.setuid(65534)  # who may not read our Python
scratch = durable.Scratch(Path(sys.argv[1]), "autotune-pristine")
(scratch.path / "layers/work/work").mkdir(parents=True)
(scratch.path / "layers/work/work").chmod(0)
scratch.close()
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path, ROOT], capture_output=True, text=True, check=False)
    assert (done.returncode, names(tmp_path)) == (0, []), done.stderr
