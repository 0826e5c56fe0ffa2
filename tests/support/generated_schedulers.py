# SPDX-License-Identifier: MIT
"""Generated schedulers that are in the store, as if they had passed the gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotune.knowledge import versions
from autotune.records import Candidate, MeasuredScheduler, Seal, Session, Verdict
from autotune.schedext import seal
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.catalog import Scheduler
from autotune.schedext.catalogue.knobs import Knob, Range
from tests.support import sessions

SOURCE, OBJECT = "/* a scheduler */\n", b"\x7fELF an object"


def an_entry(name: str) -> Scheduler:
    return Scheduler(
        name=f"custom:{name}",
        kind="bpf",
        ops_name=name,
        source=f"{name}.bpf.c",
        production_ready=False,
        description="Keeps builders happy.",
        algorithm="",
        use_cases=(),
        characteristics="",
        limitations=(),
        performance_profile="",
        tags=("generated",),
        knobs=(
            Knob(
                name="slice_us",
                type="integer",
                default=5000,
                range=Range(min=1, max=9000, how="proven"),
                description="x",
            ),
        ),
    )


def kept(
    name: str = "mine",
    content: bytes = OBJECT,
    reports: Sequence[Any] = (),
    made_in: Path | None = None,
    source: str = SOURCE,
    **more: Any,
) -> custom.Custom:
    digests = seal.sha256(source.encode()), seal.sha256(content)
    settings = {"slice_us": (1, 9000)}
    token = seal.sign(Seal(name, *digests, "19", seal.GATES_VERSION, "6.18.15", settings=settings))
    with custom.reserved(name):
        return custom.keep(name, source, content, an_entry(name), token, reports, made_in=made_in, **more)


def measured(one: custom.Custom) -> MeasuredScheduler:
    """What a session notes of it when it measures it."""
    path = str(one.object_path)
    status = one.object_path.stat()
    digest = versions.of_file(path)
    return MeasuredScheduler(
        "generated", one.entry.ops_name, "1", digest, path, status.st_size, status.st_mtime_ns, path
    )


def session_with(
    one: custom.Custom, verdict: Verdict, *, command: str = "make -j8", built: bool = True, **changed: Any
) -> Session:
    """A session that measured it: confirmed where it was faster, ejected where it is invalid."""
    candidate = Candidate(one.entry.name)
    is_win = verdict == "faster"
    result = sessions.result(
        candidate,
        verdict,
        speedup=None if verdict == "invalid" else sessions.interval(1.21 if is_win else 0.9, 0.85, 1.3),
        confirmed=is_win,
        attached=measured(one) if built else None,
    )
    run = sessions.trial(candidate.key)
    if verdict == "invalid":
        run = replace(run, value=None, invalid="ejected: runnable task stall")
    work = sessions.workload(command=command, argv=tuple(command.split()))
    return sessions.session(
        **{"workload": work, "results": (result, *sessions.results()[1:2]), "trials": (run,),
           "winner": candidate.key if is_win else None, **changed}
    )  # fmt: skip
