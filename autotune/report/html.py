# SPDX-License-Identifier: MIT
"""The report of a session as one HTML page. Pure.

What always holds here:
- the page is whole: no script, nothing that it loads, and a policy that forbids both;
- all text is escaped (`elements`), and what is drawn is bounded (`charts.MOST_POINTS`), so the page stays below 1 MB;
- nothing is wider than the page: on narrow ones, a row of the table becomes a block.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from autotune.records import BASELINE, Candidate, CandidateResult, Session, Trial
from autotune.report import charts, commands, sentences, session_table, sweep
from autotune.report.continuing import continues_sentence
from autotune.report.elements import Safe, element, joined
from autotune.report.table import Row, interval_text
from autotune.report.text import scale_for, sentence
from autotune.verdict.stats import median

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_MOST_TITLE_CHARACTERS = 200


def page(session: Session, given: Sequence[str] = ()) -> str:
    """Return the page, in ASCII. `given` are the options that repeat the session."""
    title = f"autotune: {session.workload.title}"
    if len(title) > _MOST_TITLE_CHARACTERS:
        title = f"{title[:_MOST_TITLE_CHARACTERS]} ..."
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", title),
        element("style", Safe(STYLE)),
    )
    body = element("body", element("main", element("h1", title), *_sections(session, given)))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _sections(session: Session, given: Sequence[str]) -> Iterator[Safe]:
    yield from _ending(session)
    yield element("p", sentences.conclusion(session), class_="won" if session.winner else "conclusion")
    for line in sentences.why_lines(session):
        yield element("p", line)
    for warning in session.warnings:
        yield element("p", f"Warning: {sentence(warning)}", class_="warning")
    if session.results:
        notes = (session_table.session_footnote(session), *continues_sentence(session))
        yield _section("Ranking", _table(session), *(element("p", note, class_="small") for note in notes))
        yield from _forest(session)
    yield from _runs(session)
    if session.observation is not None:
        kind = sentences.kind_sentence(session.observation, session.watched)
        said = [sentences.observation_sentence(session.observation), *([kind] if kind else [])]
        yield _section("The system meanwhile", *(element("p", sentence) for sentence in said))
    yield from _commands(session, given)
    yield _section("About this session", *_about(session))


def _section(heading: str, *parts: str) -> Safe:
    return element("section", element("h2", heading), *parts)


def _ending(session: Session) -> Iterator[Safe]:
    if session.interrupted:
        yield element("p", "The session was interrupted: this is what was known by then.", class_="warning")
    if session.failure is not None:
        yield element("p", f"The session ended early: {sentence(session.failure)}", class_="warning")


# --- the table and its intervals -------------------------------------------------------------------------


def _table(session: Session) -> Safe:
    shown = session_table.session_table(session)
    head = element("tr", *(element("th", name, scope="col") for name in shown.header))
    rows = [_table_row(row, shown.header) for row in shown.rows]
    return element("table", element("thead", head), element("tbody", *rows))


def _table_row(row: Row, header: Sequence[str]) -> Safe:
    cells = [
        element("td", cell, data_label=name, class_="none" if cell in ("", "-") else "cell")
        for name, cell in zip(header, row.cells, strict=True)
    ]
    return element("tr", *cells, class_=row.kind)


def _forest(session: Session) -> Iterator[Safe]:
    known = [one.speedup for one in session.results if one.speedup is not None]
    if not known:
        return
    axis = charts.speedup_axis(known)
    rows = session_table.session_table(session).rows
    drawn = [_strip(row, result, axis) for row, result in zip(rows, session.results, strict=True) if result.verdict]
    says = "Speedup over EEVDF with the interval of the verdict; right of the line is better."
    yield _section("Intervals", element("p", says, class_="small"), *drawn, charts.axis_below(axis))


def _strip(row: Row, result: CandidateResult, axis: charts.Axis) -> Safe:
    value = interval_text(result.speedup) if result.speedup is not None else row.verdict
    chart = charts.no_interval(axis)
    if result.speedup is not None:
        chart = charts.interval_bar(result.speedup, axis, row.kind)
    return element("div", element("span", row.name), element("span", value, class_="value"), chart, class_="strip")


# --- runs ------------------------------------------------------------------------------------------------


def _runs(session: Session) -> Iterator[Safe]:
    """Yield the runs in order of time, a panel for each candidate, and the histogram."""
    runs = charts.measured(session)
    numbers = [value for trials in runs.values() for value in charts.values(trials)]
    if not numbers:
        return
    value = charts.value_axis(numbers)
    yield _section(
        "Runs in order of time", element("p", _says(session), class_="small"), *_panels(session, runs, value)
    )
    pair = charts.compared(session, runs)
    if pair:
        yield _section("Histogram", *_histograms(session, {key: charts.values(runs[key]) for key in pair}))


_RUNS = (
    "Across: time; all panels have the same axes. Dashed: the median of EEVDF. Rings: baseline and race; dots: fresh "
    "rounds; crosses: runs that do not count; exclamation marks: runs disturbed from outside. A slope that all "
    "panels share is drift of the machine."
)


def _says(session: Session) -> str:
    compared = "of EEVDF at the value that is compared with."
    return _RUNS.replace("of EEVDF.", compared) if session.workload.parameters else _RUNS


def _panels(session: Session, runs: dict[str, list[Trial]], value: charts.Axis) -> Iterator[Safe]:
    is_time = session.metric == session_table.WALL_METRIC
    scale = scale_for((value.low, value.high), is_time=is_time)
    low, high = charts.ends(value, scale)
    across = charts.time_axis(session)
    for candidate, name, kind in _named(session):
        key = candidate.key
        if key in runs:
            base = median(charts.values(runs.get(charts.baseline_of(session, candidate), [])))
            drawn = charts.runs_in_order(runs[key], across, value, base, is_time=is_time)
            yield _panel(name, kind, element("span", high), element("span", low), chart=drawn)


def _histograms(session: Session, numbers: dict[str, list[float]]) -> Iterator[Safe]:
    axis = charts.value_axis([one for several in numbers.values() for one in several])
    most = max(max(charts.bin_counts(several, axis)) for several in numbers.values())
    scale = scale_for((axis.low, axis.high), is_time=session.metric == session_table.WALL_METRIC)
    low, high = charts.ends(axis, scale)
    for candidate, name, kind in _named(session):
        key = candidate.key
        if key in numbers:
            drawn = charts.histogram(numbers[key], axis, most)
            yield _panel(name, kind, element("span", f"{most}"), element("span", "0"), chart=drawn)
    yield element("div", element("span", low), element("span", high), class_="ends")


def _named(session: Session) -> Iterator[tuple[Candidate, str, str]]:
    """Yield candidate, name and kind of each row, EEVDF first; EEVDF alone for a session without rows."""
    rows = session_table.session_table(session).rows
    named = [(one.candidate, row.name, row.kind) for one, row in zip(session.results, rows, strict=True)]
    if not any(candidate.scheduler == BASELINE for candidate, _, _ in named):
        named = [(Candidate(BASELINE), "EEVDF", "baseline"), *named]
    yield from sorted(named, key=lambda one: one[0].scheduler != BASELINE)


def _panel(name: str, kind: str, *labels: Safe, chart: Safe) -> Safe:
    side = element("div", *labels, class_="side")
    return element("div", element("div", name, class_="name"), side, chart, class_=f"runs {kind}")


# --- commands and facts ----------------------------------------------------------------------------------


def _commands(session: Session, given: Sequence[str]) -> Iterator[Safe]:
    parts: list[Safe] = []
    says, *command = commands.next_step(session, given) or [""]
    if says:
        parts += [element("p", says), *map(_command, command)]
    keep = commands.keep_command(session)
    if keep is not None:
        parts += [element("p", "To keep the winner attached:"), _command(keep)]
    for line in sweep.winner_commands(session):
        parts += [element("p", sweep.AT_ITS_BEST), _command(line)]
    if session.results:
        parts += [element("p", "To repeat the session:"), _command(commands.repeat_command(session, given))]
    if parts:
        yield _section("What to do next", *parts)


def _command(text: str) -> Safe:
    return element("pre", element("code", text))


def _about(session: Session) -> Iterator[Safe]:
    yield element("p", sentences.machine_sentence(session.machine))
    if session.baseline is not None:
        is_time = session.metric == session_table.WALL_METRIC
        yield element("p", sentences.baseline_sentence(session.baseline, is_time=is_time))
    if session.spending is not None and session.spending.calls:
        yield element("p", sentences.spending_sentence(session.spending))
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(session.started_at))
    facts = {
        "Command": sentences.named_command(session.workload),
        **dict(line.split(": ", 1) for line in sweep.parameter_lines(session.workload)),
        "Directory": session.workload.cwd,
        "Began": f"{began}, took {session.elapsed_s:.0f} s",
        **({"ID": session.id} if session.id else {}),
        "Planner": session.planner,
        "Seed": str(session.seed),
        "autotune": session.autotune_version,
        **{name: version for name, version in session.versions.items() if name != "autotune"},
    }
    pairs = ((element("dt", name), element("dd", fact)) for name, fact in facts.items())
    yield element("dl", joined(part for pair in pairs for part in pair))


STYLE = """
:root { --back: #fff; --text: #1b1f24; --faint: #5b6570; --line: #d4d9de; --soft: #f3f5f7; --good: #12703a;
  --bad: #b3261e; --warn: #7d4a00; --mark: #3465a4; }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --text: #e6e8ea; --faint: #9aa4ae; --line: #3a4149;
  --soft: #1e2328; --good: #5cc98a; --bad: #ff8a80; --warn: #e8b25c; --mark: #7fb0ec; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 16px; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; line-height: 1.3; margin: .5rem 0 1rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
p { margin: .5rem 0; }
.conclusion, .won { font-weight: 600; }
.won, tr.winner td, tr.faster td { color: var(--good); }
.warning, tr.invalid td { color: var(--warn); }
tr.slower td { color: var(--bad); }
tr.winner td, tr.baseline td { font-weight: 600; }
.small { color: var(--faint); font-size: .875rem; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .375rem .75rem .375rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--faint); font-weight: 600; overflow-wrap: normal; }
td:nth-child(3), td:nth-child(4), td:nth-child(7), th:nth-child(3), th:nth-child(4), th:nth-child(7) {
  text-align: right; white-space: nowrap; }
