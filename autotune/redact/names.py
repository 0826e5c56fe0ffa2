# SPDX-License-Identifier: MIT
"""Judges by the words of a name how surely its value is secret."""

from __future__ import annotations

import itertools
import re
from functools import lru_cache
from typing import Literal

Strength = Literal["", "weak", "token", "password"]


def words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PASSWORD_WORDS = words_of(
    "password passwords passwd passphrase passcode pw pgpassword sshpass userpass storepass keypass dbpass rootpass "
    "adminpass mypass userpassword rediscli"
)
_TOKEN_WORDS = words_of(
    "token secret secrets credential credentials creds dsn jwt apikey authkey accesskey secretkey privatekey "
    "accountkey psk authtoken accesstoken refreshtoken apitoken apisecret clientsecret identitytoken registrytoken "
    "sessiontoken csrftoken xsrftoken bearertoken idtoken deploytoken"
)
_WEAK_WORDS = words_of(
    "key keys tokens auth authorization private cookie cookies session sessionid pwd pat bearer signature"
)
_GLUED = re.compile(r"(?:password|passwd|passphrase)$|(?:secret|apikey|accesskey|authtoken|accesstoken)$")
_KEY_OF = words_of(
    "api access account secret private signing encryption auth master app application service license admin "
    "client deploy storage shared model subscription hmac aes jwt session registration provisioning integration "
    "consumer"
)
"""Words that make the KEY after them a strong one."""
_NO_PASS_OF = words_of(
    "first second third last final single multi one two three next previous prev pre post early late each every per "
    "current this dry opt optimization optimizer compiler llvm clang gcc ir mlir analysis transform function module "
    "loop cfg rtl tree gimple ast codegen lowering legalization pipeline render shader depth color shadow draw blit "
    "compute forward backward sweep quick slow full partial extra main test tests case check checks ci build bad "
    "all no not did will must should can to by low high band scan gate is expected unexpected nr num max min"
)
"""Words that make the PASS after them no password: what compilers and renderers do again and again, what tests do, and
filters. After any other word it is one (DEPLOY_PASS, ansible_become_pass); alone it is what tests do, and so a password
only when it looks random."""
_HARMLESS_KEY_OF = words_of("public primary foreign sort cache partition hash row map dict index lookup pub host")
_HARMLESS_TAILS = words_of(
    "type file files path dir sock socket count limit size length len name map board ring code user host port "
    "address bus max min algorithm alg ttl expiry expires timeout bits index version format mode enabled policy "
    "prefix helper manager desktop class uid pid url uri endpoint hint hash hashing lookups lookup usage rate "
    "strategy value values field column policy provider required"
)
_HARMLESS_SESSIONS = words_of("xdg desktop dbus kde gnome gdm full")
_PROPERTY = re.compile(r"^-[A-Z](?=[a-z])")
"""`-Dtoken=x` and `-PapiKey=x` set a property of that name."""
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@lru_cache(maxsize=4096)
def name_strength(name: str) -> Strength:
    """Judge how surely the value of a variable, key, header or option is secret. The words of its name decide:
    `API_KEY`, `dbPassword`, `--auth-token`, not by letters in a row as in `KEYBOARD` and `AUTHOR`."""
    words = [word.lower() for word in _PIECE.findall(_PROPERTY.sub("", name[-200:]))]
    if not words or _is_harmless(words):
        return ""
    pairs = set(itertools.pairwise(words))
    if not _PASSWORD_WORDS.isdisjoint(words) or (words[-1] == "pass" and words[-2:-1] and words[-2] not in _NO_PASS_OF):
        return "password"
    if words[-1] == "pwd" and len(words) > 1:
        return "password"
    if not _TOKEN_WORDS.isdisjoint(words) or any(b in ("key", "keys") and a in _KEY_OF for a, b in pairs):
        return "token"
    if glued := next(filter(None, map(_GLUED.search, words)), None):
        return "password" if glued.group().startswith("pass") else "token"
    return "weak" if words == ["pass"] or not _WEAK_WORDS.isdisjoint(words) else ""


def _is_harmless(words: list[str]) -> bool:
    """Return whether its words make the name describe the secret's kind or place, but not its value."""
    tail = words[-1]
    if words in (["pwd"], ["old", "pwd"], ["oldpwd"]) or tail in _HARMLESS_TAILS or "per" in words:
        return True
    if tail == "id" and len(words) > 1 and words[-2] == "key":
        return True
    if "session" in words and not _HARMLESS_SESSIONS.isdisjoint(words):
        return True
    return tail in ("key", "keys") and not _HARMLESS_KEY_OF.isdisjoint(words)
