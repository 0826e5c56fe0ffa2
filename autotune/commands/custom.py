# SPDX-License-Identifier: MIT
"""`autotune schedulers verify` and `remove`: schedulers of the user's own."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotune import reading, signals
from autotune.commands import completion
from autotune.commands.printing import print_json, print_lines
from autotune.errors import UsageError
from autotune.secrecy import redacted

if TYPE_CHECKING:
    from autotune.schedext.catalogue.origin import Maker
    from autotune.verify.gates import Verification
    from autotune.verify.submission import Submission

MOST_SOURCE_BYTES = 1 << 20
"""Most bytes that are read; the source gate has a lower limit."""
ENDING = ".bpf.c"

_Json = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON.")]
KernelOption = Annotated[
    Path | None, typer.Option("--kernel", metavar="PATH", help="Kernel image for the micro-VM. Default: as for cc.")
]


def register(app: typer.Typer) -> None:
    """Add the two commands to `autotune schedulers`."""
    app.command("verify")(_verify)
    app.command("remove")(_remove)


def _verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.bpf.c", help="BPF C source; the scheduler is named after the file.")
    ],
    entry: Annotated[
        Path | None,
        typer.Option("--entry", metavar="FILE", help="JSON with its catalogue entry: description, knobs, ..."),
    ] = None,
    unfair: Annotated[
        bool,
        typer.Option("--unfair", metavar="", help="The scheduler is unfair by design: report unfairness, do not fail."),
    ] = False,
    made_from: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Scheduler that it was made from; may be given several times.",
            autocompletion=completion.schedulers,
        ),
    ] = None,
    kernel: KernelOption = None,
    as_json: _Json = False,
) -> int:
    """Verify a scheduler in four gates: source rules, compiler, kernel verifier, behaviour in a micro-VM.

    A scheduler that passes can be tried as custom:NAME. Exit 0 when it passes.
    """
    return verified(_submission(file, entry, unfair, made_from), kernel, as_json=as_json)


def verified(
    submitted: Submission,
    kernel: Path | None,
    *,
    as_json: bool,
    maker: Maker | None = None,
    claims: dict[str, Any] | None = None,
) -> int:
    """Take a submission through the gates, show how it goes, and return the exit code. `maker` and `claims` are those
    of an import; None: a person verifies it."""
    from autotune.commands.workloads import current_directory
    from autotune.machine.vm import healing
    from autotune.verify.gates import PERSON, verify

    here = current_directory()
    stream = sys.stderr if as_json else sys.stdout

    def show(text: str) -> None:
        print(redacted(text), file=stream, flush=True)

    with signals.as_interrupts():
        kernel_set = healing.sound(kernel, show)
        outcome = verify(submitted, kernel_set, show, made_in=here, maker=maker or PERSON, claims=claims)
    if as_json:
        print_json(_outcome(outcome))
    else:
        print_lines(_outcome_lines(outcome, submitted.name))
    return 0 if outcome.custom is not None else 1


def _remove(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name, with or without 'custom:'.", autocompletion=completion.own_schedulers
        ),
    ],
) -> None:
    """Remove a scheduler of your own."""
    from autotune.schedext.catalogue import custom

    found = custom.meant(name)
    custom.remove(found)
    print(f"Removed {found}.")


# --- the submission --------------------------------------------------------------------------------------


def _submission(file: Path, entry: Path | None, unfair: bool, made_from: list[str] | None) -> Submission:
    from autotune.verify.submission import submission

    if not file.name.endswith(ENDING):
        raise UsageError(f"{file} does not end in {ENDING}", hint="give a source in BPF C")
    given = _entry(entry) if entry is not None else {}
    named: dict[str, Any] = {"name": file.name.removesuffix(ENDING), "source": _text(file)}
    if made_from:
        named["made_from"] = made_from
    return submission(**{**given, **named, **({"unfair_by_design": True} if unfair else {})})


def _entry(path: Path) -> dict[str, Any]:
    try:
        found = reading.parsed_json(_text(path))
    except ValueError as error:
        raise UsageError(f"{path}: {error}", hint="give a JSON object with fields such as description") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} is not a JSON object", hint="give fields such as description and knobs")
    return found


def _text(path: Path) -> str:
    try:
        return reading.text(path, most_bytes=MOST_SOURCE_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="give a file that can be read") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}", hint="save it as UTF-8") from error


# --- the outcome -----------------------------------------------------------------------------------------


def _outcome_lines(outcome: Verification, name: str) -> Iterable[str]:
    from autotune.report.text import printable

    for report in outcome.reports:
        yield from (printable(redacted(finding.text())) for finding in report.findings)
    if outcome.custom is None:
        if outcome.rejected is not None:
            yield f"The whole report: {outcome.rejected}"
        yield f"{name} was stopped at gate '{outcome.failed.gate}'." if outcome.failed else f"{name} was stopped."
        return
    yield f"{name} passed all gates in {outcome.took_s:.0f} s."
    yield f"Try it: autotune cc --scheduler custom:{name} 'COMMAND'"


def _outcome(outcome: Verification) -> dict[str, Any]:
    from autotune.wire import to_json

    reports = [{**to_json(report), "passed": report.passed} for report in outcome.reports]
    passed = outcome.custom is not None
    return {"passed": passed, "took_s": outcome.took_s, "reports": reports}
