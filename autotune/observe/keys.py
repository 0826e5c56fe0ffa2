# SPDX-License-Identifier: MIT
"""Names for tasks that last from run to run: two compilations of one file have one key. Pure.

A key is the program's name and its arguments, without what changes by itself: names in directories for temporary files,
numbers of processes of this run, the absolute path of the directory that the command runs in. Numbers and paths that
are the command's own stay: `seq 100000` is not `seq 200000`.
"""

from __future__ import annotations

import hashlib
import os.path
import re
from collections.abc import Container, Sequence

MOST_CHARACTERS = 160
TEMPORARY = re.compile(r"(?:(?<![\w./-])|(?<=^-\w))(?:/(?:private/)?(?:var/)?tmp|/dev/shm|/run/user/\d+)/[^\s:,;='\"]+")
"""It begins where a path can begin: not at the `tmp` of /home/me/tmp."""
_NUMBER = re.compile(r"(?<!\w)(?<!\d\.)\d{2,8}(?!\w)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def key(arguments: Sequence[str], comm: str, *, cwd: str = "", pids: Container[int] = ()) -> str:
    """Return the key of a task: `comm`, in brackets, where its arguments are not known."""
    if not arguments:
        return _bounded(f"[{_CONTROL.sub('?', comm)}]")
    words = [os.path.basename(arguments[0]) or arguments[0], *arguments[1:]]
    return _bounded(" ".join(_word(word, cwd.rstrip("/"), pids) for word in words))


def _word(word: str, cwd: str, pids: Container[int]) -> str:
    if cwd and f"{cwd}/" in word:
        word = word.replace(f"{cwd}/", "")
    elif cwd and word.endswith(cwd):
        word = f"{word.removesuffix(cwd)}."
    word = TEMPORARY.sub("<temporary>", word)
    word = _NUMBER.sub(lambda found: "<pid>" if int(found[0]) in pids else found[0], word)
    return _CONTROL.sub("?", word) or "''"


def _bounded(text: str) -> str:
    """Cut a long key, and let a digest tell it from others with the same beginning."""
    if len(text) <= MOST_CHARACTERS:
        return text
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]
    return f"{text[: MOST_CHARACTERS - 12]}... {digest}"
