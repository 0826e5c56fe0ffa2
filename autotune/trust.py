# SPDX-License-Identifier: MIT
"""Refuses what root would run or load if anybody but root and the user could change it. Standard library only.

One check for all of these:
- our own programs that run as root (`schedext.holding.client`, `lease.replacing`), by file and directory;
- libbpf, the objects of schedulers and probes (`schedext.holding.client`, `observe.client`), and the kernel's types
  that they are compiled with (`schedext.build`);
- programs of schedulers (`schedext.programs.binaries`);
- QEMU (`machine.vm.microvm`).

It looks at the file and at every directory and link on the way to it, as the kernel goes it: owner, mode and access
control list. Trusted are root, the user, whoever called sudo, and the owner of autotune's own code, who decides what
runs anyway.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from autotune.errors import AutotuneError

_ACL = "system.posix_acl_access"
_VERSION, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_USER, _GROUP, _MASK = 0x02, 0x08, 0x10
_WRITE = 2
_MOST_LINKS = 40
"""As many as the kernel follows."""
"""Layout and tags of an access control list: include/uapi/linux/posix_acl.h and posix_acl_xattr.h of the kernel."""


def refuse_foreign(path: Path, *, would: str = "would run as root", stage: str = "scheduler") -> None:
    """Raise AutotuneError when anybody else could change or replace the file at this path, or the file that it leads
    to. Raises OSError when it is not there."""
    _refuse(path, _way_to(path), would, stage)


def refuse_foreign_code(program: Path) -> None:
    """Raise AutotuneError when anybody else could change a program of ours that is to run as root, by its file or its
    directory. The directories above these are those of the calling code itself."""
    _refuse(program, [program, program.parent], "would run as root", "attach")


def is_foreign(path: Path) -> bool:
    """Return whether `refuse_foreign` would refuse the file, or it is not there."""
    try:
        return _fault(_way_to(path)) is not None
    except OSError:
        return True


def _refuse(path: Path, places: Iterable[Path], would: str, stage: str) -> None:
    fault = _fault(places)
    if fault is not None:
        place, found = fault
        what = "it" if place == path else str(place)
        hint = f"chmod go-w {place}" if "written" in found else "use one that is root's or your own"
        raise AutotuneError(f"{path} {would}, but {what} {found}", hint=hint, stage=stage)


def _way_to(path: Path) -> Iterator[Path]:
    """Yield every directory and link on the way to a file, as the kernel goes it, and the file: each link may lead
    through directories of its own. Raises OSError for too many links."""
    whole = path if path.is_absolute() else Path(os.getcwd(), path)  # the directory may be gone
    place, left = Path("/"), [*reversed(whole.parts[1:])]
    links = 0
    yield place
    while left:
        name = left.pop()
        if name == "..":
            place = place.parent
            continue
        yield place / name
        if not (place / name).is_symlink():
            place /= name
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = Path(os.readlink(place / name))
        if target.is_absolute():
            place = Path("/")
        left += reversed(target.parts[1:] if target.is_absolute() else target.parts)


def _fault(places: Iterable[Path]) -> tuple[Path, str] | None:
    """Return the first of the places that may be somebody else's, and why; None when none is."""
    return next(((place, found) for place in places if (found := problem(place)) is not None), None)


def problem(place: Path) -> str | None:
    """Return why a file or a directory may be somebody else's, as a clause; None when it is not. Raises OSError."""
    found = place.lstat()
    if found.st_uid not in trusted_users():
        return f"belongs to {_user_name(found.st_uid)}"
    if stat.S_ISLNK(found.st_mode) or _is_sticky(found):  # who may change a link, its directory decides, or its owner
        return None
    writers = _named_writers(place)
    if writers:
        return f"can be written by {', '.join(writers)} (its access control list)"
    return "can be written by others" if _is_open(found) else None


def find_program(name: str, *also: str) -> str | None:
    """Return the path of a program, searched in PATH and then in further directories; None when it is not there. Only
    absolute entries count: by an entry such as `.` the current directory would decide what runs."""
    import shutil  # seldom needed, and starting is slow under emulation

    entries = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *also]
    return shutil.which(name, path=os.pathsep.join(entry for entry in entries if os.path.isabs(entry)))


def trusted_users() -> set[int]:
    """Return who may change what root runs, by number."""
    caller = sudo_user()
    return {0, os.geteuid(), os.getuid(), _own_owner()} | ({caller.pw_uid} if caller else set())


def sudo_user() -> pwd.struct_passwd | None:
    """Return the user who called sudo, when we are root by it."""
    uid = os.environ.get("SUDO_UID", "")
    if os.geteuid() != 0 or not uid.isdecimal() or int(uid) == 0:
        return None
    with contextlib.suppress(KeyError, OverflowError):
        return pwd.getpwuid(int(uid))
    return None


@cache
def _own_owner() -> int:
    return os.stat(__file__).st_uid


def _is_open(found: os.stat_result) -> bool:
    """Return whether others may write; with an access control list the group's bits are the mask of all entries, which
    then err on the safe side."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and found.st_gid != 0 and not _is_private_group(found)


def _is_private_group(found: os.stat_result) -> bool:
    """Return whether the group has only the owner: many distributions make one for each user."""
    try:
        group, owner = grp.getgrgid(found.st_gid), pwd.getpwuid(found.st_uid)
    except KeyError:
        return False
    return group.gr_gid == owner.pw_gid and group.gr_name == owner.pw_name and set(group.gr_mem) <= {owner.pw_name}


def _is_sticky(found: os.stat_result) -> bool:
    """Return whether it is a directory such as /tmp: others may put files into it, but not replace ours."""
    return stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_ISVTX)


def _named_writers(place: Path) -> list[str]:
    """Return the users and groups that the access control list allows to write, but for those that are trusted."""
    try:
        data = os.getxattr(place, _ACL)
    except OSError:
        return []  # there is none, or the file system has none
    entries = [_ENTRY.unpack_from(data, at) for at in range(_VERSION.size, len(data), _ENTRY.size)]
    mask = next((permission for tag, permission, _ in entries if tag == _MASK), 7)
    named = [(tag, number) for tag, permission, number in entries if permission & mask & _WRITE]
    users = [_user_name(number) for tag, number in named if tag == _USER and number not in trusted_users()]
    groups = [f"group {number}" for tag, number in named if tag == _GROUP and number != 0]
    return users + groups


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
