# SPDX-License-Identifier: MIT
"""One way to write a file whole or not at all, and one way to lock. Standard library only.

What always holds here:
- a reader sees the old content or the new content, never a part: the new file is written beside the old one, brought
  to the disk, and renamed over it;
- whatever fails (a full disk, a directory that vanishes, Ctrl-C), no draft stays behind;
- a scratch directory has a lock, so that what a killed process left can be told from what is in use;
- a lock is a separate file, because the file that it protects is replaced; the kernel drops it with the process, so no
  lock outlives a crash;
- waiting for a lock takes a stated time at most; then an error names who has it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import re
import select
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from autotune.errors import AutotuneError, BusyError

DRAFT_PREFIX = ".draft-"
"""Suffix of anything that is not whole yet, beside its final place. A killed process leaves it; `sweep` removes it."""

PRIVATE = 0o600
"""Mode of files that only the user may read: state, seals, transcripts."""
SHARED = 0o644
"""Mode of files that anybody may read: caches."""

READER_S = 30.0
"""How long a named pipe may be without a reader, or its reader without reading, before writing to it is given up."""

_POLL_S = 0.02
_OWNED = ".owned"
"""Lock file of a scratch directory."""
_UNMARKED_S = 60.0
"""Age from which a scratch directory without a lock file has no owner: it is not just being made."""
_EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2)."""
_IN_PLACE = (errno.EPERM, errno.EACCES, errno.EBUSY)
"""Errors of a rename over a file that itself can be written: its directory takes no second file (or is sticky and the
file another user's), or something is mounted on it."""


# --- errors ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def explained(what: str, path: Path, *, stage: str = "", error: type[AutotuneError] = AutotuneError) -> Iterator[None]:
    """Turn an OSError into one of ours: `what` could not be done, why, and what to do about `path`."""
    try:
        yield
    except OSError as cause:
        raise error(f"{what}: {cause.strerror or cause}", hint=advice(cause, path), stage=stage) from cause


def advice(error: OSError, path: Path) -> str:
    """Return advice about a file that cannot be read or written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"free some space on the disk of {path}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"make {path} and its directory writable for you"
    if error.errno == errno.EROFS:
        return f"{path} is on a read-only file system: mount it for writing, or name another place"
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENXIO):
        return f"move away what is at {path}"
    if error.errno == errno.EPIPE:
        return f"start what reads {path}"
    return f"check {path}, its directory and its disk"


# --- files -----------------------------------------------------------------------------------------------


def replace(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Replace a file as a whole. Its directory must exist. Raises OSError; the old file is then unchanged."""
    with writing(path, mode=mode) as file:
        file.write(content)


def write_named(path: Path, content: bytes) -> None:
    """Write a file that the user named, following links. An existing one keeps its mode and owner; a new one gets what
    the umask allows. Devices and pipes are written in place, and so is a file that can be written but not replaced.
    Raises OSError, also for a pipe that nobody reads for READER_S."""
    if (number := descriptor(path)) is not None:
        with open(os.dup(number), "wb") as file:  # at its place in the file, after what was printed
            file.write(content)
        return
    if path.exists() and not path.is_file():
        _write_through(path, content)
        return
    target = Path(os.path.realpath(path))
    old = target.stat() if target.exists() else None
    mode = stat.S_IMODE(old.st_mode) if old is not None else 0o666 & ~_umask()
    try:
        with writing(target, mode=mode, like=old) as file:
            file.write(content)
    except OSError as error:
        if old is None or error.errno not in _IN_PLACE:
            raise
        target.write_bytes(content)


_DESCRIPTOR = re.compile(r"/dev/(stdin|stdout|stderr)|/(?:dev|proc/self)/fd/([0-9]{1,9})")


def descriptor(path: Path) -> int | None:
    """Return the open descriptor that a path names, such as 1 for /dev/stdout; None for other paths. What it leads to
    has a name of its own, or none, and neither may be replaced or removed in its place."""
    found = _DESCRIPTOR.fullmatch(os.path.abspath(path))
    if found is None:
        return None
    return ("stdin", "stdout", "stderr").index(found[1]) if found[1] else int(found[2])


def _write_through(path: Path, content: bytes) -> None:
    """Write into a pipe or a device, which may take a while."""
    fd = _opened_once_read(path)
    try:
        left = memoryview(content)
        while left:
            try:
                left = left[os.write(fd, left) :]
            except BlockingIOError:
                if not select.select((), (fd,), (), READER_S)[1]:
                    raise _unread(path) from None
    finally:
        os.close(fd)


def _opened_once_read(path: Path) -> int:
    end = time.monotonic() + READER_S
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
            if time.monotonic() >= end:
                raise _unread(path) from None
        time.sleep(_POLL_S)


