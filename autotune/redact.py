# SPDX-License-Identifier: MIT
r"""Takes secrets out of text before it leaves the machine or is kept in a log. Pure, standard library only.

Four nets, one after another:
- the values of environment variables whose names say that they are secret, also percent-encoded, JSON-escaped and in
  base64 (see `_worth_hiding` for which values);
- private keys, to their end or, when that is cut off, as far as the lines look like a key;
- the formats of known keys and tokens;
- what stands where secrets stand: headers, URLs, options and assignments to secret-like names.

What holds:
- `text(text(x)) == text(x)`: a pass is repeated until nothing changes. A text that does not settle within MOST_PASSES,
  which takes malice, is replaced whole;
- linear time: every pattern begins at a place that cannot lie inside its own earlier attempt, or looks only a bounded
  number of characters ahead;
- never longer than MOST_GROWTH times the text plus LONGEST_MARK.

Limits. Not recognised: a secret without a known format under a name that does not tell (`curl -u user:password`,
`mysql -ppassword`, ~/.pgpass); one that was wrapped over lines, reversed or encrypted; an AWS secret key without its
name; what follows the last `@` before a bare `/` in the password of a URL; a password of several words without quotes
in YAML; a plain word after `token:`; a word that a password variable shares with prose (under LEAST_WORD letters).
Hashes, UUIDs, paths and code are spared only while no telling name stands before them.
That is why `--no-output-to-model` exists.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import quote, quote_plus

LEAST_LITERAL = 8
"""Shorter values of secret variables are common words or numbers, and would blank out half a text."""
LEAST_WORD = 12
"""Values of secret variables that are one plain word are spared below this: `password`, `production`."""
MOST_PASSES = 8
MOST_GROWTH = 8
LONGEST_MARK = 40
LONGEST_KEY = 65536
"""Between the BEGIN and the END of a private key everything is taken, up to so many characters."""

Strength = Literal["", "weak", "token", "password"]
"""How surely a name says that its value is secret. After a `weak` one (KEY, SESSION) only what looks random is."""

_MARK = r"\[redacted: [A-Za-z][A-Za-z0-9. ]{0,25}\]"
_WHOLE = "[redacted: text]"


# --- names -----------------------------------------------------------------------------------------------


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PASSWORD_WORDS = _words("password passwords passwd passphrase passcode pw pgpassword sshpass userpass")
_TOKEN_WORDS = _words(
    "token secret secrets credential credentials creds dsn jwt apikey authkey accesskey secretkey privatekey "
    "accountkey authtoken accesstoken refreshtoken apitoken apisecret clientsecret"
)
_WEAK_WORDS = _words(
    "key keys tokens auth authorization private cookie cookies session sessionid pwd pat bearer signature"
)
_GLUED = re.compile(r"(?:password|passwd|passphrase)$|(?:secret|apikey|accesskey|authtoken|accesstoken)$")
_KEY_OF = _words(
    "api access account secret private signing encryption auth master app application service license admin "
    "client deploy storage shared subscription hmac aes jwt session registration provisioning integration "
    "consumer"
)
"""Words that make the KEY after them a strong one."""
_PASS_OF = _words("db user mysql pg postgres redis smtp mail ftp root admin proxy http ldap login my")
"""Words that make the PASS after them a password; alone it is what tests do."""
_HARMLESS_KEY_OF = _words("public primary foreign sort cache partition hash row map dict index lookup pub host")
_HARMLESS_TAILS = _words(
    "type file files path dir sock socket count limit size length len name map board ring code user host port "
    "address bus max min algorithm alg ttl expiry expires timeout bits index version format mode enabled policy "
    "prefix helper manager desktop class uid pid url uri endpoint hint hash hashing lookups lookup usage rate "
    "strategy value values field column policy provider required"
)
_HARMLESS_SESSIONS = _words("xdg desktop dbus kde gnome gdm full")
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@lru_cache(maxsize=4096)
def name_strength(name: str) -> Strength:
    """How surely a name of a variable, key, header or option says that its value is secret. Decided by its words:
    `API_KEY`, `dbPassword`, `--auth-token`, not by letters in a row as in `KEYBOARD` and `AUTHOR`."""
    words = [word.lower() for word in _PIECE.findall(name[-200:])]
    if not words or _is_harmless(words):
        return ""
    pairs = set(itertools.pairwise(words))
    if not _PASSWORD_WORDS.isdisjoint(words) or any(b == "pass" and a in _PASS_OF for a, b in pairs):
        return "password"
    if words[-1] == "pwd" and len(words) > 1:
        return "password"
    if not _TOKEN_WORDS.isdisjoint(words) or any(b in ("key", "keys") and a in _KEY_OF for a, b in pairs):
        return "token"
    if glued := next(filter(None, map(_GLUED.search, words)), None):
        return "password" if glued.group().startswith("pass") else "token"
    return "weak" if not _WEAK_WORDS.isdisjoint(words) else ""


def _is_harmless(words: list[str]) -> bool:
    """Words that make a name say what the secret is like, or where, but not what it is."""
    tail = words[-1]
    if words in (["pwd"], ["old", "pwd"], ["oldpwd"]) or tail in _HARMLESS_TAILS or "per" in words:
        return True
    if tail == "id" and len(words) > 1 and words[-2] == "key":
        return True
    if "session" in words and not _HARMLESS_SESSIONS.isdisjoint(words):
        return True
    return tail in ("key", "keys") and not _HARMLESS_KEY_OF.isdisjoint(words)


def is_secret_name(name: str) -> bool:
    """A name of a variable, key or option that says that its value is, or may be, secret."""
    return name_strength(name) != ""


# --- values ----------------------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(
    r"\$[A-Za-z_]\w*|\$[{(].*|%\w*%?|<.*>?|[*]+|[xX]+|\.{2,}|\{\{.*|\{\w*\}|@\w+@|-|"
    r"(?i:null|nullptr|none|nil|true|false|yes|no|on|off|undefined|empty|unset|required|optional|redacted|hidden|str|int|"
    r"bool|string|bytes|char|object|value|password|passwd|passphrase|secret|token|key|api_key|text)"
)
_NUMBER = re.compile(r"[-+]?(?:0x[0-9A-Fa-f]{1,16}|\d[\d.,_]{0,20}(?:[A-Za-z%/]{1,5})?)")
_PATH = re.compile(r"(?:~|\.{1,2})?(?:/[\w.+@:~-]*)+|(?:[\w.+@-]+/)+[\w.+@-]*\.[a-z]{1,5}")
_NAMES = r"[A-Za-z_]\w*(?:(?:\.|->|::)[A-Za-z_]\w*)*"
_CALL = re.compile(rf"{_NAMES}(?:\([^()]*\)+[\w.()\[\]]*|\([^()]*,|\(\w*|\[.*)")
_IDENTIFIER = re.compile(r"[A-Za-z_]+(?:(?:\.|->|::|-)[A-Za-z_]+)*")
_DIGEST = re.compile(r"(?:\w{2,10}:)?[0-9A-Fa-f]{7,128}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_MARKED = re.compile(rf"(?:{_MARK})+[;,)}}\]\\.]*")
_LONGEST_SPARED = 200
"""Longer values of telling names are secrets whatever they look like; this also bounds what is read twice."""


def _mixed(value: str) -> bool:
    """Capital and small letters and digits: what generators of tokens write and people do not."""
    return any(map(str.isdigit, value)) and any(map(str.islower, value)) and any(map(str.isupper, value))


def _is_path(value: str) -> bool:
    """A path of ordinary words; a slash may begin a secret in base64 too."""
    return bool(_PATH.fullmatch(value)) and not any(len(p) >= 20 and _mixed(p) for p in value.split("/"))


def _is_word(value: str) -> bool:
    return value.isascii() and value.isalpha()


def _hides_weak(value: str) -> bool:
    """After a name that may mean something else: only what is long and looks random."""
    if len(value) < 16 or _DIGEST.fullmatch(value) or _is_path(value) or " " in value:
        return False
    return _mixed(value) and not _CALL.match(value)


def _hides_quoted(strength: Strength, value: str) -> bool:
    if strength == "password":
        return not re.fullmatch(r"\d{0,3}", value)
    return not (_is_path(value) or _NUMBER.fullmatch(value) or (len(value) < LEAST_LITERAL and _is_word(value)))


def _hides_bare(strength: Strength, value: str, glued: bool, ends: str) -> bool:
    """`NAME=value` (glued) and `NAME = value`. `ends` is what follows the value on its line: `;` says code."""
    if _CALL.fullmatch(value):
        return False
    if strength == "token" and (_NUMBER.fullmatch(value) or _is_path(value)):
        return False
    if re.fullmatch(r"\d{0,3}", value):
        return False
    if _IDENTIFIER.fullmatch(value):
        if glued:
            return ends[:1] not in (")", ",") and (strength == "password" or len(value) >= LEAST_LITERAL)
        code = ends[:1] in (";", ")", ",") or not _is_word(value)
        return not code and (strength == "password" or len(value) >= LEAST_LITERAL)
    return strength == "password" or len(value) >= 3


def _hides_after_colon(strength: Strength, value: str, alone: bool) -> bool:
    """`NAME: value`. `alone` on its line, as in YAML; prose goes on."""
    if _NUMBER.fullmatch(value):
        return strength == "password" and alone and len(value) >= 4
    if _IDENTIFIER.fullmatch(value):
        return strength == "password" and alone and len(value) >= 6 and value.lower() not in _PROSE
    if _is_path(value) or _CALL.fullmatch(value) or re.fullmatch(_NAMES + r"[?!.:\\]*", value):
        return strength == "password" and alone and len(value) >= 6 and any(map(str.isdigit, value))
    return len(value) >= 6


_PROSE = _words(
    "incorrect invalid expected missing accepted rejected changed expired unknown denied failed correct "
    "authentication required optional hashing unset disabled enabled"
)
_AFTER_OPTION = _words("to is for and or in of the a an as with was from has must option argument flag when if")


# --- formats ---------------------------------------------------------------------------------------------

_START = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=[0-9;\[]m))"
"""Not inside a word; escapes and colour codes, which end in letters, count as no word."""

# kind, what the text must hold for a look at it to be worth while, pattern. A repetition without an upper bound is the
# last thing of its pattern, so that an attempt either takes all it has read or has read a bounded number of characters.
_FORMATS: tuple[tuple[str, str, str], ...] = (
    ("private key", "AGE-SECRET-KEY-", r"AGE-SECRET-KEY-(?:[A-Z0-9]{1,8}-)?1[0-9A-Z]{20,}"),
    ("Anthropic key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{16,}"),
    ("OpenAI key", "sk-", rf"{_START}sk-(?:proj-|svcacct-|admin-|or-v1-)[A-Za-z0-9_-]{{20,}}"),
    ("AWS key id", "A", r"(?:(?<![A-Z0-9])|(?<=%[0-9A-F]{2}))(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}(?![0-9A-Z])"),
    ("GitHub token", "gh", r"gh[pousr]_[A-Za-z0-9]{30,}"),
    ("GitHub token", "github_pat_", r"github_pat_[A-Za-z0-9_]{22,}"),
    ("GitLab token", "gl", rf"{_START}gl(?:pat|ptt|dt|rt|cbt|ft|imt|agent|soat)-[A-Za-z0-9_-]{{18}}[A-Za-z0-9_.-]*"),
    ("Slack token", "xox", r"xox[a-z]-[A-Za-z0-9-]{10,}"),
    ("Slack token", "xapp-", r"xapp-[A-Za-z0-9-]{10,}"),
    (
        "Slack webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com(?:\\?/|%2[Ff])(?:services|workflows|triggers)[\w/%\\-]{10,}",
    ),
    ("Google key", "AIza", r"AIza[0-9A-Za-z_-]{35}"),
    ("Google token", "ya29.", rf"{_START}ya29\.[0-9A-Za-z_-]{{20}}[0-9A-Za-z_.-]*"),
    ("Google token", "GOCSPX-", r"GOCSPX-[0-9A-Za-z_-]{20,}"),
    ("Stripe key", "k_", rf"{_START}(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{{16,}}"),
    ("Stripe key", "whsec_", r"whsec_[0-9A-Za-z+/=]{16,}"),
    ("npm token", "npm_", rf"{_START}npm_[A-Za-z0-9]{{36}}(?![A-Za-z0-9])"),
    ("PyPI token", "pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{20,}"),
    ("crates.io token", "cio", rf"{_START}cio[A-Za-z0-9]{{32}}(?![A-Za-z0-9])"),
    ("Docker token", "dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
    ("Hugging Face token", "hf_", rf"{_START}hf_[A-Za-z0-9]{{30,}}"),
    ("DigitalOcean token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    ("SendGrid key", "SG.", rf"{_START}SG\.[A-Za-z0-9_-]{{16,40}}\.[A-Za-z0-9_-]{{30,}}"),
    ("Twilio key", "SK", rf"{_START}SK[0-9a-f]{{32}}(?![0-9A-Za-z])"),
    ("Telegram token", ":AA", r"(?<!\d)\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    ("Vault token", "hv", rf"{_START}hv[sbr]\.[A-Za-z0-9_-]{{20,}}"),
    ("Terraform token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{40,}"),
)
_KNOWN = [(kind, hint, re.compile(pattern)) for kind, hint, pattern in _FORMATS]

# Formats that ordinary text can have too: taken when they look random, or (JWT) when the parts are there.
_OLD_OPENAI = re.compile(rf"{_START}sk-[A-Za-z0-9_-]{{20,}}")
_DISCORD = re.compile(
    rf"{_START}(?:[MNO][A-Za-z0-9_-]{{23,27}}\.[A-Za-z0-9_-]{{6}}\.[A-Za-z0-9_-]{{27,40}}|mfa\.[A-Za-z0-9_-]{{60,}})"
    r"(?![A-Za-z0-9_.-])"
)
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}")
_JWT_PARTS = re.compile(r"eyJ[\w-]{8,}\.(?:eyJ[\w-]{8,}\.[\w-]*|[\w-]*\.[\w-]{8,}\.[\w-]{8,}\.[\w-]*)")


def _formats(text: str) -> str:
    for kind, hint, pattern in _KNOWN:
        if hint in text:
            text = pattern.sub(f"[redacted: {kind}]", text)
    if "sk-" in text:
        text = _sub_if(_OLD_OPENAI, "OpenAI key", _mixed, text)
    if "eyJ" in text:
        text = _sub_if(_JWT, "JWT", lambda found: bool(_JWT_PARTS.match(found)), text)
    return _sub_if(_DISCORD, "Discord token", _mixed, text) if "." in text else text


def _sub_if(pattern: re.Pattern[str], kind: str, is_one: Callable[[str], bool], text: str) -> str:
    return pattern.sub(lambda found: f"[redacted: {kind}]" if is_one(found.group()) else found.group(), text)


# --- private keys ----------------------------------------------------------------------------------------

_PEM = r"(?:[A-Z0-9]{1,20} ){0,5}PRIVATE KEY(?: BLOCK)?"
_FENCE = re.compile(
    rf"(?P<begin>-{{4,5}} ?BEGIN {_PEM} ?-{{4,5}}|PuTTY-User-Key-File-\d:)|"
    rf"(?P<end>-{{4,5}} ?END {_PEM} ?-{{4,5}}|Private-(?:MAC|Hash): ?[0-9A-Fa-f]+)"
)
_KEY_HEADERS = (
    r"(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset|Subject|Encryption|Public-Lines|Private-Lines|Key-Derivation|"
    r"Argon2-[A-Za-z]{1,20}): ?[^\\\r\n]{0,200}"
)
_KEY_REST = re.compile(
    r"[ \t]?[\w+/=.@-]*(?: [A-Za-z0-9+/=]{16,})*"
    r"(?:(?:\r{0,2}\n|(?:\\{1,4}r)?\\{1,4}n)[ \t\"'>|+#*]{0,16}"
    rf"(?:[A-Za-z0-9+/=]{{16,}}|(?:{_KEY_HEADERS}|[A-Za-z0-9+/=]*)"
    r"(?=[ \t\"',+]{0,8}(?:\r{0,2}\n|\\{1,4}[rn]|\\?[\"']|\Z))))*"
)
"""The lines after a BEGIN without an END that look like a key."""
_KEY_BACK = re.compile(
    r"[\s\"'>|#*,]{0,40}(?:[nr]\\{1,4}){0,2}[A-Za-z0-9+/=]{0,76}?(?![A-Za-z0-9+/=](?!\\))"
    r"(?:[nr]\\{1,4}|[\s\"'>|#*,]|[A-Za-z0-9+/=]{15,}(?:[nr]\\{1,4}|[A-Za-z0-9+/=](?!\\)))*"
)
"""The lines before an END without a BEGIN that look like a key, read from the end."""


def _private_keys(text: str) -> str:
    """Without private keys: whole ones, ones whose end is cut off, and ones whose beginning is."""
    if "PRIVATE KEY" not in text and "PuTTY-User" not in text and "Private-" not in text:
        return text
    fences = list(_FENCE.finditer(text))
    kept, at = [], 0
    for number, fence in enumerate(fences):
        if fence.start() < at:
            continue
        following = fences[number + 1] if number + 1 < len(fences) else None
        start, end = _key_span(text, fence, following, at)
        kept += [text[at:start], "[redacted: private key]"]
        at = end
    return "".join([*kept, text[at:]])


def _key_span(text: str, fence: re.Match[str], following: re.Match[str] | None, least: int) -> tuple[int, int]:
    """From where to where the key goes to which this BEGIN or END belongs."""
    if fence["end"]:
        before = text[max(least, fence.start() - LONGEST_KEY) : fence.start()][::-1]
        back = _KEY_BACK.match(before)
        return fence.start() - len(back.group().rstrip() if back else ""), fence.end()
    if following is not None and following["end"] and following.start() - fence.end() <= LONGEST_KEY:
        return fence.start(), following.end()
    rest = _KEY_REST.match(text, fence.end(), following.start() if following else len(text))
    return fence.start(), rest.end() if rest else fence.end()


# --- where secrets stand ---------------------------------------------------------------------------------

_QUOTE = r"(?:\\{0,3}[\"'])?"
_SCHEMES = r"(?:bearer|basic|token|apikey|api-key|bot|negotiate|ntlm)"
_NO_MARK = r"(?!\[redacted: )"
_NOT_REAL = re.compile(rf"(?:{_PLACEHOLDER.pattern}|{_MARKED.pattern})", re.S)


def _is_real(value: str) -> bool:
    """Neither a placeholder (`$TOKEN`, `<password>`, `***`) nor redacted already."""
    return not _NOT_REAL.fullmatch(value) and not value.startswith("[redacted: ")


def _is_random(value: str) -> bool:
    return _is_real(value) and len(value) >= 16 and any(map(str.isdigit, value))


def _is_password(value: str) -> bool:
    """A word that stands where a password does, unless it is what prose says there."""
    return _is_real(value) and value.lower() not in _PROSE | _AFTER_OPTION


def _is_netrc_password(value: str) -> bool:
    return _is_real(value) and len(value) >= 6 and not _is_word(value.rstrip(".,:;)")) and not value.endswith("...")


# kind, what comes before and stays, what is replaced, whether it is. No attempt reads what another has read: each
# begins with fixed characters and reads one run that cannot contain them again, or a bounded number of characters.
_CONTEXTS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = tuple(
    (kind, re.compile(rf"({before}){_NO_MARK}({value})", re.I | re.M), is_one)
    for kind, before, value, is_one in (
        (
            "authorization",
            rf"authorization{_QUOTE}[ \t]{{0,4}}[:=][ \t]{{0,4}}{_QUOTE}{_SCHEMES}[ \t]{{1,4}}",
            r"[^\s\"'\\]+",
            _is_password,
        ),
        (
            "authorization",
            rf"authorization{_QUOTE}[ \t]{{0,4}}[:=][ \t]{{0,4}}{_QUOTE}"
            r"(?:digest|aws4-hmac-sha256|hawk|oauth|dpop)[ \t]{1,4}",
            r"[^\r\n]+",
            _is_real,
        ),
        (
            "authorization",
            rf"authorization{_QUOTE}[ \t]{{0,4}}[:=][ \t]{{0,4}}{_QUOTE}(?!{_SCHEMES}\b|digest|aws4|hawk|oauth|dpop)",
            r"[^\s\"'\\,;]{6,}",
            lambda value: _is_password(value) and (len(value) >= 16 or not _is_word(value)),
        ),
        ("authorization", r"\bbearer[ \t]{1,4}", r"[A-Za-z0-9._~+/=-]{16,}", _is_random),
        (
            "cookie",
            rf"(?<![\w-])(?:set-)?cookie2?{_QUOTE}[ \t]{{0,4}}:[ \t]{{0,4}}{_QUOTE}",
            r"[\w.!#$%&*+^`|~-]{1,80}=(?:=?\"[^\"\r\n]*\"|[^\r\n\"'])*",
            lambda value: not _MARKED.fullmatch(value),
        ),
        ("password", r":(?:\\?/){2}[^\s/:@\"'<>]{0,256}:", r"[^\s/\"'<>]+(?=@)", _is_real),
        ("password", r":(?:\\?/){2}", r"[^\s/:@\"'<>]{16,}(?=(?::x-oauth-basic)?@)", _is_random),
        (
            "password",
            r"\b(?:machine[ \t]{1,8}\S{1,256}|default)\s{1,8}(?:(?:login|account)\s{1,8}\S{1,256}\s{1,8}){0,2}"
            r"(?:password|passwd)[ \t]{1,8}",
            r"\S+",
            _is_real,
        ),
        (
            "password",
            r"\blogin[ \t]{1,8}\S{1,256}\s{1,8}password[ \t]{1,8}",
            r"\S+",
            _is_real,
        ),
        ("password", r"^[ \t]{0,8}password[ \t]{1,8}", r"\S+(?=[ \t]{0,8}\r?$)", _is_netrc_password),
        (
            "signature",
            r"[?&;](?:sig|signature|x-amz-signature|x-goog-signature|x-amz-security-token|token|access_token|api_key|"
            r"apikey|key|code)=",
            r"[^\s&\"'<>#]{12,}",
            lambda value: _is_real(value) and any(map(str.isdigit, value)),
        ),
    )
)
"""What follows certain words is replaced; the words stay."""


def _contexts(text: str) -> str:
    for kind, pattern, is_one in _CONTEXTS:
        text = pattern.sub(
            lambda found, kind=kind, is_one=is_one: (  # type: ignore[misc]
                f"{found[1]}[redacted: {kind}]" if is_one(found[2]) else found[0]
            ),
            text,
        )
    return text


# --- assignments -----------------------------------------------------------------------------------------

# NAME = value, NAME: value, "name": "value", --name value. The look ahead spares the names that cannot be secret.
_NAMED = re.compile(
    r"(?<![\w.\-])(?=[\w.\-]*?(?:key|token|secret|pass|pwd|pw|cred|auth|private|cookie|session|dsn|jwt|bearer|pat|sig))"
    r"(?P<name>[\w.\-]+)(?P<quote>\\{0,3}[\"'])?"
    r"(?P<between>[ \t]{0,8}(?::=|=>|=(?![=~])|:(?!:))[ \t]{0,8}(?:\r?\n[ \t]{1,8}(?=[\"']))?|[ \t]{1,8})",
    re.I,
)
_OPEN = re.compile(r"\\{0,3}[\"']")
_SINGLE = re.compile(r"[^'\\\n]*(?:\\.[^'\\\n]*)*")
_DOUBLE = re.compile(r"[^\"\\\n]*(?:\\.[^\"\\\n]*)*")
_BARE = re.compile(rf"(?:{_MARK}|[^\s\"'<>;,&]|[;,&](?![\w. -]{{1,40}}=))+|<[^<>\s]{{1,80}}>")
_BARE_SHORT = re.compile(r"[^\s\"'<>;,&=:]+={0,2}")
_LINE = re.compile(r"[^\r\n#]*")


def _assignments(text: str) -> str:
    """The names decide; values are looked at only after telling ones."""
    kept, at, position = [], 0, 0
    while (named := _NAMED.search(text, position)) is not None:
        position = named.end()
        strength = name_strength(named["name"])
        span = _secret_span(text, named, strength) if strength else None
        if span is not None:
            kept += [text[at : span[0]], "[redacted: value]"]
            at = position = span[1]
    return "".join([*kept, text[at:]])


def _secret_span(text: str, named: re.Match[str], strength: Strength) -> tuple[int, int] | None:
    """Where the secret stands that is assigned to a name; None when what stands there is none."""
    start = named.end()
    opened = _OPEN.match(text, start)
    if opened is not None:
        start, end = opened.end(), _quoted_end(text, opened)
    elif (bare := (_BARE_SHORT if strength == "weak" else _BARE).match(text, start)) is not None:
        end = bare.end()
        if _MARKED.fullmatch(bare.group()):
            return None
        if not bare.group().rstrip(";,)}").endswith("]") or "[redacted: " not in bare.group():
            end -= len(bare.group()) - len(bare.group().rstrip(";,)}]\\"))
    else:
        return None
    value = text[start:end]
    if not value or _NOT_REAL.fullmatch(value):
        return None
    if "[redacted: " in value:
        return (start, end) if strength != "weak" and opened is None and named["between"].strip() else None
    if opened is None and named["between"] in (" = ", "= ", " =") and strength == "password":
        end = _ini_end(text, named, end)
    return (start, end) if _hides(text, named, strength, (start, end), opened is not None) else None


def _quoted_end(text: str, opened: re.Match[str]) -> int:
    """Where a quoted value ends: at the same quote, or with its line when that is cut off."""
    mark = opened.group()
    if len(mark) == 1:
        found = (_SINGLE if mark == "'" else _DOUBLE).match(text, opened.end())
        return found.end() if found else opened.end()
    end = text.find(mark, opened.end())
    end = len(text) if end < 0 else end
    line = text.find("\n", opened.end(), end)
    return line if line >= 0 else end


def _ini_end(text: str, named: re.Match[str], end: int) -> int:
    """`password = two words` at the beginning of a line goes to the end of the line, unless it looks like code."""
    before = text[max(0, named.start() - 1) : named.start()]
    if before not in ("", "\n"):  # first of all: it makes for one look per line
        return end
    line = _LINE.match(text, end)
    if line is None or re.search(r"[;(){}\[\]=]", line.group()):
        return end
    return end + len(line.group().rstrip())


def _hides(text: str, named: re.Match[str], strength: Strength, span: tuple[int, int], quoted: bool) -> bool:
    value, between = text[slice(*span)], named["between"]
    if strength == "weak":
        return bool(between.strip()) and _hides_weak(value)
    if len(value) > _LONGEST_SPARED and between.strip():
        return True
    if not between.strip():
        return _hides_after_space(named, strength, value, quoted)
    if quoted or named["name"].lower().startswith("x-"):
        return _hides_quoted(strength, value)
    after = text[span[1] : span[1] + 8]
    if "=" in between:
        return _hides_bare(strength, value, between == "=", after)
    alone = not after.strip(" \t").rstrip("\r") or after.lstrip(" \t\r")[:1] in ("\n", "#")
    line_start = re.match(r"(?:^|[^\n]*\n)?[ \t\-]*$", text[max(0, named.start() - 16) : named.start()], re.S)
    return bool(named["quote"]) or _hides_after_colon(strength, value, alone and line_start is not None)


def _hides_after_space(named: re.Match[str], strength: Strength, value: str, quoted: bool) -> bool:
    """`--password X`; without dashes only what looks random: `aws configure set aws_secret_access_key X`."""
    if named["quote"] is not None or value.startswith("-"):
        return False
    if not named["name"].startswith("-"):
        return not quoted and len(value) >= 16 and _mixed(value) and not _CALL.match(value) and not _is_path(value)
    if value.lower() in _AFTER_OPTION or (name_strength(value) and value.isupper()):
        return False
    return strength == "password" or _hides_quoted(strength, value)


# --- the redactor ----------------------------------------------------------------------------------------


class Redactor:
    """Replaces secrets by `[redacted: KIND]`. Built once from the environment whose secrets it is to know."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._literals = sorted(set(_literals(environ)), key=lambda literal: (-len(literal), literal))

    def text(self, text: str) -> str:
        """The text without secrets; applying it again changes nothing."""
        most = MOST_GROWTH * len(text) + LONGEST_MARK
        for _ in range(MOST_PASSES):
            before, text = text, self._pass(text)
            if text == before:
                return text
            if len(text) > most:
                break
        return self._whole()

    def known(self, text: str) -> str:
        """The text without the values of secret variables; what only looks like a secret stays."""
        for literal in self._literals:
            text = text.replace(literal, "[redacted: variable]")
        return text

    def data(self, value: Any) -> Any:
        """The same through JSON values. Keys stay. What stands under a secret name is replaced whole, but for
        booleans and, except under a password's name, numbers, which count tokens; under a name that may mean
        something else (`key`, `session_id`), only when it looks random."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (list, tuple)):
            return [self.data(item) for item in value]
        if isinstance(value, dict):
            return {key: self._member(str(key), item) for key, item in value.items()}
        return value

    def _member(self, key: str, item: Any) -> Any:
        strength = name_strength(key)
        if not strength or item is None or isinstance(item, bool) or item in ("", [], {}):
            return self.data(item)
        if isinstance(item, (int, float)) and strength != "password":
            return item
        if strength == "weak" and not (isinstance(item, str) and _hides_weak(item)):
            return self.data(item)
        return "[redacted: value]"

    def _pass(self, text: str) -> str:
        return _assignments(_contexts(_formats(_private_keys(self.known(text)))))

    def _whole(self) -> str:
        """What stands for a text that does not settle; empty when even that holds a secret."""
        return _WHOLE if self._pass(_WHOLE) == _WHOLE else ""


def _literals(environ: Mapping[str, str]) -> Iterator[str]:
    """The values of secret variables, and passwords in the URLs of all, in every form that programs write them in."""
    marks = " ".join(f"[redacted: {kind}]" for kind in ("variable", "value", "private key", "text", *_KINDS))
    for name, value in environ.items():
        for secret in _secrets_of(name, value):
            yield from (form for form in _forms(secret) if len(form) >= LEAST_LITERAL and form not in marks)


_KINDS = frozenset([kind for kind, *_ in _FORMATS] + [kind for kind, *_ in _CONTEXTS] + ["JWT", "Discord token"])
_BROKEN = re.compile(r"[\x00-\x20\x7f-\xa0]+")
"""Where a key that was damaged on its way falls into pieces, each of which is shown by itself."""
_URL_PASSWORD = re.compile(r"://[^\s/:@]{0,256}:([^\s/@]+)@")


def _secrets_of(name: str, value: str) -> Iterator[str]:
    strength = name_strength(name)
    if strength and _worth_hiding(strength, value.strip()):
        yield value.strip()
        yield from (line.strip() for line in value.splitlines() if len(line) >= 20 and " " not in line.strip())
        yield from (piece for piece in _pieces(value) if re.search(r"\d", piece) and re.search(r"[A-Za-z]", piece))
    for password in _URL_PASSWORD.findall(value):
        if _worth_hiding("password", password):
            yield password


def _pieces(value: str) -> Iterator[str]:
    pieces = _BROKEN.split(value.strip())
    return (piece for piece in pieces if len(pieces) > 1 and len(piece) >= LEAST_LITERAL)


def _worth_hiding(strength: Strength, value: str) -> bool:
    """Whether the value of a secret variable is replaced wherever it appears. Not when it is short, a small number, a
    path, or a common word, which would blank out half a text; after KEY, SESSION and such only when it looks random,
    is a digest or has several kinds of characters."""
    if len(value) < LEAST_LITERAL or _is_path(value) or re.fullmatch(r"[-+]?\d{1,9}(?:\.\d+)?", value):
        return False
    if re.fullmatch(r"[a-z]+|[A-Z][a-z]*|[A-Z]+", value):
        return len(value) >= (16 if strength == "weak" else LEAST_WORD)
    if strength == "weak":
        return not re.fullmatch(r"[A-Za-z]+(?:[-_ .:][A-Za-z0-9]{1,10})*", value)
    return True


def _forms(secret: str) -> Iterator[str]:
    """A secret as it is and as programs write it: as Python shows it, escaped for JSON (also twice),
    percent-encoded, in base64."""
    data = secret.encode("utf-8", "surrogateescape" if _encodes(secret) else "surrogatepass")
    yield from (secret, data.decode("utf-8", "backslashreplace"), repr(secret)[1:-1], repr(data)[2:-1])
    for ascii_only in (True, False):
        once = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield from (once, json.dumps(once, ensure_ascii=ascii_only)[1:-1], once.replace("/", "\\/"))
    for encoded in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield from (encoded, re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), encoded))
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(data).decode().rstrip("=")
        yield from (_base64_core(encode, data, shift) for shift in range(3))


def _encodes(secret: str) -> bool:
    try:
        secret.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _base64_core(encode: Callable[[bytes], bytes], data: bytes, shift: int) -> str:
    """The part of the base64 form that does not depend on what stands before (`user:`) and after."""
    text = encode(b"\0" * shift + data).decode().rstrip("=")
    first = (0, 2, 3)[shift]
    whole = (shift + len(data)) * 8 // 6
    return text[first:whole]
