# SPDX-License-Identifier: MIT
"""Removes keys and tokens whose vendors gave them a format of their own."""

from __future__ import annotations

import functools
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

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

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
    *(("LaunchDarkly key", start, rf"{_START}{start}{_UUID}") for start in ("sdk-", "mob-", "api-")),
    ("Plaid token", "access-", rf"{_START}access-[a-z]{{7,11}}-{_UUID}"),
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
    ("DeepSeek key", "sk-", rf"{_START}sk-[a-f0-9]{{32}}(?![A-Za-z0-9])"),
    ("Langfuse key", "sk-lf-", rf"{_START}sk-lf-{_UUID}(?![A-Za-z0-9])"),
    ("Cerebras key", "csk-", rf"{_START}csk-[a-z0-9]{{48}}(?![A-Za-z0-9])"),
    ("NVIDIA key", "nvapi-", rf"{_START}nvapi-[A-Za-z0-9_-]{{60,}}"),
    ("Together key", "tgp_v1_", rf"{_START}tgp_v1_[A-Za-z0-9_-]{{43}}(?![A-Za-z0-9])"),
    ("Perplexity key", "pplx-", rf"{_START}pplx-[A-Za-z0-9]{{40,}}"),
    ("Pinecone key", "pcsk_", rf"{_START}pcsk_[A-Za-z0-9]{{5,6}}_[A-Za-z0-9]{{50,}}"),
    ("Replicate token", "r8_", rf"{_START}r8_[A-Za-z0-9]{{37}}(?![A-Za-z0-9])"),
    ("Jina key", "jina_", rf"{_START}jina_[A-Za-z0-9]{{60}}(?![A-Za-z0-9])"),
    ("Tavily key", "tvly-", rf"{_START}tvly-(?:dev-|prod-)?[A-Za-z0-9]{{32}}(?![A-Za-z0-9])"),
    ("Firecrawl key", "fc-", rf"{_START}fc-[a-f0-9]{{32}}(?![A-Za-z0-9])"),
    ("E2B key", "e2b_", rf"{_START}e2b_[a-f0-9]{{40}}(?![A-Za-z0-9])"),
    ("RunPod key", "rpa_", rf"{_START}rpa_[A-Z0-9]{{38,42}}[A-Za-z0-9]{{4,8}}(?![A-Za-z0-9])"),
    ("Cursor key", "crsr_", rf"{_START}crsr_[a-f0-9]{{64}}(?![A-Za-z0-9])"),
    ("Amazon Bedrock key", "ABSK", rf"{_START}ABSK[A-Za-z0-9+/]{{100}}[A-Za-z0-9+/=]*"),
    ("Amazon Bedrock key", "bedrock-api-key-", rf"{_START}bedrock-api-key-[A-Za-z0-9+/=]{{60,}}"),
    ("Dynatrace token", "dt0", rf"{_START}dt0[a-z]\d\d\.[A-Z0-9]{{24}}\.[A-Z0-9]{{64}}(?![A-Za-z0-9])"),
    ("EasyPost key", "EZ", rf"{_START}EZ[AT]K[A-Za-z0-9]{{54}}(?![A-Za-z0-9])"),
    ("Fly.io token", "fm", rf"{_START}fm[12][ar]?_[A-Za-z0-9+/=]{{40,}}"),
    ("Fly.io token", "fo1_", rf"{_START}fo1_[A-Za-z0-9_-]{{43}}(?![A-Za-z0-9])"),
    ("Flutterwave key", "FLWSECK", rf"{_START}FLWSECK(?:_TEST)?-[a-z0-9]{{12,40}}-X(?![A-Za-z0-9])"),
    ("Frame.io token", "fio-u-", rf"{_START}fio-u-[A-Za-z0-9_=-]{{64}}(?![A-Za-z0-9])"),
    ("GoCardless token", "live_", rf"{_START}live_[A-Za-z0-9_-]{{40}}(?![A-Za-z0-9])"),
    *(("Lob key", start, rf"{_START}{start}[a-f0-9]{{35}}(?![A-Za-z0-9])") for start in ("live_", "test_")),
    ("Grafana token", "eyJrIjoi", rf"{_START}eyJrIjoi[A-Za-z0-9+/=]{{60,}}"),
    ("Cloudflare token", "eyJhIjoi", rf"{_START}eyJhIjoi[A-Za-z0-9+/=]{{100,}}"),
    ("Cloudflare key", "v1.0-", rf"{_START}v1\.0-[a-f0-9]{{24}}-[a-f0-9]{{146}}(?![A-Za-z0-9])"),
    *(
        (
            "Harness token",
            start,
            rf"{_START}{start}[A-Za-z0-9_-]{{22}}\.[a-f0-9]{{24}}\.[A-Za-z0-9]{{20}}(?![A-Za-z0-9])",
        )
        for start in ("pat.", "sat.")
    ),
    ("Mapbox token", "k.eyJ", rf"{_START}[st]k\.eyJ[A-Za-z0-9_-]{{40,400}}\.[A-Za-z0-9_-]{{20,}}"),
    ("MaxMind key", "_mmk", r"(?<![A-Za-z0-9])[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk(?![A-Za-z0-9])"),
    ("Mailgun key", "-", r"(?<![A-Za-z0-9-])[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}(?![A-Za-z0-9])"),
    ("Octopus key", "API-", rf"{_START}API-(?=[A-Z]{{0,29}}\d)[A-Z0-9]{{25,30}}(?![A-Za-z0-9])"),
    ("OpenShift token", "sha256~", rf"{_START}sha256~[A-Za-z0-9_-]{{43}}"),
    ("Prefect key", "pn", rf"{_START}pn[bu]_[a-z0-9]{{36}}(?![A-Za-z0-9])"),
    ("Packagist token", "packagist_", rf"{_START}packagist_[a-z]{{3}}_[a-f0-9]{{68}}(?![A-Za-z0-9])"),
    ("ReadMe key", "rdme_", rf"{_START}rdme_[a-z0-9]{{70}}(?![A-Za-z0-9])"),
    ("Scalingo token", "tk-us-", rf"{_START}tk-us-[A-Za-z0-9_-]{{48}}(?![A-Za-z0-9])"),
    ("Shippo token", "shippo_", rf"{_START}shippo_(?:live|test)_[a-f0-9]{{40}}(?![A-Za-z0-9])"),
    (
        "Sourcegraph token",
        "sgp_",
        rf"{_START}sgp_(?:(?:[a-f0-9]{{16}}_|local_)?[a-f0-9]{{40}}|[A-Za-z0-9]{{64}})(?![A-Za-z0-9])",
    ),
    ("Typeform token", "tfp_", rf"{_START}tfp_[A-Za-z0-9_.=-]{{59}}(?![A-Za-z0-9])"),
    ("Yandex key", "AQVN", rf"{_START}AQVN[A-Za-z0-9_-]{{35,38}}(?![A-Za-z0-9])"),
    ("Tencent key id", "AKID", rf"{_START}AKID(?=[A-Za-z]{{0,31}}\d)[A-Za-z0-9]{{32}}(?![A-Za-z0-9])"),
    ("Adafruit key", "aio_", rf"{_START}aio_[A-Za-z0-9]{{28}}(?![A-Za-z0-9])"),
    ("Clojars token", "CLOJARS_", rf"{_START}CLOJARS_[a-z0-9]{{60}}(?![A-Za-z0-9])"),
    ("Defined Networking key", "dnkey-", rf"{_START}dnkey-[A-Za-z0-9=_-]{{26}}-[A-Za-z0-9=_-]{{52}}(?![A-Za-z0-9])"),
    ("Duffel token", "duffel_", rf"{_START}duffel_(?:live|test)_[A-Za-z0-9_=-]{{43}}(?![A-Za-z0-9])"),
    ("Neon key", "napi_", rf"{_START}napi_[a-z0-9]{{64}}(?![A-Za-z0-9])"),
    ("Notion token", "ntn_", rf"{_START}ntn_[A-Za-z0-9]{{40,}}"),
    ("Notion token", "secret_", rf"{_START}secret_(?=[A-Za-z]{{0,42}}\d)[A-Za-z0-9]{{43}}(?![A-Za-z0-9])"),
    ("Infisical token", "st.", rf"{_START}st\.[a-f0-9]{{24}}\.[a-f0-9]{{32}}\.[a-f0-9]{{32}}(?![A-Za-z0-9])"),
    ("Infracost key", "ico-", rf"{_START}ico-[A-Za-z0-9]{{32}}(?![A-Za-z0-9])"),
    ("Bitwarden token", "0.", rf"{_START}0\.{_UUID}\.[A-Za-z0-9]{{30}}:[A-Za-z0-9+/=]{{20,}}"),
    ("Honeycomb key", "hc", rf"{_START}hc[a-z]{{2}}k_[a-z0-9]{{58}}(?![A-Za-z0-9])"),
    ("Axiom token", "xa", rf"{_START}xa[ap]t-{_UUID}(?![A-Za-z0-9])"),
    ("PostHog key", "ph", rf"{_START}ph[xsr]_[A-Za-z0-9]{{40,}}"),
    ("Logfire token", "pylf_v", rf"{_START}pylf_v\d_[a-z]{{2}}_[A-Za-z0-9]{{40,}}"),
    ("NetBird token", "nbp_", rf"{_START}nbp_[A-Za-z0-9]{{36}}(?![A-Za-z0-9])"),
    ("Render key", "rnd_", rf"{_START}rnd_[A-Za-z0-9]{{28,}}"),
    ("Netlify token", "nfp_", rf"{_START}nfp_[A-Za-z0-9]{{36}}(?![A-Za-z0-9])"),
    ("Contentful token", "CFPAT-", rf"{_START}CFPAT-[A-Za-z0-9_-]{{43}}(?![A-Za-z0-9])"),
    ("Figma token", "fig", rf"{_START}fig(?:d|oh|or|u)_[A-Za-z0-9_-]{{36,}}"),
    ("Buildkite token", "bkua_", rf"{_START}bkua_[a-zA-Z0-9]{{40}}(?![A-Za-z0-9])"),
    ("Resend key", "re_", rf"{_START}re_[A-Za-z0-9]{{8}}_[A-Za-z0-9]{{20,}}"),
    ("Vercel token", "vercel_blob_rw_", rf"{_START}vercel_blob_rw_[A-Za-z0-9]{{12,20}}_[A-Za-z0-9]{{28,}}"),
    (
        "1Password key",
        "A3-",
        rf"{_START}A3-[A-Z0-9]{{6}}-(?:[A-Z0-9]{{11}}|[A-Z0-9]{{6}}-[A-Z0-9]{{5}})(?:-[A-Z0-9]{{5}}){{3}}(?![A-Za-z0-9])",
    ),
    ("Square token", "sq0", rf"{_START}sq0(?:atp|csp)-[A-Za-z0-9_-]{{22,43}}"),
    (
        "Braintree token",
        "access_token$",
        rf"{_START}access_token\$(?:production|sandbox)\$[a-z0-9]{{16}}\$[a-f0-9]{{32}}(?![A-Za-z0-9])",
    ),
    ("HubSpot token", "pat-", rf"{_START}pat-(?:na|eu|ap)\d-{_UUID}(?![A-Za-z0-9])"),
    ("Salesforce token", "00D", rf"{_START}00D[A-Za-z0-9]{{12,15}}![A-Za-z0-9._]{{90,}}"),
    ("Trello token", "ATTA", rf"{_START}ATTA[a-f0-9]{{64}}(?![A-Za-z0-9])"),
    ("Zoho token", "1000.", rf"{_START}1000\.[a-f0-9]{{32}}\.[a-f0-9]{{32}}(?![A-Za-z0-9])"),
    *(
        ("Asana token", start, rf"{_START}{start}\d{{15,20}}(?:/\d{{15,20}})?:[a-f0-9]{{32}}(?![A-Za-z0-9])")
        for start in ("1/", "2/")
    ),
    ("Settlemint token", "sm_", rf"{_START}sm_[aps]at_[A-Za-z0-9]{{16}}(?![A-Za-z0-9])"),
    ("Zuplo key", "zpka_", rf"{_START}zpka_[a-z0-9]{{32}}_[a-z0-9]{{8}}(?![A-Za-z0-9])"),
    ("Depot token", "depot_", rf"{_START}depot_[a-z]{{2,10}}_[a-f0-9]{{64}}(?![A-Za-z0-9])"),
    ("Intercom token", "dG9rO", rf"{_START}dG9rO[A-Za-z0-9+/]{{40}}[A-Za-z0-9+/=]*"),
    ("Confluent secret", "cflt", rf"{_START}cflt[A-Za-z0-9+/]{{60}}(?![A-Za-z0-9])"),
    ("Exoscale key id", "EXO", rf"{_START}EXO[a-f0-9]{{24}}(?![A-Za-z0-9])"),
    ("UpCloud token", "ucat_", rf"{_START}ucat_[A-Z0-9]{{26}}(?![A-Za-z0-9])"),
    ("Scaleway key id", "SCW", rf"{_START}SCW(?=[A-Z]{{0,16}}\d)[A-Z0-9]{{17}}(?![A-Za-z0-9])"),
    ("Akamai token", "akab-", rf"{_START}akab-[a-z0-9]{{16}}-[a-z0-9]{{16}}(?![A-Za-z0-9])"),
    ("Discord webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{5,25}/[\w-]{20,}"),
    ("Teams webhook", ".webhook.office.com", r"[\w-]{1,63}\.webhook\.office\.com/webhookb2/[\w@/-]{60,}"),
)