def _unread(path: Path) -> OSError:
    return OSError(errno.EPIPE, f"it is a pipe that nobody has read for {READER_S:g} s", str(path))


def create(path: Path, content: bytes, *, mode: int = PRIVATE) -> bool:
    """Write a file as a whole unless there is one: it is complete from the moment it appears. Returns False when
    another process was first. Raises OSError."""
    with _draft_file(path, mode) as (draft, file):
        file.write(content)
        _sync_file(file)
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
    _sync_directory(path.parent)
    return True


@contextlib.contextmanager
def writing(
    path: Path, *, mode: int = PRIVATE, sync: bool = True, like: os.stat_result | None = None
) -> Iterator[BinaryIO]:
    """Yield a file to fill; it replaces `path` when the block ends without an error. The new file gets the owner of
    `like` where we may change owners; without `sync` a crash of the system may lose it. Raises OSError; the old file is
    then unchanged."""
    with _draft_file(path, mode) as (draft, file):
        if like is not None:
            _give(file, like, mode)
        yield file
        if sync:
            _sync_file(file)
        file.close()  # a full disk may be reported here
        os.replace(draft, path)
    if sync:
        _sync_directory(path.parent)


def replace_link(path: Path, target: str) -> None:
    """Make `path` a symbolic link to `target`, replacing an older one. Raises OSError; the old one then stays."""
    draft = _draft_name(path)
    try:
        draft.symlink_to(target)
        os.replace(draft, path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


@contextlib.contextmanager
def _draft_file(path: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield a new file beside `path`; it is removed afterwards unless it was renamed."""
    draft = _draft_name(path)
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with open(fd, "wb") as file:
            os.fchmod(fd, mode)  # the umask may have taken bits away
            yield draft, file
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _give(file: BinaryIO, like: os.stat_result, mode: int) -> None:
    """Give the file that owner: root replaces the files of a user under sudo."""
    with contextlib.suppress(OSError):
        os.fchown(file.fileno(), like.st_uid, like.st_gid)
        os.fchmod(file.fileno(), mode)  # changing the owner cleared the set-user-ID bit


def _draft_name(path: Path) -> Path:
    return path.with_name(f"{DRAFT_PREFIX}{path.name[:200]}.{os.urandom(4).hex()}")


def _umask() -> int:
    """Return the process's umask, read without changing it (Linux 4.7, proc_pid_status(5)); 0o077 where it is not
    shown."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o077


def _sync_file(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Bring a rename to the disk. File systems that cannot sync directories report EINVAL; a directory that we may
    write but not read cannot be opened."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)


# --- directories -----------------------------------------------------------------------------------------


def replace_directory(path: Path, files: Mapping[str, bytes], *, mode: int = PRIVATE) -> None:
    """Replace a directory of files as a whole. Raises OSError; the old one is then unchanged."""
    with draft_directory(path) as draft:
        for name, content in files.items():
            (draft / name).write_bytes(content)
            (draft / name).chmod(mode)
        put_directory(draft, path)


@contextlib.contextmanager
def draft_directory(path: Path) -> Iterator[Path]:
    """Yield a new directory beside `path`, to fill and pass to `put_directory`; it is removed afterwards if that did
    not happen."""
    draft = _draft_name(path)
    try:
        draft.mkdir(mode=0o700)
        yield draft
    finally:
        _remove_tree(draft)


def put_directory(draft: Path, path: Path) -> None:
    """Bring a filled directory to the disk and rename it into place, exchanging it in one step with the older one,
    which is then removed. Raises OSError; the old one is then unchanged."""
    _sync_tree(draft)
    if not os.path.lexists(path):
        os.rename(draft, path)
    elif _exchange(draft, path):
        _remove_tree(draft)
    else:
        _put_in_two_steps(draft, path)
    _sync_directory(path.parent)


def remove_directory(path: Path) -> None:
    """Remove a directory so that nobody sees a part of it. Raises OSError."""
    draft = _draft_name(path)
    os.rename(path, draft)
    _remove_tree(draft)


def _exchange(draft: Path, path: Path) -> bool:
    """Exchange two names in one step; False where the file system or the C library cannot."""
    import ctypes  # here, not above: few need it, and it is slow to load under emulation

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    at_cwd = -100
    if call(at_cwd, os.fsencode(draft), at_cwd, os.fsencode(path), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), str(path))


def _put_in_two_steps(draft: Path, path: Path) -> None:
    old = _draft_name(path)
    os.rename(path, old)
    try:
        os.rename(draft, path)
    except BaseException:
        os.rename(old, path)
        raise
    _remove_tree(old)


def _sync_tree(top: Path) -> None:
    for place, _, names in os.walk(top):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
        _sync_directory(Path(place))


def _remove_tree(path: Path) -> None:
    import shutil  # here, not above: the holder needs no trees

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        if path.is_dir() and os.geteuid() != 0:
            _make_enterable(path)
            shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _make_enterable(top: Path) -> None:
    """Let the user enter all directories: overlayfs leaves one that only root may enter as it is."""
    for place, names, _ in os.walk(top):
        for name in names:
            directory = Path(place, name)
            if not directory.is_symlink():
                with contextlib.suppress(OSError):
                    directory.chmod(0o700)


def sweep(directory: Path, name: str | None = None) -> None:
    """Remove the drafts that killed processes left, or only those of `name`. Call it under the lock that guards all
    writers."""
    which = "*" if name is None else f"{glob.escape(name[:200])}.????????"
    with contextlib.suppress(OSError):
        for left in directory.glob(f"{DRAFT_PREFIX}{which}"):
            _remove_tree(left)


# --- scratch directories ---------------------------------------------------------------------------------


class Scratch:
    """A new private directory `path` below `parent`, until it is closed or its process ends. What killed processes left
    of the same kind is removed first. `owner`, a user and group ID, may write into it too. Raises OSError."""

    def __init__(self, parent: Path, kind: str, owner: tuple[int, int] | None = None) -> None:
        import tempfile  # here, not above: the holder needs none

        sweep_scratch(parent, kind, owner)
        self.path = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=parent))
        self._lock = -1
        try:
            self._lock = open_lock(self.path / f"{_OWNED}-soon")
            try_lock(self._lock)
            os.rename(self.path / f"{_OWNED}-soon", self.path / _OWNED)  # free for nobody, not even for a moment
            if owner is not None:
                os.chown(self.path, *owner)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the directory; never raises, and may be called again."""
        _remove_tree(self.path)
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def sweep_scratch(parent: Path, kind: str, owner: tuple[int, int] | None = None) -> None:
    """Remove the scratch directories of a kind that no process owns any more: ours, and those of `owner`."""
    users = {os.geteuid(), *(owner or ())[:1]}
    with contextlib.suppress(OSError):
        for path in parent.glob(f"{glob.escape(kind)}-*"):
            with contextlib.suppress(OSError):
                status = path.lstat()
                if stat.S_ISDIR(status.st_mode) and status.st_uid in users and not _is_owned(path, status):
                    _remove_tree(path)


def _is_owned(path: Path, status: os.stat_result) -> bool:
    try:
        lock = os.open(path / _OWNED, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return time.time() - status.st_mtime < _UNMARKED_S
    try:
        return not try_lock(lock)
    finally:
        os.close(lock)


# --- locks -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(
    path: Path,
    busy: Callable[[], BusyError],
    *,
    wait_s: float | None = 0.0,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; its directory must exist. While another process holds it, wait up
    to `wait_s` (None: for ever) after calling `waiting` once, then raise what `busy` makes. Raises AutotuneError (of
    the stage of `busy`) when the file cannot be made."""
    with explained(f"the lock {path} cannot be taken", path, stage=busy().stage):
        lock = open_lock(path)
    try:
        _take(lock, busy, wait_s, waiting)
        yield
    finally:
        os.close(lock)


