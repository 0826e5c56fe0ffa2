# SPDX-License-Identifier: MIT
"""Reads a scheduler's source with libclang and prints what the rules of gate 1 need, as one JSON document.

A program of its own, which runs only inside the sandbox: the text may be meant to harm its parser. It judges nothing.
Standard library and clang.cindex only.

    python parser.py words|tree SITE [CLANG FLAG...] < source

`words` lexes without following anything; `tree` parses for real. SITE is a directory with the `clang` package. A node
of a tree is `[kind, line, column, extra, children]`; lines and columns are those of the scheduler's own text, wherever
a macro came from.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from ctypes import byref, c_int, c_longlong, c_uint, c_ulonglong, c_void_p
from typing import Any, TypeAlias

MAIN = "/scratch/scheduler.bpf.c"
OURS = ("at.h", "at_clock.h", "at_expected.h")
MOST_NODES = 200_000
"""Most words of a source. One of 1,850 lines has 6,000; ours have 200 to 600."""
MOST_DEPTH = 120
"""Deepest level of a tree, without implicit conversions; our deepest is 14."""
MOST_ENTRIES = 4000
"""Longest of any other list."""
SKIPPED = "#if 0\n"
"""Precedes the text when only its words are wanted, so that nothing is expanded or included."""
PARSE_INCOMPLETE = 0x02 | 0x200
"""Continue after an error, even a fatal one, to report as many as there are."""
TERSE, NO_INITIALISERS = 17, 6
"""Of enum CXPrintingPolicyProperty."""
EVAL_INT = 1
SPLICE = re.compile(r"\\[ \t]*\r?\n")
"""A continued line: the parser keeps the splice inside some words."""

Node: TypeAlias = "list[Any]"


class TooMuch(Exception):
    """The tree is larger or deeper than any honest source."""


class Parser:
    """libclang, with the functions that its Python binding lacks."""

    def __init__(self) -> None:
        cindex: Any = importlib.import_module("clang.cindex")
        self.cindex = cindex
        self.lib = lib = cindex.conf.lib
        cursor, text = cindex.Cursor, cindex._CXString
        for name, arguments, result in (
            ("clang_getCursorBinaryOperatorKind", [cursor], c_int),
            ("clang_getCursorUnaryOperatorKind", [cursor], c_int),
            ("clang_Cursor_getVarDeclInitializer", [cursor], cursor),
            ("clang_Cursor_Evaluate", [cursor], c_void_p),
            ("clang_EvalResult_getKind", [c_void_p], c_int),
            ("clang_EvalResult_isUnsignedInt", [c_void_p], c_uint),
            ("clang_EvalResult_getAsUnsigned", [c_void_p], c_ulonglong),
            ("clang_EvalResult_getAsLongLong", [c_void_p], c_longlong),
            ("clang_EvalResult_dispose", [c_void_p], None),
            ("clang_getCursorPrintingPolicy", [cursor], c_void_p),
            ("clang_PrintingPolicy_setProperty", [c_void_p, c_int, c_uint], None),
            ("clang_PrintingPolicy_dispose", [c_void_p], None),
            ("clang_getCursorPrettyPrinted", [cursor, c_void_p], text),
        ):
            function = getattr(lib, name)
            function.argtypes, function.restype = arguments, result
        lib.clang_getCursorPrettyPrinted.errcheck = text.from_result
        self._expansion = lib["clang_getExpansionLocation"]  # ours: the library's own function keeps its types
        self._expansion.argtypes = [cindex.SourceLocation, *[c_void_p] * 4]
        self._expansion.restype = None
        self._files: dict[int | None, str] = {}

    def parse(self, text: str, flags: list[str]) -> Any:
        index = self.cindex.Index.create()
        self._files = {None: ""}
        return index.parse(MAIN, flags, unsaved_files=[(MAIN, text)], options=PARSE_INCOMPLETE)

    def constant(self, cursor: Any) -> int | None:
        """Return the value of an integer expression that the compiler can compute."""
        found = self.lib.clang_Cursor_Evaluate(cursor)
        if not found:
            return None
        try:
            if self.lib.clang_EvalResult_getKind(found) != EVAL_INT:
                return None
            if self.lib.clang_EvalResult_isUnsignedInt(found):
                return int(self.lib.clang_EvalResult_getAsUnsigned(found))
            return int(self.lib.clang_EvalResult_getAsLongLong(found))
        finally:
            self.lib.clang_EvalResult_dispose(found)

    def file_of(self, cursor: Any) -> str:
        """Return `main`, or the name of the header in which a cursor is. A name is asked for once: the kernel's header
        has 17,000 declarations."""
        handle = c_void_p()
        self._expansion(cursor.location, byref(handle), None, None, None)
        if handle.value not in self._files:
            name = str(cursor.location.file.name)
            self._files[handle.value] = "main" if name == MAIN else name.rpartition("/")[2]
        return self._files[handle.value]

    def initialiser(self, cursor: Any) -> Any | None:
        found = self.lib.clang_Cursor_getVarDeclInitializer(cursor)
        if found.kind.is_invalid():
            return None
        found._tu = cursor._tu
        return found

    def declared(self, cursor: Any) -> str:
        """Print a declaration as the compiler understood it, without its body or initialiser."""
        policy = self.lib.clang_getCursorPrintingPolicy(cursor)
        try:
            self.lib.clang_PrintingPolicy_setProperty(policy, TERSE, 1)
            self.lib.clang_PrintingPolicy_setProperty(policy, NO_INITIALISERS, 1)
            return str(self.lib.clang_getCursorPrettyPrinted(cursor, policy))
        finally:
            self.lib.clang_PrintingPolicy_dispose(policy)


# --- words -----------------------------------------------------------------------------------------------------


def words(parser: Parser, text: str) -> dict[str, Any]:
    """Return every word of the source except comments: `[kind, text, line, column]`; kind is the first letter of
    punctuation, keyword, identifier or literal. Literals are cut to 200 characters."""
    unit = parser.parse(SKIPPED + text, ["-target", "bpf"])
    extent = unit.get_extent(MAIN, (len(SKIPPED.encode()), len((SKIPPED + text).encode())))
    found = []
    for token in unit.get_tokens(extent=extent):
        if token.kind.name != "COMMENT":
            place = token.location
            spelling = SPLICE.sub("", token.spelling)[:200]
            found.append([token.kind.name[0].lower(), spelling, place.line - 1, place.column])
    return {"words": found}


# --- tree ------------------------------------------------------------------------------------------------------


class Reader:
    """Turns the parser's tree into ours."""

    def __init__(self, parser: Parser, unit: Any) -> None:
        self.parser = parser
        self.unit = unit
        self.kinds = parser.cindex.CursorKind
        self.nodes = 0
        self.places: dict[int, list[Any]] = {}
        self.variables: list[Any] = []
        self.calls: list[list[Any]] = []
        self.asm: list[list[int]] = []
        self.sections: list[dict[str, Any]] = []
        self.handlers = {
            "COMPOUND_STMT": self._plain("block"),
            "IF_STMT": self._plain("if"),
            "WHILE_STMT": self._plain("while"),
            "DO_STMT": self._plain("do"),
            "FOR_STMT": self._for,
            "SWITCH_STMT": self._plain("switch"),
            "CASE_STMT": self._case,
            "DEFAULT_STMT": self._case,
            "RETURN_STMT": self._plain("return"),
            "BREAK_STMT": self._plain("break"),
            "CONTINUE_STMT": self._plain("continue"),
            "NULL_STMT": self._plain("null"),
            "GOTO_STMT": self._goto,
            "INDIRECT_GOTO_STMT": self._plain("jump"),
            "LABEL_STMT": self._label,
            "ASM_STMT": self._plain("asm"),
            "MS_ASM_STMT": self._plain("asm"),
            "DECL_STMT": self._declarations,
            "CALL_EXPR": self._call,
            "DECL_REF_EXPR": self._reference,
            "MEMBER_REF_EXPR": self._member,
            "UNARY_OPERATOR": self._unary,
            "BINARY_OPERATOR": self._binary,
            "COMPOUND_ASSIGNMENT_OPERATOR": self._binary,
            "CONDITIONAL_OPERATOR": self._plain("choice"),
            "ARRAY_SUBSCRIPT_EXPR": self._plain("index"),
            "StmtExpr": self._plain("statements"),
            "CSTYLE_CAST_EXPR": self._cast,
            "STRING_LITERAL": self._string,
            "CXX_UNARY_EXPR": self._unevaluated,
            "GENERIC_SELECTION_EXPR": self._unevaluated,
        }

    def node(self, cursor: Any, depth: int = 0) -> Node:
        self.nodes += 1
        if self.nodes > MOST_NODES or depth > MOST_DEPTH:
            raise TooMuch
        cursor, children = self._bare(cursor)
        if cursor.kind.is_expression():
            value = self.parser.constant(cursor)
            if value is not None and not self._acts(cursor):
                return ["constant", *self._place(cursor), value, []]
        handler = self.handlers.get(cursor.kind.name)
        if handler is not None:
            return list(handler(cursor, children, depth + 1))
        return ["other", *self._place(cursor), cursor.kind.name, self._all(children, depth + 1)]

    def _bare(self, cursor: Any) -> tuple[Any, list[Any]]:
        """Strip parentheses and implicit conversions, which have the same place as what they convert. A conversion
        whose value is known is kept, because it may change that value."""
        children = list(cursor.get_children())
        while len(children) == 1 and (
            cursor.kind == self.kinds.PAREN_EXPR
            or (cursor.kind == self.kinds.UNEXPOSED_EXPR and cursor.extent == children[0].extent)
        ):
            if self.parser.constant(cursor) is not None:
                break
            cursor = children[0]
            children = list(cursor.get_children())
        return cursor, children

    def _acts(self, cursor: Any) -> bool:
        """Return whether something inside has an effect; the operands of `sizeof` and the like have none."""
        if cursor.kind.name == "CXX_UNARY_EXPR":
            return False
        seen = [cursor]
        while seen:
            each = seen.pop()
            if each.kind.name in ACTING or self._assigns(each):
                return True
            seen.extend(each.get_children())
        return False

    def _assigns(self, cursor: Any) -> bool:
        if cursor.kind.name == "BINARY_OPERATOR":
            return bool(self.parser.lib.clang_getCursorBinaryOperatorKind(cursor) == ASSIGN)
        if cursor.kind.name == "UNARY_OPERATOR":
            return self.parser.lib.clang_getCursorUnaryOperatorKind(cursor) in STEPS
        return False

    def _place(self, cursor: Any) -> tuple[int, int]:
        place = cursor.location
        return (place.line, place.column)

    def _all(self, cursors: list[Any], depth: int) -> list[Node]:
        return [self.node(cursor, depth) for cursor in cursors if not _is_type(cursor)]

    def _plain(self, kind: str) -> Any:
        def handle(cursor: Any, children: list[Any], depth: int) -> Node:
            end = cursor.extent.end if kind == "block" else None
            extra = [end.line, end.column] if end is not None else None
            return [kind, *self._place(cursor), extra, self._all(children, depth)]

        return handle

    def _for(self, cursor: Any, children: list[Any], depth: int) -> Node:
        """Read a `for`. Absent parts have no node: the places of the semicolons show which are there. Inside a macro
        they do not, and `extra` is None."""
        parts = self._all(children, depth)
        return ["for", *self._place(cursor), self._parts_of_for(cursor, children), parts]

    def _parts_of_for(self, cursor: Any, children: list[Any]) -> str | None:
        if len(children) == 4:
            return "icn"
        body = children[-1].extent.start.offset
        ends: list[int] = []
        deep = 0
        for token in cursor.get_tokens():
            spelling, offset = token.spelling, token.extent.start.offset
            deep += (spelling in "([{") - (spelling in ")]}") if len(spelling) == 1 else 0
            if offset >= body or (ends and deep == 0):
                break
            if spelling == ";" and deep == 1:
                ends.append(offset)
        if len(ends) != 2:
            return None
        starts = [child.extent.start.offset for child in children[:-1]]
        parts = "".join("i" if at < ends[0] else "c" if at < ends[1] else "n" for at in starts)
        return parts if len(set(parts)) == len(parts) else None

    def _case(self, cursor: Any, children: list[Any], depth: int) -> Node:
        kind = "default" if cursor.kind.name == "DEFAULT_STMT" else "case"
        return [kind, *self._place(cursor), None, self._all(children[-1:], depth)]

    def _goto(self, cursor: Any, children: list[Any], _: int) -> Node:
        label = next((child.spelling for child in children), "")
        return ["goto", *self._place(cursor), label, []]

    def _label(self, cursor: Any, children: list[Any], depth: int) -> Node:
        return ["label", *self._place(cursor), cursor.spelling, self._all(children, depth)]

    def _declarations(self, cursor: Any, children: list[Any], depth: int) -> Node:
        variables = []
        for child in children:
            if child.kind.name != "VAR_DECL":
                continue
            initial = self.parser.initialiser(child)
            static = child.storage_class.name in ("STATIC", "EXTERN")
            parts = [] if initial is None else [self.node(initial, depth)]
            variables.append(["variable", *self._place(child), None if static else self.variable(child), parts])
        return ["declaration", *self._place(cursor), None, variables]

    def _call(self, cursor: Any, children: list[Any], depth: int) -> Node:
        callee, arguments = _callee(cursor), list(cursor.get_arguments())
        parts = [self.node(argument, depth) for argument in arguments]
        if callee is None and children:
            parts.insert(0, self.node(children[0], depth))
        return ["call", *self._place(cursor), callee.spelling if callee is not None else None, parts]

    def _reference(self, cursor: Any, _: list[Any], __: int) -> Node:
        decl = cursor.referenced
        if decl is None:
            return ["other", *self._place(cursor), "reference", []]
        if decl.kind.name == "FUNCTION_DECL":
            return ["function", *self._place(cursor), decl.spelling, []]
        local = decl.kind.name == "PARM_DECL" or (
            decl.kind.name == "VAR_DECL"
            and decl.semantic_parent.kind.name == "FUNCTION_DECL"
            and decl.storage_class.name not in ("STATIC", "EXTERN")
        )
        if local:
            return ["local", *self._place(cursor), self.variable(decl), []]
        return ["global", *self._place(cursor), decl.spelling, []]

    def _member(self, cursor: Any, children: list[Any], depth: int) -> Node:
        return ["member", *self._place(cursor), cursor.spelling, self._all(children, depth)]

    def _unary(self, cursor: Any, children: list[Any], depth: int) -> Node:
        kind = self.parser.lib.clang_getCursorUnaryOperatorKind(cursor)
        return ["unary", *self._place(cursor), UNARY.get(kind, "?"), self._all(children, depth)]

    def _binary(self, cursor: Any, children: list[Any], depth: int) -> Node:
        kind = self.parser.lib.clang_getCursorBinaryOperatorKind(cursor)
        operator = BINARY.get(kind, "?")
        if operator in COMPARISONS and children and _is_unsigned(children[0]):
            operator += "u"
        return ["binary", *self._place(cursor), operator, self._all(children, depth)]

    def _cast(self, cursor: Any, children: list[Any], depth: int) -> Node:
        return ["cast", *self._place(cursor), max(0, cursor.type.get_size()), self._all(children[-1:], depth)]

    def _string(self, cursor: Any, _: list[Any], __: int) -> Node:
        return ["string", *self._place(cursor), cursor.spelling[:300], []]

    def _unevaluated(self, cursor: Any, _: list[Any], __: int) -> Node:
        return ["other", *self._place(cursor), cursor.kind.name, []]

    def variable(self, decl: Any) -> int:
        """Return a number for a local variable, the same for every reference to it."""
        digest = decl.hash
        for number, known in self.places.setdefault(digest, []):
            if known == decl:
                return int(number)
        number = len(self.variables)
        self.variables.append({"name": decl.spelling, **_type(decl)})
        self.places[digest].append((number, decl))
        return number

    def function(self, cursor: Any, file: str) -> dict[str, Any]:
        parameters = [self.variable(each) for each in cursor.get_arguments()]
        body = next(child for child in cursor.get_children() if child.kind.name == "COMPOUND_STMT")
        line, column = self._place(cursor)
        if file == "main":
            self.survey(body, cursor.spelling)
        return {
            "name": cursor.spelling,
            "file": file,
            "line": line,
            "column": column,
            "result": cursor.result_type.get_canonical().spelling[:100],
            "parameters": parameters,
            "body": self.node(body),
        }

    def survey(self, cursor: Any, function: str) -> None:
        """Record every call, every piece of assembly and every section inside, also where nothing is evaluated."""
        seen = [cursor]
        while seen:
            each = seen.pop()
            name = each.kind.name
            if name == "CALL_EXPR":
                self.calls.append([*self._called(each), *self._place(each), function])
            elif name in ("ASM_STMT", "MS_ASM_STMT", "ASM_LABEL_ATTR"):
                self.asm.append([*self._place(each)])
            elif name in ("VAR_DECL", "FUNCTION_DECL"):
                self.sectioned(each, "main")
            if len(self.calls) > MOST_ENTRIES * 4:
                raise TooMuch
            seen.extend(each.get_children())

    def _called(self, cursor: Any) -> tuple[str, str]:
        """Return how a callee is found, and its name: `own` (here or in our headers), `kernel` (declared by vmlinux.h),
        `builtin`, `helper` (a constant of at.h), `unknown` (declared here, defined nowhere), `pointer`."""
        decl = _callee(cursor)
        if decl is None:
            meant = cursor.referenced
            if meant is not None and meant.kind.name == "VAR_DECL" and self.parser.file_of(meant) in OURS:
                return "helper", meant.spelling
            scope = None if meant is None else meant.semantic_parent
            of_file = scope is not None and scope.kind.name == "TRANSLATION_UNIT"
            return "pointer", meant.spelling if of_file else ""
        name = decl.spelling
        if decl.get_definition() is not None:
            return "own", name
        if name.startswith(("__builtin_", "__sync_", "__atomic_", "__c11_atomic_")):
            return "builtin", name
        declared_by = {self.parser.file_of(each) for each in (decl, decl.canonical)}
        return "kernel" if "vmlinux.h" in declared_by else "unknown", name

    def sectioned(self, cursor: Any, file: str) -> None:
        if not any(child.kind.name == "UNEXPOSED_ATTR" for child in cursor.get_children()):
            return
        line, column = self._place(cursor)
        for section in _sections(self.parser.declared(cursor)):
            kind = "function" if cursor.kind.name == "FUNCTION_DECL" else "variable"
            entry = {"section": section, "name": cursor.spelling, "kind": kind, "file": file}
            self.sections.append({**entry, "line": line, "column": column})
        if len(self.sections) > MOST_ENTRIES:
            raise TooMuch

    def variable_of_file(self, cursor: Any, file: str) -> dict[str, Any]:
        line, column = self._place(cursor)
        initial = self.parser.initialiser(cursor)
        tree = self._fields(initial) if initial is not None else None
        found = {"name": cursor.spelling, "file": file, "line": line, "column": column, **_type(cursor)}
        return {**found, "initial": tree}

    def _fields(self, cursor: Any) -> Any:
        """Return the first level of an initialiser: `["fields", line, column, None, [["field", ..., NAME, [VALUE]],
        ...]]`."""
        if cursor.kind.name != "INIT_LIST_EXPR":
            return self.node(cursor)
        fields = []
        for item in cursor.get_children():
            parts = [part for part in item.get_children() if not _is_type(part)]
            named = bool(parts) and parts[0].kind.name == "MEMBER_REF" and len(parts) == 2
            name = parts[0].spelling if named else None
            fields.append(["field", *self._place(item), name, [self.node(parts[1] if named else item)]])
            if len(fields) > MOST_ENTRIES:
                raise TooMuch
        return ["fields", *self._place(cursor), None, fields]