@functools.cache
def _compiled(hint: str, pattern: str) -> re.Pattern[str]:
    """Where a pattern begins with its hint, move the look back behind the hint: Python searches many times faster for a
    pattern that begins with fixed characters than for one that looks back first. Compiled when a text has the hint: to
    compile all takes 20 ms, at each start of nearly every command."""
    rest = pattern.removeprefix(_START)
    if rest == pattern or not rest.startswith(hint):
        return re.compile(pattern)
    start = re.escape(hint)
    return re.compile(f"{start}(?:{'|'.join(one.format(start) for one in _BEFORE)}){rest[len(hint) :]}")


# Formats that ordinary text can have too: taken when they look random, or (JWT) when the parts are there.
_OLD_OPENAI = re.compile(rf"{_START}sk-[A-Za-z0-9_-]{{20,}}")
_DISCORD = re.compile(
    rf"{_START}(?:[MNO][A-Za-z0-9_-]{{23,27}}\.[A-Za-z0-9_-]{{6}}\.[A-Za-z0-9_-]{{27,40}}|mfa\.[A-Za-z0-9_-]{{60,}})"
    r"(?![A-Za-z0-9_.-])"
)
_AS_GENERATED = (
    (
        "Vault token",
        "s.",
        re.compile(rf"{_START}s\.[A-Za-z0-9]{{24}}(?![A-Za-z0-9])"),
        lambda found: is_generated(found[2:], 0.3),
    ),
    (
        "ngrok token",
        "_",
        re.compile(rf"{_START}[12][A-Za-z0-9]{{26}}_[A-Za-z0-9]{{15,25}}(?![A-Za-z0-9])"),
        is_generated,
    ),
    ("Voyage key", "pa-", re.compile(rf"{_START}pa-[A-Za-z0-9_-]{{43}}(?![A-Za-z0-9_-])"), looks_mixed),
    ("Fireworks key", "fw_", re.compile(rf"{_START}fw_[A-Za-z0-9]{{22,24}}(?![A-Za-z0-9])"), looks_mixed),
)
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}")
_JWT_PARTS = re.compile(r"eyJ[\w-]{8,}\.(?:eyJ[\w-]{8,}\.[\w-]*|[\w-]*\.[\w-]{8,}\.[\w-]{8,}\.[\w-]*)")


