# SPDX-License-Identifier: MIT
"""Gives every run the same files: an overlay over the working directory, seen only by one helper and its children.

The measuring helper calls `cover` once, before it drops to the user and runs anything. The overlay lives in the
helper's own mount namespace, so it is gone with the helper, however that ends. Its layers are directories that the
client makes and removes. Root needs nothing else; an ordinary user needs a user namespace (overlay mounts there: Linux
5.11). Not covered: files outside the directory, and setup and cleanup, which run without it. Differences from the plain
directory for an ordinary user: set-user-ID programs gain no rights, renaming a directory that existed before fails with
EXDEV (mv then copies), and hard links come apart when they are written.
Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from autotune.errors import AutotuneError, UsageError

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18
_NO_UPPER_LAYER = {"overlay", "9p", "virtiofs", "fuse", "fuseblk", "nfs", "nfs4", "cifs", "smb3", "vfat", "ramfs"}
"""File systems that cannot have an overlay's writable layer, or are not trusted with it."""
_HINT = "allow user namespaces, run as root, use --machine vm, or undo what a run does with --prepare"


class Mount(NamedTuple):
    path: str
    kind: str


# --- the client's side -----------------------------------------------------------------------------------


def make_layers(scratch: str) -> str:
    """Make a private directory below `scratch` for the layers of one overlay. Raises AutotuneError when that fails."""
    import tempfile  # here and below, not above: costs the helper's start-up time, and the helper does not need it

    try:
        return tempfile.mkdtemp(prefix="layers-", dir=scratch)
    except OSError as error:
        raise AutotuneError(
            f"no room for the files of a pristine run in {scratch}: {error.strerror}",
            hint="free some space, or set TMPDIR to a directory with space",
            stage="pristine",
        ) from error


def remove_layers(layers: str) -> None:
    """Remove what `make_layers` made, with everything written meanwhile; never raises."""
    import shutil

    if os.geteuid() != 0:  # overlayfs leaves a directory that only root may enter as it is
        _make_enterable(layers)
    shutil.rmtree(layers, ignore_errors=True)


def _make_enterable(top: str) -> None:
    for directory, names, _ in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)


# --- the helper's side -----------------------------------------------------------------------------------


def cover(cwd: str, layers: str) -> None:
    """Put an overlay over `cwd` for this process and what it starts; what they write goes below `layers`, an empty
    directory. If that is on a file system that cannot take it, or within `cwd`, writes go to memory instead. The
    process must have one thread. Raises UsageError when `cwd` cannot be covered, AutotuneError when the kernel
    refuses."""
    options = _enter_namespace()
    target = os.path.realpath(cwd)
    mounts = read_mounts()
    _refuse_mounts_below(target, mounts)
    if file_system_of(layers, mounts) in _NO_UPPER_LAYER or _is_within(layers, target):
        _mount("tmpfs", layers, "tmpfs", 0, "mode=0700")
    with _directories(target, layers) as (lower, upper, work):
        # By descriptor, because commas and colons in a path have a meaning to overlayfs.
        names = f"lowerdir=/proc/self/fd/{lower},upperdir=/proc/self/fd/{upper},workdir=/proc/self/fd/{work}"
        _mount("overlay", target, "overlay", 0, f"{names},{options}")


def _enter_namespace() -> str:
    """Enter a mount namespace of our own. Returns the options that an overlay takes in it."""
    if os.geteuid() == 0:
        _unshare(_CLONE_NEWNS)
        options = "redirect_dir=on,index=on"  # so that directories can be renamed, and hard links stay together
    else:
        _unshare_user()
        options = "userxattr"
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE, "")
    return options


def _unshare_user() -> None:
    """Enter a user namespace in which this user is itself, so that files keep their owner."""
    uid, gid = os.geteuid(), os.getegid()
    _unshare(_CLONE_NEWUSER | _CLONE_NEWNS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        try:
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
        except OSError as error:  # AppArmor on Ubuntu lets the namespace be made and forbids its use
            _refused("a user namespace", error.errno or 0)


@contextlib.contextmanager
def _directories(target: str, layers: str) -> Iterator[tuple[int, int, int]]:
    """Yield descriptors of the lower, upper and work directory; the latter two are created. The top of the overlay has
    owner and mode of the upper directory, which therefore copies those of `target`."""
    with contextlib.ExitStack() as stack:
        opened = []

        def opened_directory(path: str, parent: int | None = None) -> int:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            stack.callback(os.close, fd)
            return fd

        try:
            lower, below = opened_directory(target), opened_directory(layers)
            for name in ("upper", "work"):
                os.mkdir(name, 0o700, dir_fd=below)
                opened.append(opened_directory(name, below))
            _copy_owner_and_mode(lower, opened[0])
        except OSError as error:
            raise UsageError(
                f"{error.filename or target} cannot be used for a pristine run: {error.strerror}",
                hint="the directory must exist and be readable",
                stage="pristine",
            ) from error
        yield lower, opened[0], opened[1]


def _copy_owner_and_mode(source: int, target: int) -> None:
    wanted = os.stat(source)
    with contextlib.suppress(PermissionError):  # an ordinary user in somebody else's directory
        os.chown(target, wanted.st_uid, wanted.st_gid)
    os.chmod(target, wanted.st_mode & 0o7777)


def read_mounts(path: str = "/proc/self/mountinfo") -> list[Mount]:
    """Read all mounts of this process, in the order made."""
    mounts = []
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split()
            kind = fields[fields.index("-") + 1]
            mounts.append(Mount(_unescaped(fields[4]), kind))
    return mounts


def _unescaped(path: str) -> str:
    """Decode the octal escapes with which mountinfo writes white space and backslashes."""
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(octal, character)
    return path


def _is_within(path: str, top: str) -> bool:
    return (path + "/").startswith(top.rstrip("/") + "/")


def file_system_of(path: str, mounts: list[Mount]) -> str:
    """Return the type of the file system that `path` is on; of two mounts on one path the later covers the earlier."""
    above = [mount for mount in mounts if _is_within(path, mount.path)]
    return max(enumerate(above), key=lambda pair: (len(pair[1].path), pair[0]))[1].kind if above else ""


def _refuse_mounts_below(target: str, mounts: list[Mount]) -> None:
    below = [mount for mount in mounts if mount.path != target and _is_within(mount.path, target)]
    if below:
        raise UsageError(
            f"--pristine cannot cover {target}: another file system is mounted below it, at {below[0].path}",
            hint="run from a directory further down, or use --prepare instead",
            stage="pristine",
        )


# --- system calls ----------------------------------------------------------------------------------------


def _unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(ctypes.c_int(flags)) != 0:
        _refused("a user namespace" if flags & _CLONE_NEWUSER else "a mount namespace", ctypes.get_errno())


def _mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    mount = ctypes.CDLL(None, use_errno=True).mount
    mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
    source_name, target_name, kind_name, data = (os.fsencode(text) for text in (source, target, kind, options))
    if mount(source_name, target_name, kind_name, flags, data) != 0:
        _refused(f"an {kind} on {target}" if kind == "overlay" else f"a mount on {target}", ctypes.get_errno())


def _refused(what: str, number: int) -> NoReturn:
    raise AutotuneError(
        f"--pristine is not possible here: the kernel refuses {what} ({os.strerror(number)})",
        hint=_HINT,
        stage="pristine",
    )