UNARY = {1: "x++", 2: "x--", 3: "++x", 4: "--x", 5: "&", 6: "*", 7: "+", 8: "-", 9: "~", 10: "!", 13: "extension"}
"""Of enum CXUnaryOperatorKind, since LLVM 17."""
_BINARY = "* / % + - << >> <=> < > <= >= == != & ^ | && || = *= /= %= += -= <<= >>= &= ^= |= ,"
BINARY = dict(enumerate(_BINARY.split(), start=3))
"""Of enum CXBinaryOperatorKind, since LLVM 17."""
ASSIGN = 22
STEPS = (1, 2, 3, 4)
COMPARISONS = ("<", ">", "<=", ">=")
ACTING = ("CALL_EXPR", "StmtExpr", "GENERIC_SELECTION_EXPR", "COMPOUND_ASSIGNMENT_OPERATOR", "ADDR_LABEL_EXPR")
UNSIGNED = ("BOOL", "UCHAR", "USHORT", "UINT", "ULONG", "ULONGLONG", "CHAR_U", "POINTER")


def _callee(call: Any) -> Any | None:
    """Return the function that is called by its name."""
    decl = call.referenced
    return decl if decl is not None and decl.kind.name == "FUNCTION_DECL" else None


def _is_type(cursor: Any) -> bool:
    return bool(
        cursor.kind.name in ("TYPE_REF", "PARM_DECL", "STRUCT_DECL", "UNION_DECL") or cursor.kind.is_attribute()
    )


