# SPDX-License-Identifier: MIT
"""Builds schedulers from crates.io into our own store: STORE/NAME/VERSION/NAME.

What always holds here:
- a version is in the store whole or not at all: cargo builds into a draft, which is renamed once its program is there
  and prints its version; a draft that a killed build left is removed by the next one;
- one install at a time (a lock file, which ends with its process);
- cargo ends with us, with all that it started; it runs in the draft, where no project's configuration reaches it.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from autotune import digests, durable, resources, trust
from autotune.errors import AutotuneError, BusyError, UsageError
from autotune.frozen import dataclass
from autotune.schedext import build
from autotune.schedext.catalogue.catalog import Scheduler
from autotune.schedext.programs import binaries, cargo, options, unprivileged
from autotune.schedext.programs.binaries import Binary
from autotune.schedext.programs.cargo import Listener

STAGE = "install"
_VERSION = re.compile(r"\d{1,6}\.\d{1,6}\.\d{1,6}(-[0-9A-Za-z][0-9A-Za-z.-]{0,40})?")


@dataclass(frozen=True)
class Installed:
    """A scheduler in the store. `build_s` is None when it was there already."""

    binary: Binary
    version: str
    build_s: float | None


def version_of(scheduler: Scheduler, requested: str | None = None) -> str:
    """Return the version that would be installed. Raises UsageError when none can be, or when `requested` is no
    version."""
    if scheduler.kind != "binary":
        raise UsageError(f"{scheduler.name} needs no installing: it is built when it is first tried")
    if not binaries.can_be_built(scheduler) or scheduler.version is None:
        why = "written in C" if scheduler.program and scheduler.program.language == "c" else "not on crates.io"
        raise UsageError(f"{scheduler.name} is {why}", hint=binaries.how_to_get(scheduler))
    if requested is not None and not _VERSION.fullmatch(requested):
        raise UsageError(f"'{requested}' is not a version", hint=f"such as {scheduler.version}")
    return requested or scheduler.version


def refuse_sudo() -> None:
    """Raise UsageError under sudo: building needs no root, and would leave root's files in the user's cargo directory.
    What the user installed is found under sudo as well."""
    asker = trust.sudo_user()
    if asker is not None:
        raise UsageError(
            "building needs no root, and must not leave files of root in your home", hint="run it again without sudo"
        )


@contextlib.contextmanager
def opened_store() -> Iterator[Path]:
    """Yield the store, writable only for us and without drafts. Raises BusyError, and AutotuneError when others could
    change it."""
    store = binaries.store()
    try:
        _make(store)
    except OSError as error:
        raise _unwritable(error, store) from error
    with durable.locked(store / ".lock", _busy):
        trust.refuse_foreign(store)
        durable.sweep(store)
        yield store


def _busy() -> BusyError:
    return BusyError("another install is running", hint="wait for it to end", stage=STAGE)


def install(scheduler: Scheduler, version: str, store: Path, listener: Listener) -> Installed:
    """Build a version into the store, or use the one that is there already and whole. Raises AutotuneError."""
    target = store / scheduler.name / version
    try:
        if digests.damage(target / scheduler.name) is not None:
            _drop_links(target / scheduler.name)
        elif _is_program(target / scheduler.name):
            there = binaries.at(target / scheduler.name, "store")
            _use(target)
            return Installed(there, version, None)
        started = time.monotonic()
        with durable.draft_directory(store / scheduler.name) as draft:
            keep = _built(scheduler, version, draft, listener)
            digests.note(keep / scheduler.name)
            _make(target.parent)
            durable.put_directory(keep, target)
        _use(target)
        return Installed(binaries.at(target / scheduler.name, "store"), version, time.monotonic() - started)
    except OSError as error:
        raise _unwritable(error, store) from error


def target_dir() -> Path:
    """Return the directory for compilers' output, shared by all schedulers so that the second takes seconds: the user's
    own place for it, or one in our cache."""
    given = os.environ.get("CARGO_TARGET_DIR", "")
    return Path(given) if os.path.isabs(given) else resources.cache_dir() / "cargo"


def log_path(scheduler: Scheduler, version: str) -> Path:
    """Return the file with cargo's output."""
    return resources.state_dir() / "installs" / f"{scheduler.name}-{version}.log"


# --- a build ---------------------------------------------------------------------------------------------


def _built(scheduler: Scheduler, version: str, draft: Path, listener: Listener) -> Path:
    """Build it and return the directory to keep, with the program in it."""
    clang = os.environ.get("BPF_CLANG") or build.newest_clang().path
    order = cargo.Order(scheduler.source, version, root=draft / "root", target=target_dir(), clang=clang)
    log = log_path(scheduler, version)
    cargo.install(order, cwd=draft, log=log, listener=listener)
    found = draft / "root" / "bin" / scheduler.name
    if not _is_program(found):
        raise AutotuneError(
            f"{scheduler.source} {version} was built, but brings no program {scheduler.name}",
            hint=f"try another --version; the whole output is in {log}",
            stage=STAGE,
        )
    keep = draft / "keep"
    keep.mkdir(mode=0o755)
    program = found.rename(keep / scheduler.name)
    program.chmod(0o755)
    _check_answers(scheduler, binaries.at(program, "store"), version)
    return keep


def _check_answers(scheduler: Scheduler, binary: Binary, version: str) -> None:
    """Raise AutotuneError unless the program runs here and prints its version."""
    option = scheduler.program.version_option if scheduler.program else None
    if option is None:
        return
    answer = unprivileged.run(binary, option)
    if answer.ended_for or options.version_in(answer.stdout or answer.stderr) is None:
        why = answer.ended_for or next(iter(answer.stderr.splitlines()), "it prints nothing")
        raise AutotuneError(
            f"{scheduler.name} {version} was built, but does not print its version: {why[:200]}",
            hint="try another --version",
            stage=STAGE,
        )


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _drop_links(damaged: Path) -> None:
    """Remove a damaged program from the compilers' output too: cargo links what it installs, and would do so again."""
    release = target_dir() / "release"
    for link in (*release.glob(f"{damaged.name}*"), *release.glob(f"deps/{damaged.name}*")):
        with contextlib.suppress(OSError):
            if link.samefile(damaged):
                link.unlink()


def _use(target: Path) -> None:
    """Make this version the one that is found from now on."""
    durable.sweep(target.parent)
    durable.replace_link(target.parent / binaries.CURRENT, target.name)


def _make(directory: Path) -> None:
    """Make a directory with its parents. Only we may write it, whatever the user's umask: programs in it may run as
    root."""
    if directory.is_dir():
        return
    _make(directory.parent)
    with contextlib.suppress(FileExistsError):
        directory.mkdir()
        directory.chmod(0o755)


def _unwritable(error: OSError, store: Path) -> AutotuneError:
    where = error.filename or store
    return AutotuneError(f"{where}: {error.strerror}", hint=durable.advice(error, store), stage=STAGE)
