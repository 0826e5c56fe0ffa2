# SPDX-License-Identifier: MIT
"""Rules about tasks and queues, from walks along all paths of each callback (`paths`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from autotune.frozen import dataclass
from autotune.verify.findings import Finding
from autotune.verify.source.calls import CREATES, INSERTS, MOVES, READS
from autotune.verify.source.facts import MAIN, Facts, Function
from autotune.verify.source.paths import Walk
from autotune.verify.source.states import Place, Queued, StepsLeft, TooComplex
from autotune.verify.source.values import described, is_builtin, is_local, may_be_same

CREATING = ("init", "init_task", "cgroup_init")
"""Callbacks that may create queues: those that may sleep."""
ITERATOR = "bpf_iter_scx_dsq_new"


@dataclass(frozen=True)
class Walks:
    """The walks of every callback of the ops."""

    facts: Facts
    walks: Mapping[str, Walk]

    def queued(self, *callbacks: str, among: Mapping[str, int | None]) -> list[Queued]:
        """Return the calls of some functions from some callbacks, or from all, in the order of the source."""
        names = callbacks or tuple(self.walks)
        calls = {call for name in names if name in self.walks for call in self.walks[name].queued}
        return sorted(
            (call for call in calls if call.function in among), key=lambda call: (call.place, str(call.queue))
        )


def walk_all(facts: Facts) -> Walks | Finding:
    """Return the walks, or a finding with the reason why one is impossible."""
    walks, steps = {}, StepsLeft()
    for field, function in facts.callbacks().items():
        try:
            walks[field] = Walk(facts, function, steps)
        except (TooComplex, RecursionError) as error:
            why = str(error) if isinstance(error, TooComplex) else "it is nested too deeply"
            advice = "split it into simpler conditions and shorter functions, without recursion"
            what = f"the paths of '{field}' cannot be followed: {why}"
            return Finding("path-complexity", what, advice, *_place((function.file, function.line, function.column)))
    return Walks(facts, walks)


def enqueue_inserts(walks: Walks) -> Iterator[Finding]:
    """Demand that every path of `enqueue` puts its task into a queue."""
    walk = walks.walks.get("enqueue")
    if walk is None:
        if walks.facts.ops and walks.facts.ops_field("enqueue") is None:
            what = "there is no enqueue: the kernel puts every task into its global queue"
            yield Finding("enqueue-inserts", what, severity="note")
        return
    function = walks.facts.callback("enqueue")
    assert function is not None
    advice = (
        "insert the task on this path too, for instance with scx_bpf_dsq_insert(p, AT_SHARED, slice, enq_flags) as the "
        "last resort; what cannot be found out (a missing context, no idle CPU) is no reason to leave a task out"
    )
    places = sorted({ending.place for ending in walk.endings if not ending.inserted})
    for place in places:
        what = "a path of enqueue ends here and has put its task into no queue: the task would never run again"
        yield Finding("enqueue-inserts", what, advice, *_place(place, function))


def insert_once(walks: Walks) -> Iterator[Finding]:
    """Note paths that insert a task twice, for which the kernel ejects the scheduler. Only a note: two paths that
    exclude each other through something that is not followed look like one."""
    for field in ("enqueue", "select_cpu"):
        walk = walks.walks.get(field)
        for place in sorted({call.place for call in walk.queued if call.again} if walk else ()):
            what = f"a path of {field} seems to insert its task a second time here"
            advice = "leave the function after the first insertion"
            yield Finding("insert-once", what, advice, *_place(place, walks.facts.callback(field)), severity="note")


def queue_created(walks: Walks) -> Iterator[Finding]:
    """Demand that every queue that is inserted into exists."""
    created = walks.queued(*CREATING, among=CREATES)
    for call in _own(walks.queued(among={**INSERTS, **MOVES})):
        if call.queue is not None and not any(may_be_same(call.queue, each.queue) for each in created):
            what = f"{described(call.queue)} is inserted into, but init does not create it"
            advice = "create it in init with scx_bpf_create_dsq(id, -1), or use a queue that exists"
            yield Finding("queue-created", what, advice, *_place(call.place))


def queue_consumed(walks: Walks) -> Iterator[Finding]:
    """Demand that `dispatch` empties each queue that is created or inserted into."""
    read = walks.queued("dispatch", among=READS)
    if not walks.queued("dispatch", among=MOVES):
        read = [call for call in read if call.function != ITERATOR]  # looking at a queue does not empty it
    some = bool(walks.queued(*CREATING, among=CREATES))  # otherwise an unknown queue must be one of the kernel's
    reported: set[object] = set()
    for call in _own(walks.queued(among={**INSERTS, **MOVES, **CREATES})):
        if call.queue in reported or call.place in reported or (call.queue is None and not some):
            continue
        if any(may_be_same(call.queue, each.queue) for each in read):
            continue
        reported |= {call.queue, call.place}
        verb = "created" if call.function in CREATES else "filled"
        what = f"{described(call.queue)} is {verb} here, but dispatch never takes a task from it"
        advice = "call scx_bpf_dsq_move_to_local with this identifier in dispatch (or something it calls)"
        yield Finding("queue-consumed", what, advice, *_place(call.place))


def select_cpu_local(walks: Walks) -> Iterator[Finding]:
    """Demand that `select_cpu` inserts into local queues only: other queues are for `enqueue`."""
    for call in walks.queued("select_cpu", among={**INSERTS, **MOVES}):
        if not is_local(call.queue):
            what = f"select_cpu inserts into {described(call.queue)}, which is no local queue"
            advice = (
                "insert into SCX_DSQ_LOCAL (or SCX_DSQ_LOCAL_ON | cpu) when the CPU is idle, else leave it to enqueue"
            )
            yield Finding("select-cpu-local", what, advice, *_place(call.place, walks.facts.callback("select_cpu")))


PATH_RULES: tuple[Callable[[Walks], Iterator[Finding]], ...] = (
    enqueue_inserts,
    insert_once,
    queue_created,
    queue_consumed,
    select_cpu_local,
)


def _own(calls: list[Queued]) -> list[Queued]:
    """Return the calls about queues that are not the kernel's."""
    return [call for call in calls if not is_builtin(call.queue)]


def _place(place: Place, instead: Function | None = None) -> tuple[int | None, int | None]:
    """Return its place in the source; for a place in a header, that of the callback."""
    file, line, column = place
    if file == MAIN:
        return line, column
    return (instead.line, instead.column) if instead is not None else (None, None)
