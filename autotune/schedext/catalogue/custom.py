# SPDX-License-Identifier: MIT
"""The generated schedulers of this user: source, object, catalogue entry, seal and reports, a directory each.

All of them have passed all gates. A directory appears and is replaced as a whole, so that nobody sees a part of one;
one process at a time verifies a name.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from autotune import durable, reading, resources
from autotune.errors import AutotuneError, BusyError, UsageError
from autotune.frozen import dataclass
from autotune.records import AttachSpec, Candidate, KnobValue, Seal
from autotune.schedext import seal
from autotune.schedext.catalogue import origin as origins
from autotune.schedext.catalogue.catalog import CUSTOM, PREFIX, Catalog, Scheduler
from autotune.schedext.catalogue.knobs import unknown
from autotune.schedext.catalogue.origin import Origin
from autotune.wire import from_json, to_json

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""Safe as a file name, as an ops name (the kernel takes letters, digits and `_.-`) and as a word in a shell."""
SOURCE, OBJECT, ENTRY, SEAL, REPORTS = "source.bpf.c", "object.o", "entry.json", "seal.json", "reports"
ORIGIN = origins.FILE
CLAIMS = "claims.json"
"""What the bundle says that it was imported from: shown as such, and counted for nothing."""


@dataclass(frozen=True)
class Custom:
    """One generated scheduler. `entry.name` is `custom:NAME`."""

    directory: Path
    entry: Scheduler
    seal: Seal
    origin: Origin = field(default_factory=Origin)

    @property
    def made_in(self) -> Path | None:
        """The directory whose session wrote it, or where its user verified it; None when that is not known."""
        return self.origin.made_in

    @property
    def source(self) -> Path:
        return self.directory / SOURCE

    @property
    def object_path(self) -> Path:
        return self.directory / OBJECT


def directory() -> Path:
    return resources.state_dir() / "schedulers"


def checked_name(name: str) -> str:
    """Return the name without `custom:`. Raises UsageError for an impossible one."""
    bare = name.removeprefix(CUSTOM)
    if not NAME.fullmatch(bare):
        raise UsageError(
            f"'{bare[:60]}' cannot be a scheduler's name", hint="use a-z, 0-9 and _, first a letter, 32 at most"
        )
    return bare


def names() -> list[str]:
    """Return the existing names, without `custom:`."""
    try:
        found = [place.name for place in directory().iterdir() if NAME.fullmatch(place.name)]
    except (FileNotFoundError, NotADirectoryError):  # something else than a directory may be in its place or above it
        return []
    except OSError as error:
        raise AutotuneError(
            f"your own schedulers in {directory()} cannot be listed: {error.strerror}",
            hint=durable.advice(error, directory()),
        ) from error
    return sorted(name for name in found if (directory() / name / ENTRY).is_file())


def meant(name: str) -> str:
    """Return the existing name, without `custom:`, that a person means: `scx_` may be left out. A name that means none
    is returned as it is. Raises UsageError for an impossible one."""
    bare = checked_name(name)
    longer = PREFIX + bare
    return longer if (directory() / longer).is_dir() and not (directory() / bare).is_dir() else bare


def load(name: str) -> Custom:
    """Load a generated scheduler. Raises UsageError when there is none of this name, AutotuneError when it is
    damaged."""
    bare = meant(name)
    place = directory() / bare
    try:
        entry = reading.record(Scheduler.model_validate, place / ENTRY)
        token = reading.record(lambda found: from_json(Seal, found), place / SEAL)
    except FileNotFoundError:
        where = "'autotune schedulers' lists them" if names() else "there is none yet: autotune schedulers verify FILE"
        raise unknown(f"no generated scheduler is called '{bare}'", bare, names(), where) from None
    except (OSError, ValueError) as error:
        raise AutotuneError(
            f"the generated scheduler '{bare}' is damaged: {type(error).__name__}",
            hint=f"remove it: autotune schedulers remove {bare}",
        ) from error
    return Custom(place, entry, token, origins.read(place))


def entries() -> list[Scheduler]:
    """Return the entries that can join the catalogue, without damaged ones."""
    found = []
    for name in names():
        with contextlib.suppress(AutotuneError):
            found.append(load(name).entry)
    return found


def catalog() -> Catalog:
    """Return our own schedulers and this user's generated ones."""
    return Catalog([*Catalog.load().schedulers, *entries()])


