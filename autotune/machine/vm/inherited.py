# SPDX-License-Identifier: MIT
"""Carries into the micro-VM what a command inherits when it is run by hand: the limits and the umask of the process
that started autotune, and an environment that names no descriptors of the host. Standard library only, since the guest
agent imports it.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
from collections.abc import Mapping

from autotune.process import Message

_LIMITS = ("RLIMIT_NOFILE", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_NPROC", "RLIMIT_MEMLOCK")
"""Those that stand in nobody's way: the agent has them too."""
_FLAGS = ("MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS", "CARGO_MAKEFLAGS")
_HOSTS_OWN = re.compile(r"(?:^|(?<=\s))--(?:jobserver-(?:auth|fds)|sync-mutex)=\S*\s?")
"""Descriptors or pipes of a make on the host, which no process in the VM can use."""
_UNLIMITED_JOBS = re.compile(r"(?:^|(?<=\s))-j(?=\s|$)")


def environment(env: Mapping[str, str], cpus: int) -> dict[str, str]:
    """Return the environment for the VM. A make inside has as many jobs as the one outside, but shares none with it."""
    return {name: without_jobserver(value, cpus) if name in _FLAGS else value for name, value in env.items()}


def without_jobserver(flags: str, cpus: int) -> str:
    """Drop the jobserver from make's flags. Up to make 4.1 these name it beside a bare -j, which alone would mean any
    number of jobs."""
    options, dashes, variables = flags.partition(" -- ")
    kept = _HOSTS_OWN.sub("", options)
    if kept != options:
        kept = _UNLIMITED_JOBS.sub(f"-j{cpus}", kept)
    return kept + dashes + variables


def read(status: str = "/proc/self/status") -> Message:
    """Read umask and limits of this process, as `take_on` takes them."""
    umask = None
    with contextlib.suppress(OSError), open(status) as file:  # reading it by umask(2) would change it meanwhile
        umask = next((int(line.split()[1], 8) for line in file if line.startswith("Umask:")), None)
    return {"umask": umask, "limits": {name: resource.getrlimit(getattr(resource, name)) for name in _LIMITS}}


def take_on(given: Message) -> None:
    """Give this process the umask and the limits that `read` returned on the host, as far as this kernel allows."""
    if given.get("umask") is not None:
        os.umask(given["umask"])
    for name in _LIMITS:
        limit = given.get("limits", {}).get(name)
        if limit is not None:
            most = _most_files() if name == "RLIMIT_NOFILE" else None
            wanted = tuple(value if most is None or 0 <= value <= most else most for value in limit)
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(getattr(resource, name), (wanted[0], wanted[1]))


def _most_files() -> int:
    with open("/proc/sys/fs/nr_open") as file:
        return int(file.read())
