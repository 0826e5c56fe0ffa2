# SPDX-License-Identifier: MIT
"""One way to write a file whole or not at all, and one way to lock. Standard library only.

What always holds here:
- a reader sees the old content or the new content, never a part: the new file is written beside the old one, brought
  to the disk, and renamed over it;
- whatever fails (a full disk, a directory that vanishes, Ctrl-C), no draft stays behind;
- a lock is a file of its own, since the file beside it is replaced; the kernel drops it with the process, so that no
  lock outlives a crash;
- who waits for a lock waits for a stated time and then says who is in the way.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from autotune.errors import AutotuneError, BusyError

DRAFT_PREFIX = ".draft-"
"""Of whatever is not whole yet, beside what it becomes: a killed process leaves it, `sweep` removes it."""

PRIVATE = 0o600
"""Mode of what only the user may read: state, seals, transcripts."""
SHARED = 0o644
"""Mode of what anybody may read: caches."""

_POLL_S = 0.02
_EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2)."""
_IN_PLACE = (errno.EPERM, errno.EACCES, errno.EBUSY)
"""Why a file cannot be replaced although it can be written: its directory takes no second file (or is sticky and the
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
    """What to do about a file that cannot be read or written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"free some space on the disk of {path}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path} and its directory must be yours to write"
    if error.errno == errno.EROFS:
        return f"{path} is on a read-only file system: mount it for writing, or name another place"
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENXIO):
        return f"move away what is in the place of {path}"
    return f"look at {path}, its directory and its disk"


# --- files -----------------------------------------------------------------------------------------------


def replace(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Write a file whole, in place of an older one. Its directory must exist. Raises OSError; then the old file is
    as it was."""
    with writing(path, mode=mode) as file:
        file.write(content)


def write_named(path: Path, content: bytes) -> None:
    """Write a file that the user named, through links. One that is there keeps its mode and owner, a new one gets what
    the umask allows. Devices and pipes are written in place, and so is a file that can be written but not replaced.
    Raises OSError."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
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


def create(path: Path, content: bytes, *, mode: int = PRIVATE) -> bool:
    """Write a file whole unless there is one: complete from the first moment that it can be seen. False when another
    process was first. Raises OSError."""
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
    """A file to fill, which takes the place of `path` when the block ends well. `like` is a file whose owner it gets
    where we may give it away; without `sync` a crash of the system may lose it. Raises OSError; then the old file is
    as it was."""
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
    """Make `path` a symbolic link to `target`, in place of an older one. Raises OSError; then the old one stays."""
    draft = _draft_name(path)
    try:
        draft.symlink_to(target)
        os.replace(draft, path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


@contextlib.contextmanager
def _draft_file(path: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file beside `path`; gone afterwards unless it was renamed."""
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
    """Make the file that owner's: root replaces the files of a user under sudo."""
    with contextlib.suppress(OSError):
        os.fchown(file.fileno(), like.st_uid, like.st_gid)
        os.fchmod(file.fileno(), mode)  # giving it away took the set-user-ID bit


def _draft_name(path: Path) -> Path:
    return path.with_name(f"{DRAFT_PREFIX}{path.name[:200]}.{os.urandom(4).hex()}")


def _umask() -> int:
    """The process's umask, read without changing it (Linux 4.7, proc_pid_status(5)); 0o077 where it is not told."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o077


def _sync_file(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Bring a rename to the disk. File systems that cannot do that for directories report EINVAL; a directory that we
    may write and not read cannot be opened."""
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
    """Write a directory of files whole, in place of an older one. Raises OSError; then the old one is as it was."""
    with draft_directory(path) as draft:
        for name, content in files.items():
            (draft / name).write_bytes(content)
            (draft / name).chmod(mode)
        put_directory(draft, path)


@contextlib.contextmanager
def draft_directory(path: Path) -> Iterator[Path]:
    """A new directory beside `path`, to be filled and given to `put_directory`; gone afterwards if it was not."""
    draft = _draft_name(path)
    try:
        draft.mkdir(mode=0o700)
        yield draft
    finally:
        _remove_tree(draft)


def put_directory(draft: Path, path: Path) -> None:
    """Bring a whole directory to the disk and rename it to its place, in one step with the older one that is there;
    that one goes then. Raises OSError; then the old one is as it was."""
    _sync_tree(draft)
    if not os.path.lexists(path):
        os.rename(draft, path)
    elif _exchange(draft, path):
        _remove_tree(draft)
    else:
        _put_in_two_steps(draft, path)
    _sync_directory(path.parent)


def remove_directory(path: Path) -> None:
    """Remove a directory so that nobody sees half of it. Raises OSError."""
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
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def sweep(directory: Path, name: str | None = None) -> None:
    """Remove the drafts that killed processes left; of one file or directory if it is named. Only under the lock that
    guards all who write them."""
    which = "*" if name is None else f"{glob.escape(name[:200])}.????????"
    with contextlib.suppress(OSError):
        for left in directory.glob(f"{DRAFT_PREFIX}{which}"):
            _remove_tree(left)


# --- locks -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(
    path: Path,
    busy: Callable[[], BusyError],
    *,
    wait_s: float | None = 0.0,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold the lock file `path` meanwhile; its directory must exist. While another process holds it: wait up to
    `wait_s` (None: for ever) after calling `waiting` once, then raise what `busy` makes. Raises AutotuneError (of the
    stage of `busy`) when the file cannot be made."""
    with explained(f"the lock {path} cannot be taken", path, stage=busy().stage):
        lock = open_lock(path)
    try:
        _take(lock, busy, wait_s, waiting)
        yield
    finally:
        os.close(lock)


def open_lock(path: Path) -> int:
    """A lock file, open, and readable for its owner alone: who can read it could lock it. Raises OSError."""
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
    """Take an open lock file; False while another process has it. Raises OSError."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_holders(path: Path, proc: Path = Path("/proc")) -> set[int]:
    """The processes that hold a lock on the file, as far as the kernel shows them; none is disturbed by asking."""
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