def open_lock(path: Path) -> int:
    """Open a lock file, readable for its owner alone: whoever can read it could lock it. Raises OSError."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, PRIVATE)
    try:
        status = os.fstat(lock)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.ENXIO, "it is not a file", str(path))
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != PRIVATE:
            os.fchmod(lock, PRIVATE)  # it was made by an older autotune
    except BaseException:
        os.close(lock)
        raise
    return lock


def try_lock(lock: int) -> bool:
    """Take an open lock file. Returns False while another process holds it. Raises OSError."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_holders(path: Path, proc: Path = Path("/proc")) -> set[int]:
    """Return the processes that hold a lock on the file, as far as the kernel shows them, without disturbing them."""
    try:
        status = os.stat(path)
        lines = (proc / "locks").read_text().splitlines()
    except OSError:
        return set()
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    rows = [line.split() for line in lines]
    return {int(row[4]) for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5] == wanted}


def _take(lock: int, busy: Callable[[], BusyError], wait_s: float | None, waiting: Callable[[], None]) -> None:
    deadline = None if wait_s is None else time.monotonic() + wait_s
    is_waiting = False
    while not try_lock(lock):
        if deadline is not None and time.monotonic() >= deadline:
            raise busy()
        if not is_waiting:
            waiting()
            is_waiting = True
        time.sleep(_POLL_S)
