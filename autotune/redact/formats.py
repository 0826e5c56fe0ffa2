# SPDX-License-Identifier: MIT
"""Removes keys and tokens whose vendors gave them a format of their own."""

from __future__ import annotations

import re
from collections.abc import Callable

from autotune.redact.values import looks_mixed

_START = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=[0-9;\[]m))"
"""The start of a key: not inside a word. Escapes and colour codes, which end in letters, count as no word."""

# kind, what the text must contain to be worth a look, pattern. A repetition without an upper bound is the
# last thing of its pattern, so that an attempt either takes all it has read or has read a bounded number of characters.
FORMATS: tuple[tuple[str, str, str], ...] = (
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
_KNOWN = [(kind, hint, re.compile(pattern)) for kind, hint, pattern in FORMATS]

# Formats that ordinary text can have too: taken when they look random, or (JWT) when the parts are there.
_OLD_OPENAI = re.compile(rf"{_START}sk-[A-Za-z0-9_-]{{20,}}")
_DISCORD = re.compile(
    rf"{_START}(?:[MNO][A-Za-z0-9_-]{{23,27}}\.[A-Za-z0-9_-]{{6}}\.[A-Za-z0-9_-]{{27,40}}|mfa\.[A-Za-z0-9_-]{{60,}})"
    r"(?![A-Za-z0-9_.-])"
)
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}")
_JWT_PARTS = re.compile(r"eyJ[\w-]{8,}\.(?:eyJ[\w-]{8,}\.[\w-]*|[\w-]*\.[\w-]{8,}\.[\w-]{8,}\.[\w-]*)")


def without_known_formats(text: str) -> str:
    for kind, hint, pattern in _KNOWN:
        if hint in text:
            text = pattern.sub(f"[redacted: {kind}]", text)
    if "sk-" in text:
        text = _sub_if(_OLD_OPENAI, "OpenAI key", looks_mixed, text)
    if "eyJ" in text:
        text = _sub_if(_JWT, "JWT", lambda found: bool(_JWT_PARTS.match(found)), text)
    return _sub_if(_DISCORD, "Discord token", looks_mixed, text) if "." in text else text


def _sub_if(pattern: re.Pattern[str], kind: str, is_one: Callable[[str], bool], text: str) -> str:
    return pattern.sub(lambda found: f"[redacted: {kind}]" if is_one(found.group()) else found.group(), text)
