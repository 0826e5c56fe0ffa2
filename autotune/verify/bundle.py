# SPDX-License-Identifier: MIT
"""A scheduler as one file, to give to others: its source, its catalogue entry, and what its maker claims of it.

It is one JSON document and no archive: it names no files, so nothing in it can become a path; its types and sizes are
checked as a whole before anything is done with it; and people can read it and compare two of them.

What always holds here:
- there is no object and no seal in it: whoever imports it compiles it and verifies it by the same gates as any other;
- what was measured elsewhere is a claim: it is kept apart, shown as such, and counts for no promotion and no planner;
- an exported one tells programs and machines, no commands and no directories.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autotune import __version__, reading
from autotune.errors import UsageError
from autotune.knowledge.outcomes import SessionOutcome
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.custom import Custom
from autotune.verdict.promotion import Promotion
from autotune.verify.submission import PARTIAL, Submission, submission

KIND = "autotune-scheduler"
VERSION = 1
MOST_BUNDLE_BYTES = 512 << 10
"""The source gate reads 64 KiB; escaped, and with all that is told of it, this is ample."""
MOST_CLAIMED = 50
"""Most outcomes that a bundle tells, the newest."""
_SHOWN = 80
_WRITTEN_BY = "name a file that 'autotune schedulers export' wrote"

Short = Annotated[str, Field(max_length=200)]


class _Claimed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ClaimedOutcome(_Claimed):
    """What a bundle says of one candidate in one session elsewhere. A speedup is `[estimate, low, high]`."""

    program: Short
    workload_class: Short
    where: Short
    kernel: Short
    cpus: Annotated[int, Field(ge=0, le=1 << 20)]
    cpu_model: Short
    metric: Short
    settings: Annotated[str, Field(max_length=1000)]
    verdict: Short | None
    speedup: Annotated[list[float], Field(min_length=3, max_length=3)] | None
    confirmed: bool
    ejections: Annotated[int, Field(ge=0, le=1 << 20)]


class Claims(_Claimed):
    """What a bundle says of its scheduler: who made it from what, what it passed, and what came of it."""

    maker: Short = ""
    made_from: Annotated[list[Short], Field(max_length=16)] = Field(default_factory=list)
    standing: Short = ""
    gates: Short = ""
    kernel: Short = ""
    clang: Short = ""
    outcomes: Annotated[list[ClaimedOutcome], Field(max_length=MOST_CLAIMED)] = Field(default_factory=list)


class _Bundle(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["autotune-scheduler"]
    version: Literal[1]
    autotune: Short
    scheduler: dict[str, Any]
    claims: Claims = Claims()


# --- out -----------------------------------------------------------------------------------------------------


def exported(one: Custom, outcomes: Iterable[SessionOutcome], found: Promotion) -> str:
    """Return the bundle of a scheduler as text. `outcomes` are those of this build, newest first. Raises AutotuneError
    when its source cannot be read."""
    entry = one.entry
    texts = {
        name: getattr(entry, name)
        for name in ("description", "algorithm", "use_cases", "characteristics", "limitations", "performance_profile")
    }
    knobs = [knob.model_dump(mode="json", exclude_defaults=True) for knob in entry.knobs if knob.name != PARTIAL.name]
    for knob in knobs:
        knob.get("range", {}).pop("how", None)  # what was proven here is proven nowhere else
    claims = Claims(
        maker=one.origin.maker.text[:200],
        made_from=[ancestor.text[:200] for ancestor in one.origin.made_from[:16]],
        standing=found.text[:200],
        gates=one.seal.gates[:200],
        kernel=one.seal.kernel[:200],
        clang=one.seal.clang[:200],
        outcomes=[_claimed(outcome) for outcome in list(outcomes)[:MOST_CLAIMED]],
    )
    scheduler = {
        "name": one.seal.name,
        **texts,
        "knobs": knobs,
        "unfair_by_design": one.origin.unfair_by_design,
        "source": custom.source_text(one),
    }
    document = {"kind": KIND, "version": VERSION, "autotune": __version__, "scheduler": scheduler}
    return json.dumps({**document, "claims": claims.model_dump()}, indent=1) + "\n"


def _claimed(one: SessionOutcome) -> ClaimedOutcome:
    speedup = None if one.speedup is None else [one.speedup.estimate, one.speedup.low, one.speedup.high]
    usable = speedup is not None and all(math.isfinite(number) for number in speedup)
    return ClaimedOutcome(
        program=one.program[:200],
        workload_class=one.workload_class[:200],
        where=one.where[:200],
        kernel=one.kernel[:200],
        cpus=one.cpus,
        cpu_model=one.cpu_model[:200],
        metric=one.metric[:200] if one.metric.split()[:1] == ["wall_s"] else "a metric of its own",
        settings=one.key[:1000],
        verdict=one.verdict,
        speedup=speedup if usable else None,
        confirmed=one.confirmed,
        ejections=one.ejections,
    )


# --- in ------------------------------------------------------------------------------------------------------


def read(path: Path) -> tuple[Submission, Claims]:
    """Read a bundle: what is to be verified, and what is claimed of it. Raises UsageError, in one line, for whatever
    else is in the file."""
    try:
        return parsed(reading.text(path, most_bytes=MOST_BUNDLE_BYTES))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint=_WRITTEN_BY) from None
    except ValueError as error:
        raise UsageError(f"{path}: {error}", hint=_WRITTEN_BY) from None
    except UsageError as error:  # what is in it is no scheduler
        raise UsageError(f"{path}: {error.message}", hint=error.hint or _WRITTEN_BY) from None


def parsed(text: str) -> tuple[Submission, Claims]:
    """Read a bundle from text. Raises ValueError, UsageError."""
    found = reading.parsed_json(text)
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise ValueError("it is no scheduler that was exported")
    version = found.get("version")
    if version != VERSION or isinstance(version, bool):
        raise ValueError(f"it is of version {_short(version)}, and this autotune reads version {VERSION}")
    odd = next(_odd(found), None)
    if odd is not None:
        raise ValueError(odd)
    try:
        bundle = _Bundle.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(_short(part) for part in first["loc"][:6]) or "top"
        raise ValueError(f"it is wrong at {where[:_SHOWN]}: {first['msg'][:_SHOWN]}") from None
    given = bundle.scheduler
    unknown = sorted(set(given) - _FIELDS)
    if unknown:
        raise ValueError(f"it has a field that no scheduler has: {_short(unknown[0])}")
    if not given.get("source") or not given.get("name"):
        raise ValueError("it has no name or no source")
    return submission(**given), bundle.claims


_FIELDS = Submission.model_fields.keys() - {"made_from"}


def _short(value: object) -> str:
    return str(value)[:_SHOWN] if isinstance(value, (str, int, float)) else type(value).__name__


def _odd(value: Any, name: str = "") -> Iterator[str]:
    """Yield what no text and no number of a bundle may be, in clauses."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _odd(key)
            yield from _odd(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _odd(inner, name)
    elif isinstance(value, str):
        allowed = "\t\n\r" if name == "source" else ""
        found = next((one for one in value if one not in allowed and _is_control(one)), None)
        if found is not None:
            yield f"a text in it has the control character U+{ord(found):04X}"
    elif isinstance(value, float) and not math.isfinite(value):
        yield "a number in it is not finite"


def _is_control(character: str) -> bool:
    return not " " <= character <= "~" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
