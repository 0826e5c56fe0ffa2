# SPDX-License-Identifier: MIT
"""Removes keys and tokens whose vendors gave them a format of their own."""

from __future__ import annotations

import re
from collections.abc import Callable

from autotune.redact.values import is_generated, looks_mixed

_BEFORE = (
    r"(?<![A-Za-z0-9_]{})",
    r"(?<=\\[nrtbf]{})",
    r"(?<=%[0-9A-Fa-f]{{2}}{})",
    r"(?<=\\u[0-9A-Fa-f]{{4}}{})",
    r"(?<=[0-9;\[]m{})",
)
_START = f"(?:{'|'.join(one.format('') for one in _BEFORE)})"
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
    (
        "GitLab token",
        "gl",
        rf"{_START}gl(?:pat|ptt|dt|rtr?|cbt|ft|ffct|imt|agent|soat|oas|wt)-[A-Za-z0-9_-]{{18}}[A-Za-z0-9_.-]*",
    ),
    ("GitLab token", "GR1348941", r"GR1348941[A-Za-z0-9_-]{20,}"),
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
    ("Stripe key", "sk_", rf"{_START}sk_(?:live|test)_[0-9A-Za-z]{{16,}}"),
    ("Stripe key", "rk_", rf"{_START}rk_(?:live|test)_[0-9A-Za-z]{{16,}}"),
    ("Stripe key", "whsec_", r"whsec_[0-9A-Za-z+/=]{16,}"),
    ("npm token", "npm_", rf"{_START}npm_[A-Za-z0-9]{{36}}(?![A-Za-z0-9])"),
    ("PyPI token", "pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{20,}"),
    ("crates.io token", "cio", rf"{_START}cio[A-Za-z0-9]{{32}}(?![A-Za-z0-9])"),
    ("Docker token", "dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
    ("Hugging Face token", "hf_", rf"{_START}hf_[A-Za-z0-9]{{30,}}"),
    ("Hugging Face token", "api_org_", rf"{_START}api_org_[A-Za-z0-9]{{30,}}"),
    ("DigitalOcean token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    ("SendGrid key", "SG.", rf"{_START}SG\.[A-Za-z0-9_-]{{16,40}}\.[A-Za-z0-9_-]{{30,}}"),
    ("Twilio key", "SK", rf"{_START}SK[0-9a-f]{{32}}(?![0-9A-Za-z])"),
    ("Telegram token", ":AA", r"(?<!\d)\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    ("Vault token", "hv", rf"{_START}hv[sbr]\.[A-Za-z0-9_-]{{20,}}"),
    ("Terraform token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{40,}"),
    ("Azure secret", "Q~", r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}"),
    ("Azure DevOps token", "AZDO", r"(?<![A-Za-z0-9])[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}(?![A-Za-z0-9])"),
    *(
        ("Databricks token", start, rf"{_START}{start}[a-f0-9]{{32}}(?:-\d)?(?![A-Za-z0-9])")
        for start in ("dapi", "dkea", "dose")
    ),
    ("Grafana token", "glc_eyJ", rf"{_START}glc_eyJ[A-Za-z0-9+/=]{{20,}}"),
    ("Grafana token", "glsa_", rf"{_START}glsa_[A-Za-z0-9]{{32}}_[A-Fa-f0-9]{{8}}"),
    ("Tailscale key", "tskey-", rf"{_START}tskey-(?:[a-z]{{2,10}}-)?[A-Za-z0-9]{{6,30}}-[A-Za-z0-9]{{16,}}"),
    ("Shopify token", "shp", rf"{_START}shp(?:at|ca|pa|ss|tka)_[A-Fa-f0-9]{{32}}(?![A-Za-z0-9])"),
    ("Atlassian token", "ATATT3", rf"{_START}ATATT3[A-Za-z0-9_=-]{{60,}}"),
    ("Atlassian token", "ATCTT3", rf"{_START}ATCTT3[A-Za-z0-9_=-]{{60,}}"),
    ("Atlassian token", "ATBB", rf"{_START}ATBB[A-Za-z0-9]{{28,}}"),
    ("NuGet key", "oy2", rf"{_START}oy2[a-z0-9]{{43}}(?![A-Za-z0-9])"),
    ("RubyGems key", "rubygems_", rf"{_START}rubygems_[a-f0-9]{{48}}"),
    ("Heroku key", "HRKU-", rf"{_START}HRKU-[A-Za-z0-9_-]{{30,}}"),
    ("Linear key", "lin_", rf"{_START}lin_(?:api|oauth)_[A-Za-z0-9]{{32,}}"),
    ("Groq key", "gsk_", rf"{_START}gsk_[A-Za-z0-9]{{40,}}"),
    ("xAI key", "xai-", rf"{_START}xai-[A-Za-z0-9]{{60,}}"),
    ("Sentry token", "sntry", rf"{_START}sntry(?:s_eyJ[A-Za-z0-9+/=_-]{{40,}}|u_[a-f0-9]{{64}})"),
    (
        "Doppler token",
        "dp.",
        rf"{_START}dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{{2,35}}\.)?[A-Za-z0-9]{{40,}}",
    ),
    ("New Relic key", "NR", rf"{_START}NR(?:AK|II|IQ|RA)-[A-Za-z0-9_-]{{25,}}"),
    ("New Relic key", "NRJS-", rf"{_START}NRJS-[a-f0-9]{{19}}"),
    ("New Relic key", "NRAL", r"(?<![A-Za-z0-9])[a-f0-9]{36}NRAL(?![A-Za-z0-9])"),
    ("Postman key", "PMA", rf"{_START}PMAK-[a-f0-9]{{24}}-[a-f0-9]{{34}}|PMAT-[0-9A-Z]{{26}}"),
    ("Supabase key", "sbp_", rf"{_START}sbp_(?:v0_)?[a-f0-9]{{40}}"),
    ("Supabase key", "sb_secret_", rf"{_START}sb_secret_[A-Za-z0-9_-]{{20,}}"),
    ("Planet Scale token", "pscale_", rf"{_START}pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{{30,}}"),
    ("Sonar token", "sq", rf"{_START}sq[apu]_[a-f0-9]{{40}}(?![A-Za-z0-9])"),
    ("Pulumi token", "pul-", rf"{_START}pul-[a-f0-9]{{40}}(?![A-Za-z0-9])"),
    ("Mailgun key", "key-", rf"{_START}key-[a-f0-9]{{32}}(?![A-Za-z0-9])"),
    ("Mailchimp key", "-us", r"(?<![A-Za-z0-9])[a-f0-9]{32}-us\d{1,2}(?!\d)"),
    ("LangSmith key", "lsv2_", rf"{_START}lsv2_(?:pt|sk)_[a-f0-9]{{32}}(?:_[a-f0-9]{{10}})?"),
    ("ElevenLabs key", "sk_", rf"{_START}sk_[a-f0-9]{{48}}(?![A-Za-z0-9])"),
    ("Brevo key", "xkeysib-", rf"{_START}xkeysib-[a-f0-9]{{64}}-[A-Za-z0-9]{{16}}"),
    *(
        ("LaunchDarkly key", start, rf"{_START}{start}[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}")
        for start in ("sdk-", "mob-", "api-")
    ),
    ("Plaid token", "access-", rf"{_START}access-[a-z]{{7,11}}-[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}"),
    ("Airtable token", "pat", rf"{_START}pat[A-Za-z0-9]{{14}}\.[a-f0-9]{{64}}"),
    ("Square token", "EAAA", rf"{_START}EAAA[A-Za-z0-9_-]{{60}}(?![A-Za-z0-9_-])"),
    ("Facebook token", "EAA", rf"{_START}EAA(?=[A-Za-z0-9]{{0,60}}ZD?)[A-Za-z0-9]{{90,}}"),
    ("CircleCI token", "CCIP", rf"{_START}CCIP(?:AT|RJ)_[A-Za-z0-9]{{10,40}}_[a-f0-9]{{40}}"),
    ("1Password token", "ops_eyJ", rf"{_START}ops_eyJ[A-Za-z0-9_=-]{{100,}}"),
    ("Dropbox token", "sl.", rf"{_START}sl\.(?:u\.)?[A-Za-z0-9_-]{{100,}}"),
    ("Google token", "1//0", r"(?<![A-Za-z0-9/])1//0[A-Za-z0-9_-]{30,}"),
    ("Alibaba key id", "LTAI", rf"{_START}LTAI[A-Za-z0-9]{{16,20}}(?![A-Za-z0-9])"),
    ("Artifactory token", "AKC", rf"{_START}AKCp[A-Za-z0-9]{{60,}}"),
    ("Artifactory token", "cmVmdGtuO", rf"{_START}cmVmdGtuO[A-Za-z0-9+/=]{{40,}}"),
    ("Discord webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{5,25}/[\w-]{20,}"),
    ("Teams webhook", ".webhook.office.com", r"[\w-]{1,63}\.webhook\.office\.com/webhookb2/[\w@/-]{60,}"),
)


def _compiled(hint: str, pattern: str) -> re.Pattern[str]:
    """Where a pattern begins with its hint, look back from behind it: Python searches for what a pattern begins with
    many times as fast as it tries one that looks back first."""
    rest = pattern.removeprefix(_START)
    if rest == pattern or not rest.startswith(hint):
        return re.compile(pattern)
    start = re.escape(hint)
    return re.compile(f"{start}(?:{'|'.join(one.format(start) for one in _BEFORE)}){rest[len(hint) :]}")


_KNOWN = [(kind, hint, _compiled(hint, pattern)) for kind, hint, pattern in FORMATS]

# Formats that ordinary text can have too: taken when they look random, or (JWT) when the parts are there.
_OLD_OPENAI = re.compile(rf"{_START}sk-[A-Za-z0-9_-]{{20,}}")
_DISCORD = re.compile(
    rf"{_START}(?:[MNO][A-Za-z0-9_-]{{23,27}}\.[A-Za-z0-9_-]{{6}}\.[A-Za-z0-9_-]{{27,40}}|mfa\.[A-Za-z0-9_-]{{60,}})"
    r"(?![A-Za-z0-9_.-])"
)
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}")
_JWT_PARTS = re.compile(r"eyJ[\w-]{8,}\.(?:eyJ[\w-]{8,}\.[\w-]*|[\w-]*\.[\w-]{8,}\.[\w-]{8,}\.[\w-]*)")


# What the list does not know yet: vendors write a word or two of their own, a line, and random letters and digits.
_OF_SOME_VENDOR = re.compile(
    rf"{_START}(?<![./+-])(?!(?:sha|md|blake)\d|h\d)[A-Za-z][A-Za-z0-9]{{1,11}}[_-](?:[A-Za-z0-9]{{2,16}}[_-]){{0,3}}"
    r"[A-Za-z0-9]{20,200}(?![A-Za-z0-9_/+=.-]*[/+=])(?![A-Za-z0-9_])"
)


def without_known_formats(text: str) -> str:
    for kind, hint, pattern in _KNOWN:
        if hint in text:
            text = pattern.sub(f"[redacted: {kind}]", text)
    text = _sub_if(
        _OF_SOME_VENDOR,
        "token",
        lambda found: any(map(str.isdigit, found)) and is_generated(re.split("[_-]", found)[-1]),
        text,
    )
    if "sk-" in text:
        text = _sub_if(_OLD_OPENAI, "OpenAI key", looks_mixed, text)
    if "eyJ" in text:
        text = _sub_if(_JWT, "JWT", lambda found: bool(_JWT_PARTS.match(found)), text)
    return _sub_if(_DISCORD, "Discord token", looks_mixed, text) if "." in text else text


def _sub_if(pattern: re.Pattern[str], kind: str, is_one: Callable[[str], bool], text: str) -> str:
    return pattern.sub(lambda found: f"[redacted: {kind}]" if is_one(found.group()) else found.group(), text)
