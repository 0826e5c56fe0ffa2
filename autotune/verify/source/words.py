# SPDX-License-Identifier: MIT
"""Rules that need only the words of the source. They also see text that the parser skips, between `#if` and `#endif`,
and what the compiler of gate 2, another version of clang, might read differently."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

from autotune import reading, resources
from autotune.verify.findings import Finding
from autotune.verify.source.facts import Word

MOST_BYTES = 64 << 10
MOST_LINES = 2000
"""Our largest scheduler has 7 KB and 175 lines."""
HEADERS = ("at.h", "at_clock.h", "at_expected.h")
"""Headers of ours that a scheduler may include; `parser.py`, which stands alone, has the same."""
INCLUDES = (*HEADERS, "linux/bpf/vmlinux.h")
SAFE_PRAGMAS = ("unroll", "nounroll")
DIRECTIVES = (
    "include",
    "include_next",
    "import",
    "embed",
    "if",
    "ifdef",
    "ifndef",
    "elif",
    "elifdef",
    "elifndef",
    "else",
    "endif",
    "define",
    "undef",
    "line",
    "error",
    "warning",
    "ident",
    "sccs",
    "pragma",
    "assert",
    "unassert",
    "__include_macros",
    "__public_macro",
    "__private_macro",
)
ATTRIBUTES = (
    "section",
    "used",
    "unused",
    "always_inline",
    "noinline",
    "aligned",
    "packed",
    "fallthrough",
    "hot",
    "cold",
    "warn_unused_result",
    "preserve_access_index",
    "maybe_unused",
)
"""Allowed attributes. None of them lets a compiler leave calls out (const, pure) or call functions unseen (cleanup,
constructor, alias)."""
ASSEMBLY = ("asm", "__asm", "__asm__", "_asm")
_UNSURE = re.compile(
    r"_Pragma|__pragma|__(?:has_|is_identifier|identifier|clang|llvm|bpf)\w*|__(?!SCX_)[A-Z][A-Z0-9_]*"
)
"""Macros of the compiler: two versions of it may give them different values."""


def size_bounded(text: str) -> Iterator[Finding]:
    advice = f"a scheduler is at most {MOST_BYTES >> 10} KiB and {MOST_LINES:,} lines"
    size = len(text.encode(errors="replace"))
    if size > MOST_BYTES:
        yield Finding("size-bounded", f"the source has {size:,} bytes", advice)
    lines = text.count("\n") + 1
    if lines > MOST_LINES:
        yield Finding("size-bounded", f"the source has {lines:,} lines", advice, MOST_LINES + 1, 1)


def plain_text(text: str) -> Iterator[Finding]:
    """Refuse invisible text: control characters, right-to-left text, halves of characters."""
    for number, line in enumerate(text.split("\n"), start=1):
        for column, character in enumerate(line.removesuffix("\r"), start=1):
            category = "" if " " <= character <= "~" or character == "\t" else unicodedata.category(character)
            if category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
                what = f"the character U+{ord(character):04X} cannot be seen or is no text"
                yield Finding("plain-text", what, "write plain text; use escapes in strings", number, column)
                return


def include_allowed(words: Sequence[Word]) -> Iterator[Finding]:
    """Allow only our headers and vmlinux.h, by their names."""
    named_headers = ", ".join(f'"{one}"' for one in HEADERS)
    advice = f"include one of {named_headers}; each brings <linux/bpf/vmlinux.h>, and no other file can be read"
    for at, arguments in _directives(words):
        if at.text in ("include", "include_next", "import", "embed"):
            named = _header(arguments)
            if at.text != "include" or named not in INCLUDES:
                shown = named or "".join(word.text for word in arguments)
                what = f"#{at.text} of '{shown[:80]}' is not allowed"
                yield Finding("include-allowed", what, advice, at.line, at.column)


def directive_allowed(words: Sequence[Word]) -> Iterator[Finding]:
    """Make sure that the text means the same to every compiler: no conditions, no pragmas that change what follows."""
    for at, arguments in _directives(words):
        if at.text in ("include", "include_next", "import", "embed", "define", "undef"):
            continue
        if at.text == "pragma" and arguments and _is_safe_pragma(arguments):
            continue
        advice = "take it out; use 'if' in the code, and a header guard is not needed"
        if at.text == "pragma":
            advice = "take it out; only unroll, nounroll and clang loop are allowed"
        yield Finding("directive-allowed", f"#{at.text[:40]} is not allowed", advice, at.line, at.column)


def macro_allowed(words: Sequence[Word]) -> Iterator[Finding]:
    """Make sure that a macro changes nothing but the source's own text: no keyword, no word of our headers, and nothing
    that a header would see."""
    advice = "choose another name"
    directives = list(_directives(words))
    includes = [number for number, (at, _) in enumerate(directives) if at.text == "include"]
    last_include = includes[-1] if includes else -1
    for number, (at, arguments) in enumerate(directives):
        if at.text not in ("define", "undef") or not arguments:
            continue
        name = arguments[0]
        place = (at.line, at.column)
        if number < last_include:
            what = f"#{at.text} {name.text[:60]} stands before an #include, which it may change"
            yield Finding("macro-allowed", what, "include first, define later", *place)
        elif name.kind == "k" or name.text in _words_of_headers():
            kind = "a word of the language" if name.kind == "k" else "a word of our headers"
            yield Finding("macro-allowed", f"#{at.text} of {name.text[:60]}, {kind}", advice, *place)


@functools.cache
def _words_of_headers() -> frozenset[str]:
    """Return the names in our headers, without their comments."""
    place = resources.bpf_source_dir() / "include"
    texts = [reading.text(place / name) for name in HEADERS]
    code = (re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S) for text in texts)
    return frozenset(word for text in code for word in re.findall(r"[A-Za-z_]\w*", text))


def no_compiler_tests(words: Sequence[Word]) -> Iterator[Finding]:
    for word in words:
        if word.kind in "ik" and _UNSURE.fullmatch(word.text):
            what = f"{word.text[:60]} may mean something else to another compiler"
            yield Finding("no-compiler-tests", what, "write what is meant without it", word.line, word.column)


def no_token_pasting(words: Sequence[Word]) -> Iterator[Finding]:
    """Refuse pasted names: they hide from every rule about names."""
    for word in words:
        if word.text in ("##", "%:%:"):
            advice = "write the names out; the AT_OP and AT_KNOB macros of at.h are there for the rest"
            yield Finding("no-token-pasting", "## is not allowed", advice, word.line, word.column)


def attribute_allowed(words: Sequence[Word]) -> Iterator[Finding]:
    """Refuse attributes such as cleanup, alias or constructor, which call or replace functions unseen by the other
    rules."""
    for index, word in enumerate(words):
        if word.text in ("__attribute__", "__attribute"):
            names = _attributes(words[index + 1 : index + 257])
        elif word.text == "[" and [each.text for each in words[index + 1 : index + 2]] == ["["]:
            names = ["[[...]]"]
        elif word.text in ("__declspec", "_declspec"):
            names = [word.text]
        else:
            continue
        for name in names:
            if name.strip("_") not in ATTRIBUTES:
                advice = "take it out; allowed are " + ", ".join(ATTRIBUTES)
                what = f"the attribute {name[:60]} is not allowed"
                yield Finding("attribute-allowed", what, advice, word.line, word.column)


def no_inline_asm(words: Sequence[Word]) -> Iterator[Finding]:
    for word in words:
        if word.kind in "ik" and word.text in ASSEMBLY:
            advice = "write it in C: the kernel's functions of vmlinux.h, and __sync_fetch_and_add for counters"
            yield Finding("no-inline-asm", "assembly is not allowed", advice, word.line, word.column)


WORD_RULES: tuple[Callable[[Sequence[Word]], Iterator[Finding]], ...] = (
    include_allowed,
    directive_allowed,
    macro_allowed,
    no_compiler_tests,
    no_token_pasting,
    attribute_allowed,
    no_inline_asm,
)
"""Applied before the text is parsed for real; before them, `size_bounded` and `plain_text` are. A text that breaks
one of those two or `include-allowed` is not parsed."""


def _directives(words: Sequence[Word]) -> Iterator[tuple[Word, list[Word]]]:
    """Yield each directive's name, and the words after it on its line. A `#` inside a macro, before a parameter, is
    none; one before the name of a directive always is, because a line may go on after a backslash."""
    last_line = 0
    for index, word in enumerate(words):
        if word.text in ("#", "%:", "??="):
            after = words[index + 1 : index + 66]
            name = after[0] if after and (after[0].line == word.line or after[0].text in DIRECTIVES) else None
            if name is not None and (word.line != last_line or name.text in DIRECTIVES):
                arguments = list(_same_line(after[1:], name.line))
                yield name._replace(line=word.line, column=word.column), arguments
        last_line = word.line


def _same_line(words: Sequence[Word], line: int) -> Iterator[Word]:
    return takewhile(lambda word: word.line == line, words)


def _header(arguments: Sequence[Word]) -> str | None:
    """Return the included file; None when it is not written out."""
    text = "".join(word.text for word in arguments)
    found = re.fullmatch(r'"([^"]*)"|<([^>]*)>', text)
    return (found[1] or found[2] or "") if found else None


def _is_safe_pragma(arguments: Sequence[Word]) -> bool:
    names = [word.text for word in arguments]
    return names[0] in SAFE_PRAGMAS or names[:2] == ["clang", "loop"]


def _attributes(words: Sequence[Word]) -> list[str]:
    """Return the names between the double parentheses."""
    names: list[str] = []
    depth, expected = 0, False
    for word in words:
        if word.text == "(":
            depth += 1
            expected = depth == 2
        elif word.text == ")":
            depth -= 1
            if depth == 0:
                return names
        elif depth == 2 and word.text == ",":
            expected = True
        elif depth == 2 and expected:
            names.append(word.text)
            expected = False
        elif depth < 2:
            break
    return names or ["without a name"]