def _is_unsigned(cursor: Any) -> bool:
    return cursor.type.get_canonical().kind.name in UNSIGNED


def _type(cursor: Any) -> dict[str, Any]:
    kind = cursor.type
    plain = kind.get_canonical()
    return {
        "type": kind.spelling[:100],
        "canonical": plain.spelling[:100],
        "const": kind.is_const_qualified() or plain.is_const_qualified(),
        "volatile": kind.is_volatile_qualified() or plain.is_volatile_qualified(),
        "bytes": max(0, plain.get_size()),
        "kind": "pointer" if plain.kind.name == "POINTER" else "unsigned" if _is_unsigned(cursor) else "signed",
    }


def _sections(declared: str) -> Iterator[str]:
    """Yield the names in the attributes `section("...")` of a printed declaration. The printer does not escape quotes:
    where there are more of them than those around plain names, the whole text counts as one name, which no rule
    allows."""
    names = re.findall(r'(?:section|allocate)\("([\w./ -]*)"\)', declared)
    if declared.count('"') != 2 * len(names):
        yield declared[:200]
    yield from (name[:200] for name in names)


def diagnostics(unit: Any) -> list[dict[str, Any]]:
    """Return errors only (severity 3 and 4); gate 2 reports warnings."""
    found = []
    for each in unit.diagnostics:
        if each.severity < 3:
            continue
        file = each.location.file
        here = file is not None and file.name == MAIN
        place = {"line": each.location.line, "column": each.location.column} if here else {"line": None, "column": None}
        found.append({"message": each.spelling[:300], "file": "main" if here else str(file), **place})
        if len(found) == 50:
            break
    return found


