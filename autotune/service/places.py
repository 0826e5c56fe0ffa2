# SPDX-License-Identifier: MIT
"""Where the service listens, and how it gets its socket: from systemd, or by hand. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import TypeAlias

from autotune import durable, resources
from autotune.errors import AutotuneError, BusyError

SYSTEM = Path("/run/autotune/socket")
VARIABLE = "AUTOTUNE_SOCKET"
"""The user's own choice of a service; never a project's."""
BACKLOG = 256
_FIRST_FD = 3
Listener: TypeAlias = socket.socket
_STAGE = "daemon"


def own() -> Path:
    """Return where a user's own service listens."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(runtime) / "autotune" if os.path.isabs(runtime) else resources.state_dir()
    return base / "socket"


def candidates() -> tuple[Path, ...]:
    """Return where a client looks, in order: what the user names, else the machine's, then the user's own."""
    given = os.environ.get(VARIABLE, "")
    return (Path(given),) if given else (SYSTEM, own())


def inherited(environ: MutableMapping[str, str]) -> socket.socket | None:
    """Return the socket that systemd passed (sd_listen_fds(3)); None when it passed none. The variables are removed:
    they are not for what we start. Raises AutotuneError when it is no listening Unix socket."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal() or int(count) == 0:
        return None
    try:
        if int(count) != 1:
            raise OSError(errno.EINVAL, f"{count} sockets were passed, and one is wanted")
        found = socket.socket(fileno=_FIRST_FD)
        is_listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if found.family != socket.AF_UNIX or found.type != socket.SOCK_STREAM or not is_listening:
            raise OSError(errno.EINVAL, "it is no listening Unix socket")
    except OSError as error:
        raise AutotuneError(f"the socket from systemd cannot be used: {error.strerror}", stage=_STAGE) from error
    os.set_inheritable(found.fileno(), False)
    return found


@contextlib.contextmanager
def listening(path: Path, gid: int | None) -> Iterator[socket.socket]:
    """Yield a socket that listens at `path`, for its owner and the group alone. An old socket there is replaced, unless
    a service still listens. Raises AutotuneError, BusyError."""
    with durable.explained(f"the socket {path} cannot be made", path, stage=_STAGE):
        path.parent.mkdir(mode=0o755 if gid is not None else 0o700, parents=True, exist_ok=True)
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with found, durable.locked(path.with_name(f"{path.name}.lock"), lambda: _busy(path)):
        with durable.explained(f"the socket {path} cannot be made", path, stage=_STAGE):
            _remove_old(path)
            _bind(found, path, gid)
            found.listen(BACKLOG)
        try:
            yield found
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def _bind(found: socket.socket, path: Path, gid: int | None) -> None:
    before = os.umask(0o177)  # nobody may connect before the group is set
    try:
        found.bind(str(path))
    finally:
        os.umask(before)
    if gid is not None:
        os.chown(path, -1, gid)
        os.chmod(path, 0o660)


def _remove_old(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "there is something else")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
        raise _busy(path)


def _busy(path: Path) -> BusyError:
    return BusyError(f"a daemon listens at {path} already", hint="stop it, or name another --socket", stage=_STAGE)