def attach_spec(candidate: Candidate, scheduler: Scheduler) -> AttachSpec:
    """Return what a machine must know to attach a checked candidate. Raises AttachError when source or object changed
    since they passed, and for a setting with which they did not."""
    custom = load(scheduler.name)
    settings = dict(candidate.knobs)
    digest = checked(custom, settings)
    return AttachSpec(
        ops=scheduler.ops_name,
        object_path=str(custom.object_path),
        rodata=settings,
        partial=settings.get("partial") is True,
        can_be_partial=any(knob.name == "partial" for knob in scheduler.knobs),
        object_sha256=digest,
        generated=True,
        seal=custom.seal,
    )


def checked(custom: Custom, settings: Mapping[str, KnobValue] | None = None) -> str:
    """Return the object's hash. Raises AttachError when it or the source has changed since they passed, and for a
    setting with which they did not."""
    digest = seal.sha256(_read(custom.object_path))
    seal.check(custom.seal, digest, settings=settings or {})
    if seal.sha256(_read(custom.source)) != custom.seal.source_sha256:
        seal.refuse("its source has changed since it passed the gates", custom.seal.name)
    return digest


def _read(path: Path) -> bytes:
    try:
        return reading.data(path, most_bytes=reading.MOST_OBJECT_BYTES)
    except OSError as error:
        hint = "verify it again, or remove it"
        raise AutotuneError(f"{path.parent.name}/{path.name}: {error.strerror}", hint=hint) from error


@contextlib.contextmanager
def reserved(name: str) -> Iterator[None]:
    """Reserve a name while the block runs: only one process verifies it at a time. Raises BusyError, and AutotuneError
    when the store cannot be used."""
    bare = checked_name(name)
    with durable.explained(f"{directory()} cannot be used", directory()):
        directory().mkdir(mode=0o700, parents=True, exist_ok=True)
    with durable.locked(
        directory() / f".{bare}.lock",
        lambda: BusyError(f"'{bare}' is being verified by another autotune", hint="wait for it to end"),
    ):
        durable.sweep(directory(), bare)
        yield


def keep(
    name: str,
    source: str,
    content: bytes,
    entry: Scheduler,
    token: Seal,
    reports: Sequence[Any],
    *,
    made_in: Path | None = None,
    origin: Origin | None = None,
    claims: Mapping[str, Any] | None = None,
) -> Custom:
    """Store a scheduler that passed, replacing an older one of its name. It is proposed in `made_in` only; `claims` are
    those of the bundle that it was imported from. Raises AutotuneError."""
    bare = checked_name(name)
    from_here = replace(origin or Origin(), directory=str(made_in.resolve()) if made_in else None)
    files: Mapping[str, bytes] = {
        SOURCE: source.encode(),
        OBJECT: content,
        ENTRY: entry.model_dump_json(indent=1, exclude_defaults=True).encode(),
        SEAL: json.dumps(to_json(token), indent=1).encode(),
        ORIGIN: json.dumps(to_json(from_here)).encode(),
        f"{REPORTS}.json": json.dumps(to_json(list(reports)), indent=1).encode(),
    }
    files = {**files, CLAIMS: json.dumps(claims, indent=1).encode()} if claims is not None else files
    with durable.explained(f"'{bare}' cannot be kept", directory() / bare):
        durable.replace_directory(directory() / bare, files)
    return load(bare)


def keep_rejected(name: str, source: str, reports: Sequence[Any]) -> Path | None:
    """Keep what the gates reported on a source that did not pass, the newest of each name, for people to read. Returns
    None where it cannot be kept, which does no other harm."""
    place = directory().parent / "rejected"
    path = place / f"{checked_name(name)}.json"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = json.dumps({"name": name, "source": source, "reports": to_json(list(reports))}, indent=1)
        durable.replace(path, content.encode("utf-8", "backslashreplace"))
    except OSError:
        return None
    return path


def remove(name: str) -> None:
    """Remove a generated scheduler. Raises UsageError when there is none of this name."""
    bare = meant(name)
    place = directory() / bare
    if not place.is_dir():
        load(bare)  # its error lists the existing ones
    with reserved(bare), durable.explained(f"'{bare}' cannot be removed", place):
        durable.remove_directory(place)


def read_reports(custom: Custom) -> list[Any]:
    """Return the reports of the gates as they were written; empty when they cannot be read."""
    try:
        found = reading.json_of(custom.directory / f"{REPORTS}.json", most_bytes=reading.MOST_OBJECT_BYTES)
    except (OSError, ValueError):
        return []
    return found if isinstance(found, list) else []


def read_claims(custom: Custom) -> dict[str, Any]:
    """Return the claims of the bundle that it was imported from; empty where it was not, or they cannot be read."""
    try:
        found = reading.json_of(custom.directory / CLAIMS)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def source_text(custom: Custom) -> str:
    """Return its source. Raises AutotuneError when it cannot be read."""
    return _read(custom.source).decode("utf-8", "replace")
