# SPDX-License-Identifier: MIT
"""Starts a helper as root, or finds out why that is not possible. Standard library only.

What always holds here:
- there is one answer for every caller: the choice of the machine, the start of the holder, `doctor`;
- it is found by starting the very program that will be started later, in a session of its own, as it will be: a
  password given at the terminal a minute ago (`sudo -v`) does not count there, and a sudo rule for one program does.

Every program of ours that runs as root answers `--probe` before it imports anything that takes time: exit code 0 when
it is root.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from autotune.errors import PrivilegeError

PROBE_S = 15.0
"""How long the probe may take; a directory service that does not answer must not hang us."""
HINT = "run autotune through sudo, allow sudo without a password (NOPASSWD), use a daemon, or use --machine vm"
PROBE = "--probe"


def program_as_root(program: str, *arguments: str) -> list[str]:
    """Return the argument vector that runs one of our programs (a file) as root. Raises PrivilegeError where root
    cannot be had."""
    return as_root([*_python(), program, *arguments], probe=[*_python(), program, PROBE])


def program_problem(program: str) -> str | None:
    """Return why `program_as_root` would fail, as a clause; None when it would not."""
    return problem([*_python(), program, PROBE])


def _python() -> list[str]:
    """Return the interpreter itself, without what a virtual environment adds."""
    return [os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable), "-S", "-E", "-I"]


def as_root(argv: Sequence[str], *, probe: Sequence[str]) -> list[str]:
    """Return the argument vector that runs `argv` as root: `argv` itself where we are root, else through `sudo -n`.
    `probe` is a call of the same program that ends at once, with exit code 0 when it is root. Raises PrivilegeError
    where root cannot be had."""
    if os.geteuid() == 0:
        return list(argv)
    from autotune.trust import find_program  # here, not above: whoever is root needs none of it

    sudo = find_program("sudo")
    if sudo is None:
        raise PrivilegeError("switching schedulers needs root, and there is no sudo", hint="run as root")
    _probe([sudo, "-n", "--", *probe])
    return [sudo, "-n", "--", *argv]


def problem(probe: Sequence[str]) -> str | None:
    """Return why `as_root` would fail, as a clause; None when it would not."""
    try:
        as_root([], probe=probe)
    except PrivilegeError as error:
        return error.message
    return None


def _probe(argv: Sequence[str]) -> None:
    """Raise PrivilegeError unless the call succeeds in a session of its own."""
    import subprocess

    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
            start_new_session=True,
            timeout=PROBE_S,
        )
    except subprocess.TimeoutExpired:
        raise PrivilegeError(f"sudo did not answer within {PROBE_S:g} s", hint=HINT) from None
    except OSError as error:
        raise PrivilegeError(f"sudo cannot be started: {error.strerror}", hint=HINT) from error
    if done.returncode != 0:
        _refused(done.stderr.decode(errors="replace").strip())


def _refused(output: str) -> NoReturn:
    last = output.splitlines()[-1] if output else "sudo: a password is required"
    why = last.removeprefix("sudo: ")
    if why == last or "command not found" in why:
        clause = f"sudo cannot start our program: {why}"
    elif "password" in why or "terminal" in why:
        clause = "sudo asks for a password"
    else:
        clause = f"sudo refuses: {why}"
    raise PrivilegeError(f"switching schedulers needs root, and {clause}", hint=HINT, detail=output)
