# SPDX-License-Identifier: MIT
"""Facts about a parsed source: the output of `parser`, with names for its parts."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from autotune.frozen import dataclass

MAIN = "main"
"""Value of `file` for the scheduler's own source; parts of our headers have the header's name."""


class Word(NamedTuple):
    """A word of the source; `kind` is the first letter of punctuation, keyword, identifier or literal."""

    kind: str
    text: str
    line: int
    column: int


class Node(NamedTuple):
    """A statement or an expression. The meaning of `extra` depends on the kind (see `parser`)."""

    kind: str
    line: int
    column: int
    extra: Any
    children: tuple[Node, ...]

    def walk(self) -> Iterator[Node]:
        seen = [self]
        while seen:
            each = seen.pop()
            yield each
            seen.extend(reversed(each.children))


@dataclass(frozen=True)
class Local:
    """A local variable or a parameter. `kind` is signed, unsigned or pointer."""

    name: str
    kind: str
    bytes: int
    is_bool: bool


@dataclass(frozen=True)
class Function:
    """A function of the source or of our headers, with its body. Parameters are numbers of locals."""

    name: str
    file: str
    line: int
    column: int
    result: str
    parameters: tuple[int, ...]
    body: Node

    @property
    def shown(self) -> str:
        """The name as it stands in the source: the AT_OP macros make a callback of a function NAME_body."""
        return self.name.removesuffix("_body")


@dataclass(frozen=True)
class Variable:
    """A variable of a file."""

    name: str
    file: str
    line: int
    column: int
    type: str
    canonical: str
    """The type with every typedef resolved."""
    const: bool
    volatile: bool
    initial: Node | None


class Call(NamedTuple):
    """A call; `parser` explains the values of `how`."""

    how: str
    name: str
    line: int
    column: int
    function: str


@dataclass(frozen=True)
class Section:
    """A section that a function or a variable is put into."""

    section: str
    name: str
    kind: str
    file: str
    line: int
    column: int


@dataclass(frozen=True)
class Facts:
    """All facts, for rules that need the meaning. `name` is what the scheduler must be called."""

    name: str
    functions: Mapping[str, Function]
    variables: tuple[Variable, ...]
    locals: tuple[Local, ...]
    calls: tuple[Call, ...]
    asm: tuple[tuple[int, int], ...]
    sections: tuple[Section, ...]

    @cached_property
    def ops(self) -> tuple[Variable, ...]:
        """The tables that describe a scheduler to the kernel; there should be one."""
        inside = {(item.name, item.line) for item in self.sections if item.section.startswith(".struct_ops")}
        found = [each for each in self.variables if each.canonical.removeprefix("const ") == OPS_TYPE]
        return tuple(each for each in found if each.initial is not None or (each.name, each.line) in inside)

    def callback(self, name: str) -> Function | None:
        """Return the function behind a field of the ops; None when it is not set, or is not a readable function."""
        value = self.ops_field(name)
        while value is not None and value.kind in ("cast", "unary", "other") and len(value.children) == 1:
            value = value.children[0]
        return self.functions.get(value.extra) if value is not None and value.kind == "function" else None

    def callbacks(self) -> dict[str, Function]:
        names = [item.extra for item in self._fields() if item.extra]
        found = {name: self.callback(name) for name in names}
        return {name: function for name, function in found.items() if function is not None}

    def ops_field(self, name: str) -> Node | None:
        """Return the value of a field; of several the last, as in C."""
        values = [item.children[0] for item in self._fields() if item.extra == name and item.children]
        return values[-1] if values else None

    def _fields(self) -> tuple[Node, ...]:
        initial = self.ops[0].initial if self.ops else None
        return initial.children if initial is not None and initial.kind == "fields" else ()

    @cached_property
    def constants(self) -> dict[str, int]:
        """The file's variables that nothing can change, with their values."""
        return {
            each.name: each.initial.extra
            for each in self.variables
            if each.const and not each.volatile and each.initial is not None and each.initial.kind == "constant"
        }


OPS_TYPE = "struct sched_ext_ops"


def read(document: Mapping[str, Any], name: str) -> Facts:
    """Read the facts from a document of `parser tree`."""
    functions = [
        Function(
            item["name"],
            item["file"],
            item["line"],
            item["column"],
            item["result"],
            tuple(item["parameters"]),
            _node(item["body"]),
        )
        for item in document["functions"]
    ]
    return Facts(
        name=name,
        functions={function.name: function for function in functions},
        variables=tuple(_variable(item) for item in document["variables"]),
        locals=tuple(
            Local(item["name"], item["kind"], item["bytes"], item["canonical"] in ("_Bool", "const _Bool"))
            for item in document["locals"]
        ),
        calls=tuple(Call(*item) for item in document["calls"]),
        asm=tuple((line, column) for line, column in document["asm"]),
        sections=tuple(Section(**item) for item in document["sections"]),
    )


def _variable(item: Mapping[str, Any]) -> Variable:
    initial = _node(item["initial"]) if item["initial"] is not None else None
    names = ("name", "file", "line", "column", "type", "canonical", "const", "volatile")
    return Variable(**{name: item[name] for name in names}, initial=initial)


def _node(item: list[Any]) -> Node:
    kind, line, column, extra, children = item
    return Node(kind, line, column, extra, tuple(_node(child) for child in children))


def string_of(node: Node | None) -> str | None:
    """Return the text of a string constant, as the compiler prints it; None for anything else."""
    while node is not None and node.kind in ("cast", "other") and len(node.children) == 1:
        node = node.children[0]
    if node is None or node.kind != "string":
        return None
    try:
        value = ast.literal_eval(node.extra)
    except (SyntaxError, ValueError):
        return None
    return value if isinstance(value, str) else None
