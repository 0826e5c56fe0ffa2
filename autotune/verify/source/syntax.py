# SPDX-License-Identifier: MIT
"""Questions about the syntax tree of one function that need no walk along its paths."""

from __future__ import annotations

from autotune.verify.source.facts import Node

STEPS = ("x++", "x--", "++x", "--x")
STATEMENTS = (
    "block",
    "if",
    "while",
    "do",
    "for",
    "switch",
    "case",
    "default",
    "return",
    "break",
    "continue",
    "goto",
    "label",
    "declaration",
)
"""Kinds of nodes that have no value."""
RELATIONS = ("==", "!=", "<", ">", "<=", ">=", "<u", ">u", "<=u", ">=u")


def variable_of(node: Node) -> int | None:
    """Return the local variable that a condition is about: `x`, or `x = ...`."""
    if node.kind == "binary" and node.extra == "=":
        node = node.children[0]
    return node.extra if node.kind == "local" else None


def exposed_in(body: Node) -> set[int]:
    """Return the variables whose address is taken."""
    return {
        inner.extra
        for node in body.walk()
        if node.kind == "unary" and node.extra == "&"
        for inner in node.walk()
        if inner.kind == "local"
    }


def assigned_in(node: Node, declared: bool = True) -> set[int]:
    """Return the variables that get a value inside; `declared`: also where they are declared."""
    found: set[int] = set()
    for each in node.walk():
        if declared and each.kind == "variable" and each.extra is not None:
            found.add(each.extra)
        elif each.kind == "binary" and each.extra.endswith("=") and each.extra not in RELATIONS:
            found |= {each.children[0].extra} if each.children[0].kind == "local" else set()
        elif each.kind == "unary" and each.extra in STEPS and each.children[0].kind == "local":
            found.add(each.children[0].extra)
    return found


def has_default(node: Node) -> bool:
    """Return whether a switch has a default of its own."""
    if node.kind == "default":
        return True
    return node.kind != "switch" and any(has_default(child) for child in node.children)


def has_entry(node: Node) -> bool:
    """Return whether it can be entered from elsewhere."""
    return any(each.kind in ("case", "default", "label") for each in node.walk())