td:nth-child(5), td:nth-child(6) { white-space: nowrap; }
td:nth-child(2) { min-width: 11rem; }
@media (max-width: 860px) {
  thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
  tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  td, td:nth-child(n) { display: flex; gap: .75rem; border: 0; padding: .0625rem 0; text-align: left;
    white-space: normal; min-width: 0; }
  td.none { display: none; }
  td::before { content: attr(data-label); flex: 0 0 9rem; color: var(--faint); font-weight: 400; }
}
svg { display: block; overflow: visible; font: 12px system-ui, sans-serif; fill: currentColor; }
.strip { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; margin: .5rem 0; }
.strip svg { flex: 0 0 100%; }
.value { color: var(--faint); font-variant-numeric: tabular-nums; }
.bar { stroke: var(--mark); stroke-width: 2; }
.dot, .column { fill: var(--mark); }
.ring { fill: none; stroke: var(--mark); stroke-width: 1.5; }
.winner .bar, .faster .bar, .winner .ring, .faster .ring { stroke: var(--good); }
.winner .dot, .faster .dot, .winner .column, .faster .column { fill: var(--good); }
.slower .bar, .slower .ring { stroke: var(--bad); }
.slower .dot, .slower .column { fill: var(--bad); }
.baseline .ring { stroke: var(--faint); }
.baseline .dot, .baseline .column { fill: var(--faint); }
.one { stroke: var(--faint); stroke-width: 1; stroke-dasharray: 4 3; }
.axis { stroke: var(--line); stroke-width: 1; }
.number { fill: var(--faint); }
.disturbed { fill: var(--warn); text-anchor: middle; font-weight: 700; }
.lost { fill: var(--warn); text-anchor: middle; }
.runs { display: grid; grid-template-columns: 5rem minmax(0, 1fr); margin: .75rem 0; }
.runs .name { grid-column: 1 / -1; }
.side { display: flex; flex-direction: column; justify-content: space-between; color: var(--faint); font-size: .75rem;
  line-height: 1; text-align: right; padding-right: .5rem; }
.panel { background: var(--soft); }
.ends { display: flex; justify-content: space-between; margin-left: 5rem; color: var(--faint); font-size: .75rem; }
pre { background: var(--soft); padding: .75rem; margin: .5rem 0; white-space: pre-wrap; }
code { font: .875rem ui-monospace, monospace; }
dl { display: grid; grid-template-columns: minmax(6rem, auto) minmax(0, 1fr); gap: .25rem 1rem; margin: .5rem 0; }
dt { color: var(--faint); }
dd { margin: 0; }
"""
