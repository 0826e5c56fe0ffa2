# SPDX-License-Identifier: MIT
"""Values, as far as they are known without running anything: a number, the task, something not zero, a queue identifier
of the form `constant + something`, or nothing at all (None)."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from autotune.verify.source.facts import Local


class Series(NamedTuple):
    """Values `base op x` with an unknown x: `QUEUE_OF(cpu)`, `SCX_DSQ_LOCAL_ON | cpu`."""

    base: int
    op: Literal["+", "-", "|", "^"]


Value: TypeAlias = "int | Series | Literal['task', 'context', 'some'] | None"
"""`task` is the task that a callback is about; `context` the array of its arguments; `some` is not zero."""

BUILTIN, LOCAL_ON = 1 << 63, 3 << 62
"""enum scx_dsq_id_flags of the kernel's include/linux/sched/ext.h."""
LOCAL = BUILTIN | 2
MOST_MEMBERS = 1 << 16
"""How far above a series' base a constant may be and still count as its member: more CPUs than Linux has."""
NEAR = 16
"""Series whose bases are this close count as one: `QUEUE_OF(cpu + 1)` means the same queues as `QUEUE_OF(cpu)`."""
WORD = (1 << 64) - 1
SAFE_INT = 1 << 31


def truth(value: Value) -> bool | None:
    if isinstance(value, int):
        return value != 0
    return True if value in ("task", "context", "some") else None


def combined(op: str, left: Value, right: Value) -> Value:
    """Compute `left op right`, if the value is worth knowing."""
    if isinstance(left, int) and isinstance(right, int):
        return _arithmetic(op, left, right)
    left, right = (None if isinstance(value, str) else value for value in (left, right))
    if op in ("+", "|", "^") and not isinstance(left, int) and isinstance(right, (int, Series)):
        left, right = right, left
    if isinstance(left, Series):
        return _grown(op, left, right)
    if isinstance(left, int) and right is None and left != 0 and op in ("+", "-", "|", "^"):
        return Series(left & WORD, op)  # type: ignore[arg-type]
    return None


def _grown(op: str, left: Series, right: Value) -> Value:
    if not isinstance(right, int):
        return left if op == left.op and right is None else None
    if left.op == "+" and op in ("+", "-"):
        return Series((left.base + (right if op == "+" else -right)) & WORD, "+")
    return Series(left.base | right, "|") if left.op == op == "|" else None


def _arithmetic(op: str, left: int, right: int) -> int | None:
    if op in ("<<", ">>") and not 0 <= right < 64:
        return None
    if op in ("/", "%") and (right <= 0 or left < 0):
        return None
    results = {
        "+": lambda: left + right,
        "-": lambda: left - right,
        "*": lambda: left * right,
        "/": lambda: left // right,
        "%": lambda: left % right,
        "&": lambda: left & right,
        "|": lambda: left | right,
        "^": lambda: left ^ right,
        "<<": lambda: left << right,
        ">>": lambda: left >> right,
    }
    result = results[op]() if op in results else None
    return result if result is not None and -SAFE_INT < result <= WORD else None


def compared(op: str, left: Value, right: Value) -> bool | None:
    """Return whether `left op right`; a `u` after a relation means that it compares unsigned numbers."""
    if not (isinstance(left, int) and isinstance(right, int)):
        return None
    if min(left, right) < 0 and (op.endswith("u") or max(left, right) >= SAFE_INT):
        return None
    return {
        "==": left == right,
        "!=": left != right,
        "<": left < right,
        ">": left > right,
        "<=": left <= right,
        ">=": left >= right,
    }.get(op.removesuffix("u"))


def fitted(value: Value, wide: int, is_signed: bool) -> Value:
    """Convert a value to so many bytes; None where that may change it."""
    if value is None or wide >= 8:
        return value
    if isinstance(value, Series):
        return value if wide >= 4 and value.base < SAFE_INT else None
    if not isinstance(value, int):
        return None
    most = 127 if wide < 4 else SAFE_INT - 1
    return value if (-128 if is_signed else 0) <= value <= most else None


def stored(value: Value, variable: Local) -> Value:
    """Return the value once it is in a variable."""
    if variable.is_bool:
        known = truth(value)
        return None if known is None else int(known)
    if variable.kind == "pointer" and isinstance(value, (str, int)):
        return value
    return fitted(value, variable.bytes, variable.kind == "signed")


def is_local(queue: Value) -> bool:
    """Return whether it is a CPU's own queue: this CPU's, or that of the named CPU."""
    if isinstance(queue, int):
        return queue & WORD == LOCAL or (queue & WORD) >> 32 == LOCAL_ON >> 32
    return isinstance(queue, Series) and queue.base >> 32 == LOCAL_ON >> 32 and queue.op in ("+", "|")


def is_builtin(queue: Value) -> bool:
    if isinstance(queue, int):
        return bool(queue & BUILTIN)
    return isinstance(queue, Series) and bool(queue.base & BUILTIN)


def may_be_same(left: Value, right: Value) -> bool:
    """Return whether two identifiers may name one queue. An unknown one may be anything."""
    if isinstance(left, int) and isinstance(right, int):
        return left & WORD == right & WORD
    if isinstance(left, Series) and isinstance(right, Series):
        return left.op != right.op or abs(left.base - right.base) <= NEAR
    if isinstance(left, int) and isinstance(right, Series):
        left, right = right, left
    if isinstance(left, Series) and isinstance(right, int):
        return left.op not in ("+", "|") or 0 <= (right & WORD) - left.base < MOST_MEMBERS
    return True


def described(queue: Value) -> str:
    """Describe the queue for messages."""
    if isinstance(queue, int):
        return f"queue {queue & WORD:#x}" if queue & WORD > 9 else f"queue {queue & WORD}"
    if isinstance(queue, Series):
        return f"a queue of the form {queue.base:#x} {queue.op} ..."
    return "a queue whose identifier is not constant"