# What the list does not know yet: vendors write a word or two of their own, a line, and random letters and digits.
_OF_SOME_VENDOR = re.compile(
    rf"{_START}(?<![./+-])(?!(?:sha|md|blake)\d|h\d)[A-Za-z][A-Za-z0-9]{{1,11}}[_-](?:[A-Za-z0-9]{{2,16}}[_-]){{0,3}}"
    r"[A-Za-z0-9]{20,200}(?![A-Za-z0-9_/+=.-]*[/+=])(?![A-Za-z0-9_])"
)


def without_known_formats(text: str) -> str:
    for kind, hint, pattern in FORMATS:
        if hint in text:
            text = _compiled(hint, pattern).sub(f"[redacted: {kind}]", text)
    text = _sub_if(
        _OF_SOME_VENDOR,
        "token",
        lambda found: any(map(str.isdigit, found)) and is_generated(re.split("[_-]", found)[-1]),
        text,
    )
    for kind, hint, made, is_one in _AS_GENERATED:
        if hint in text:
            text = _sub_if(made, kind, is_one, text)
    if "sk-" in text:
        text = _sub_if(_OLD_OPENAI, "OpenAI key", looks_mixed, text)
    if "eyJ" in text:
        text = _sub_if(_JWT, "JWT", lambda found: bool(_JWT_PARTS.match(found)), text)
    return _sub_if(_DISCORD, "Discord token", looks_mixed, text) if "." in text else text


def _sub_if(pattern: re.Pattern[str], kind: str, is_one: Callable[[str], bool], text: str) -> str:
    return pattern.sub(lambda found: f"[redacted: {kind}]" if is_one(found.group()) else found.group(), text)