def tree(parser: Parser, text: str, flags: list[str]) -> dict[str, Any]:
    unit = parser.parse(text, flags)
    facts: dict[str, Any] = {"diagnostics": diagnostics(unit)}
    facts["includes"] = sorted({str(each.include.name)[:200] for each in unit.get_includes()})[:100]
    reader = Reader(parser, unit)
    functions, variables = [], []
    if not facts["diagnostics"]:
        for cursor in unit.cursor.get_children():
            file = parser.file_of(cursor)
            if file != "main" and file not in OURS:
                continue
            name = cursor.kind.name
            if name in ("FUNCTION_DECL", "VAR_DECL"):
                reader.sectioned(cursor, file)
            if name == "FUNCTION_DECL" and cursor.is_definition():
                functions.append(reader.function(cursor, file))
            elif name == "VAR_DECL":
                variables.append(reader.variable_of_file(cursor, file))
            if file == "main" and any(child.kind.name == "ASM_LABEL_ATTR" for child in cursor.get_children()):
                reader.asm.append([*reader._place(cursor)])
    facts.update(functions=functions, variables=variables, locals=reader.variables, nodes=reader.nodes)
    facts.update(calls=reader.calls, asm=reader.asm, sections=reader.sections)
    return facts


def main() -> int:
    what, site, *flags = sys.argv[1:]
    sys.path.insert(0, site)
    sys.setrecursionlimit(5000)
    text = sys.stdin.buffer.read().decode()
    parser = Parser()
    try:
        facts = words(parser, text) if what == "words" else tree(parser, text, flags)
    except TooMuch:
        facts = {"too_much": True}
    except parser.cindex.TranslationUnitLoadError:
        facts = {"not_parsed": True}
    sys.stdout.write(json.dumps(facts, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
