# SPDX-License-Identifier: MIT
"""Opens a file of another's to be read, once it is known to be a regular one: to open a device may have an effect (a
watchdog starts), and to open a pipe lets its writer go on.

It is looked at through a descriptor that cannot be read (O_PATH), and what is read is what was looked at, even if its
name leads elsewhere meanwhile. Imported by what must start within milliseconds, as root too: standard library only.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def regular(path: str | Path, *, follow: bool = True) -> int:
    """Return a descriptor to read a regular file from. Without `follow`, the last part of the path must be no link.
    Raises OSError, also for what is no regular file, which is not opened."""
    place = os.open(path, os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        require_regular(os.fstat(place))
        return os.open(f"/proc/self/fd/{place}", _READ)
    except FileNotFoundError:  # it is there: callers must not take it for one that is missing
        raise OSError(errno.EIO, "it cannot be opened without /proc", str(path)) from None
    except OSError as error:
        if error.filename is not None:  # the descriptor's
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        os.close(place)


def require_regular(found: os.stat_result) -> None:
    """Raise OSError for what is no regular file."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "it is a link")
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
