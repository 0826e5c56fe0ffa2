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
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from autotune.errors import BusyError

DRAFT_PREFIX = ".draft-"
"""Of whatever is not whole yet, beside what it becomes: a killed process leaves it, `sweep` removes it."""

PRIVATE = 0o600
"""Mode of what only the user may read: state, seals, transcripts."""

_POLL_S = 0.02


# --- files -----------------------------------------------------------------------------------------------


def replace(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Write a file whole, in place of an older one. Its directory must exist. Raises OSError; then the old file is
    as it was."""
    with _draft_file(path, content, mode) as draft:
        os.replace(draft, path)
    _sync_directory(path.parent)


def replace_keeping_mode(path: Path, content: bytes) -> None:
    """Write a file whole; one that is there keeps its mode, a new one gets what the umask allows. For files that the
    user named. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        mode = stat.S_IMODE(path.stat().st_mode)
        return replace(path, content, mode=mode)
    return replace(path, content, mode=0o666 & ~_umask())


def create(path: Path, content: bytes, *, mode: int = PRIVATE) -> bool:
    """Write a file whole unless there is one: complete from the first moment that it can be seen. False when another
    process was first. Raises OSError."""
    with _draft_file(path, content, mode) as draft:
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
    _sync_directory(path.parent)
    return True


@contextlib.contextmanager
def _draft_file(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """The content on the disk, under a name beside `path`; gone afterwards unless it was renamed."""
    draft = _draft_name(path)
    try:
        with open(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode), "wb"
        ) as file:
            os.fchmod(file.fileno(), mode)  # the umask may have taken bits away
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _draft_name(path: Path) -> Path:
    return path.with_name(f"{DRAFT_PREFIX}{path.name[:200]}.{secrets.token_hex(4)}")


def _umask() -> int:
    """The process's umask, read without changing it (Linux 4.7, proc_pid_status(5)); 0o077 where it is not told."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o077


def _sync_directory(path: Path) -> None:
    """Bring a rename to the disk. File systems that cannot do that for directories say EINVAL."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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
            replace(draft / name, content, mode=mode)
        put_directory(draft, path)


@contextlib.contextmanager
def draft_directory(path: Path) -> Iterator[Path]:
    """A new directory beside `path`, to be filled and given to `put_directory`; gone afterwards if it was not."""
    draft = _draft_name(path)
    draft.mkdir(mode=0o700)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def put_directory(draft: Path, path: Path) -> None:
    """Rename a whole directory to its place; an older one there goes only once the new one is in its place. Raises
    OSError; then the old one is as it was."""
    old = _draft_name(path)
    try:
        os.rename(path, old)
    except FileNotFoundError:
        os.rename(draft, path)
    else:
        try:
            os.rename(draft, path)
        except BaseException:
            os.rename(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    _sync_directory(path.parent)


def sweep(directory: Path) -> None:
    """Remove the drafts of processes that were killed. Only under the lock that guards the directory."""
    with contextlib.suppress(OSError):
        for left in directory.glob(f"{DRAFT_PREFIX}*"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


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
    `wait_s` (None: for ever) after telling `waiting` once, then raise what `busy` makes. Raises OSError when the file
    cannot be made."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        _take(lock, busy, wait_s, waiting)
        yield
    finally:
        os.close(lock)


def _take(lock: int, busy: Callable[[], BusyError], wait_s: float | None, waiting: Callable[[], None]) -> None:
    deadline = None if wait_s is None else time.monotonic() + wait_s
    told = False
    while not _taken(lock):
        if deadline is not None and time.monotonic() >= deadline:
            raise busy()
        if not told:
            waiting()
            told = True
        time.sleep(_POLL_S)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
