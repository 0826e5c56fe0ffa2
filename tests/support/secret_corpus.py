# SPDX-License-Identifier: MIT
"""Secrets as vendors and people write them: a value of each vendor's format, and the places where named ones stand.

The formats are what vendors document, or what their own scanners' descriptions say; every value is random.
"""

from __future__ import annotations

import base64
import random
import re
import string
from collections.abc import Callable

LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
LETTERS = LOWER + UPPER
MIXED = LETTERS + DIGITS
URL_SAFE = MIXED + "_-"
HEX = "0123456789abcdef"
BASE32 = UPPER + "234567"
Generator = Callable[[random.Random], str]

_SETS = {"h": HEX, "a": MIXED, "u": URL_SAFE, "l": LOWER + DIGITS, "U": UPPER + DIGITS, "d": DIGITS, "b": MIXED + "+/"}
_FIELD = re.compile(r"\{(\w)(\d+)\}")


def of(form: str) -> Generator:
    """A generator of values of a form: `{h32}` are 32 hexadecimal digits, `a` letters and digits, `u` these, `_` and
    `-`, `l` small letters and digits, `U` capitals and digits, `d` digits, `b` those of base64."""
    return lambda rng: _FIELD.sub(lambda field: "".join(rng.choices(_SETS[field[1]], k=int(field[2]))), form)


def _uuid(before: str) -> Generator:
    return of(before + "{h8}-{h4}-{h4}-{h4}-{h12}")


def _json(before: str, least: int) -> Generator:
    def make(rng: random.Random) -> str:
        text = '{"iat":' + of("{d10}")(rng) + ',"secret":"' + of(f"{{a{least}}}")(rng) + '"}'
        return before + base64.urlsafe_b64encode(text.encode()).decode()

    return make


def _json_of(before: str, form: str) -> Generator:
    return lambda rng: before + base64.b64encode(of(form)(rng).encode()).decode().rstrip("=")


VENDORS: dict[str, Generator] = {
    "Age": of("AGE-SECRET-KEY-1{U58}"),
    "Airtable": of("pat{a14}.{h64}"),
    "Alibaba": of("LTAI{a20}"),
    "Anthropic": of("sk-ant-api03-{u93}AA"),
    "Artifactory": of("AKCp{a69}"),
    "Artifactory reference": of("cmVmdGtuO{a55}"),
    "Atlassian": of("ATATT3xFfGF0{u170}={U8}"),
    "Atlassian client": of("ATCTT3xFfGN0{u170}={U8}"),
    "AWS key id": of("AKIA{U16}"),
    "AWS temporary key id": of("ASIA{U16}"),
    "Azure": of("{a3}8Q~{a34}"),
    "Azure DevOps": of("{a76}AZDO{a4}"),
    "Bitbucket": of("ATBB{a32}"),
    "Brevo": of("xkeysib-{h64}-{a16}"),
    "Buildkite": of("bkua_{a40}"),
    "CircleCI": of("CCIPAT_{a22}_{h40}"),
    "Contentful": of("CFPAT-{a43}"),
    "crates.io": of("cio{a32}"),
    "Databricks": of("dapi{h32}"),
    "Databricks with a number": of("dapi{h32}-2"),
    "DigitalOcean": of("dop_v1_{h64}"),
    "DigitalOcean refresh": of("dor_v1_{h64}"),
    "Discord webhook": of("https://discord.com/api/webhooks/{d18}/{u68}"),
    "Docker": of("dckr_pat_{u27}"),
    "Doppler": of("dp.pt.{a43}"),
    "Doppler service": of("dp.st.dev.{a43}"),
    "Dropbox": of("sl.{u135}"),
    "ElevenLabs": of("sk_{h48}"),
    "Figma": of("figd_{a40}"),
    "GitHub": of("ghp_{a36}"),
    "GitHub app": of("ghs_{a36}"),
    "GitHub OAuth": of("gho_{a36}"),
    "GitHub fine-grained": of("github_pat_{a22}_{a59}"),
    "GitLab": of("glpat-{u20}"),
    "GitLab OAuth": of("gloas-{h64}"),
    "GitLab deploy": of("gldt-{u20}"),
    "GitLab feature flags": of("glffct-{u20}"),
    "GitLab runner": of("glrt-{u20}"),
    "GitLab runner registration": of("GR1348941{u20}"),
    "Google": of("AIza{u35}"),
    "Google OAuth": of("ya29.{u120}"),
    "Google client": of("GOCSPX-{u28}"),
    "Google refresh": of("1//0{u100}"),
    "Grafana cloud": _json("glc_", 40),
    "Grafana service": of("glsa_{a32}_{h8}"),
    "Groq": of("gsk_{a52}"),
    "Heroku": of("HRKU-{u60}"),
    "Heroku UUID": _uuid("HRKU-"),
    "Hugging Face": of("hf_{a34}"),
    "Hugging Face organisation": of("api_org_{a34}"),
    "LangSmith": of("lsv2_pt_{h32}_{h10}"),
    "LaunchDarkly": _uuid("sdk-"),
    "Linear": of("lin_api_{a40}"),
    "Mailchimp": of("{h32}-us12"),
    "Mailgun": of("key-{h32}"),
    "Netlify": of("nfp_{a36}"),
    "New Relic": of("NRAK-{U27}"),
    "New Relic browser": of("NRJS-{h19}"),
    "New Relic licence": of("{h36}NRAL"),
    "Notion": of("ntn_{a46}"),
    "npm": of("npm_{a36}"),
    "NuGet": of("oy2{l43}"),
    "OpenAI": of("sk-{a48}"),
    "OpenAI project": of("sk-proj-{u120}"),
    "1Password": _json("ops_", 150),
    "OpenRouter": of("sk-or-v1-{h64}"),
    "Perplexity": of("pplx-{a48}"),
    "Pinecone": of("pcsk_{a6}_{a63}"),
    "Plaid": _uuid("access-production-"),
    "PlanetScale": of("pscale_tkn_{u43}"),
    "PlanetScale password": of("pscale_pw_{u43}"),
    "Postman": of("PMAK-{h24}-{h34}"),
    "Pulumi": of("pul-{h40}"),
    "PyPI": of("pypi-AgEIcHlwaS5vcmc{u150}"),
    "Replicate": of("r8_{a37}"),
    "Resend": of("re_{a8}_{a24}"),
    "RubyGems": of("rubygems_{h48}"),
    "SendGrid": of("SG.{u22}.{u43}"),
    "Sentry": _json("sntrys_", 60),
    "Sentry user": of("sntryu_{h64}"),
    "Shopify": of("shpat_{h32}"),
    "Shopify app": of("shpss_{h32}"),
    "Slack bot": of("xoxb-{d12}-{d13}-{a24}"),
    "Slack app": of("xapp-1-A{U10}-{d13}-{h64}"),
    "Slack webhook": of("https://hooks.slack.com/services/T{U8}/B{U10}/{a24}"),
    "SonarQube": of("sqp_{h40}"),
    "Square": of("EAAA{u60}"),
    "Stripe": of("sk_live_{a24}"),
    "Stripe restricted": of("rk_live_{a99}"),
    "Stripe webhook": of("whsec_{a32}"),
    "Supabase": of("sbp_{h40}"),
    "Supabase secret": of("sb_secret_{a22}_{a8}"),
    "Tailscale": of("tskey-auth-k{a12}CNTRL-{a33}"),
    "Tailscale API": of("tskey-api-k{a12}CNTRL-{a33}"),
    "Teams webhook": _uuid(
        "https://contoso.webhook.office.com/webhookb2/{h8}-{h4}-{h4}-{h4}-{h12}@{h8}/IncomingWebhook/{h32}/"
    ),
    "Telegram": of("{d10}:AA{u33}"),
    "Terraform": of("{a14}.atlasv1.{a67}"),
    "Twilio": of("SK{h32}"),
    "Vault": of("hvs.{u90}"),
    "Vercel blob": of("vercel_blob_rw_{a16}_{a30}"),
    "xAI": of("xai-{a80}"),
    "Adafruit": of("aio_{a28}"),
    "Akamai": of("akab-{l16}-{l16}"),
    "Amazon Bedrock": of("ABSK{b108}=="),
    "Anthropic OAuth": of("sk-ant-oat01-{u93}AA"),
    "Asana": of("2/{d16}/{d16}:{h32}"),
    "Asana short": of("1/{d16}:{h32}"),
    "Axiom": _uuid("xaat-"),
    "Bitwarden": of("0.{h8}-{h4}-{h4}-{h4}-{h12}.{a30}:{b22}=="),
    "Braintree": of("access_token$production${l16}${h32}"),
    "Cerebras": of("csk-{l48}"),
    "Clojars": of("CLOJARS_{l60}"),
    "Cloudflare origin": of("v1.0-{h24}-{h146}"),
    "Cloudflare tunnel": _json_of("", '{"a":"{h32}","t":"{h8}-{h4}-{h4}-{h4}-{h12}","s":"{a44}"}'),
    "Confluent": of("cflt{b60}"),
    "Contentful with a line": of("CFPAT-{u43}"),
    "Cursor": of("crsr_{h64}"),
    "DeepSeek": of("sk-{h32}"),
    "Defined Networking": of("dnkey-{U26}-{U52}"),
    "Depot": of("depot_org_{h64}"),
    "Duffel": of("duffel_live_{u43}"),
    "Dynatrace": of("dt0c01.{U24}.{U64}"),
    "E2B": of("e2b_{h40}"),
    "EasyPost": of("EZAK{a54}"),
    "EasyPost test": of("EZTK{a54}"),
    "Exoscale": of("EXO{h24}"),
    "Figma with a line": of("figd_{u40}"),
    "Firecrawl": of("fc-{h32}"),
    "Fireworks": of("fw_1{a23}"),
    "Flutterwave": of("FLWSECK-{l32}-X"),
    "Fly.io": of("fo1_{u43}"),
    "Fly.io macaroon": of("fm2_{b120}=="),
    "Frame.io": of("fio-u-{u64}"),
    "GitLab routable": of("glpat-{u27}.01.{l9}"),
    "GoCardless": of("live_{u40}"),
    "Grafana old": _json_of("", '{"k":"{a32}","n":"ci","id":1}'),
    "Harness": of("pat.{u22}.{h24}.{a20}"),
    "Honeycomb": of("hcaik_{l58}"),
    "HubSpot": _uuid("pat-na1-"),
    "Infisical": of("st.{h24}.{h32}.{h32}"),
    "Infracost": of("ico-{a32}"),
    "Intercom": _json_of("", "tok:{h8}_{h4}_{h4}_{h4}_{h12}:1:0"),
    "Jina": of("jina_{h32}{a28}"),
    "Langfuse": _uuid("sk-lf-"),
    "Lob": of("live_{h35}"),
    "Logfire": of("pylf_v1_us_{a43}"),
    "Mailgun private": of("{h32}-{h8}-{h8}"),
    "Mapbox": of("sk.eyJ1Ijoi{a60}.{u22}"),
    "MaxMind": of("{a6}_{a29}_mmk"),
    "Neon": of("napi_{l64}"),
    "NetBird": of("nbp_{a36}"),
    "ngrok": of("2{a26}_{a21}"),
    "Notion old": of("secret_{a43}"),
    "NVIDIA": of("nvapi-{u64}"),
    "Octopus": of("API-1{U25}"),
    "1Password secret key": of("A3-{U6}-{U6}-{U5}-{U5}-{U5}-{U5}"),
    "OpenShift": of("sha256~{u43}"),
    "Packagist": of("packagist_ort_{h68}"),
    "PostHog": of("phx_{a43}"),
    "Prefect": of("pnu_{l36}"),
    "ReadMe": of("rdme_{l70}"),
    "Render": of("rnd_{a28}"),
    "RunPod": of("rpa_{U42}{l6}"),
    "Salesforce": of("00D{a12}!AQ{a94}"),
    "Scaleway": of("SCW1{U16}"),
    "Scalingo": of("tk-us-{u48}"),
    "Segment": of("sgp_{a64}"),
    "Settlemint": of("sm_pat_{a16}"),
    "Shippo": of("shippo_live_{h40}"),
    "Sourcegraph": of("sgp_{h16}_{h40}"),
    "Square access": of("sq0atp-{u22}"),
    "Square application": of("sq0csp-{u43}"),
    "Tavily": of("tvly-dev-{a32}"),
    "Tencent": of("AKID{a32}"),
    "Together": of("tgp_v1_{u43}"),
    "Trello": of("ATTA{h64}"),
    "Typeform": of("tfp_{u59}"),
    "UpCloud": of("ucat_{U26}"),
    "Vault before 1.10": of("s.{a24}"),
    "Voyage": of("pa-{u43}"),
    "Yandex": of("AQVN{u36}"),
    "Zoho": of("1000.{h32}.{h32}"),
    "Zuplo": of("zpka_{l32}_{h8}"),
    "a vendor nobody has heard of": of("acme_live_{a32}"),
    "another": of("zk-{a40}"),
}
"""By whom, and how a value is made."""

ALONE = (
    "{}",
    "pushing with {} to the registry",
    "curl -s https://example.com/v1/?t={}&page=2",
    '["{}"]',
    "X-Thing: {}\r\n",
)
"""Where a value with a format of its own stands without a name that tells."""

AFTER_TOKEN = ("api_key: {}", "token: {}", "access_token: {}", "secret: {}", "client_secret: {}", "PRIVATE-TOKEN: {}")
"""Where the names of a parser's tokens stand too, so that only what looks random is taken for a secret."""

NAMED = (
    *("X-Auth-Token: {}", "x: 1\ny: 2\npassword: {}"),
    *("kind: Secret\ndata:\n  password: {}\n", "api_key={}", 'api_key = "{}"', '{{"api_key": "{}"}}'),
    *("DEPLOY_PASS={}", "export SSH_PASS={}", "GPG_PASS={}", "ansible_ssh_pass={}", "ansible_become_pass: {}"),
    *("vault_pass: {}", "NEXUS_PASS='{}'", "registryPass: {}", "-Dnexus.pass={}"),
    "<server><id>x</id><username>me</username><password>{}</password></server>",
    '<property name="connection.password" value="{}"/>',
    '<add key="DbPassword" value="{}" />',
    '<entry key="db.password">{}</entry>',
    "define('DB_PASSWORD', '{}');",
    'setenv("API_TOKEN", "{}", 1);',
    'os.environ["API_TOKEN"] = "{}"',
    "$config['password'] = '{}';",
    "'password' => '{}',",
    '#define WIFI_PASSWORD "{}"',
    "env:\n- name: DB_PASSWORD\n  value: {}\n",
    'env:\n  - name: DB_PASSWORD\n    value: "{}"\n',
    '{{"name": "DB_PASSWORD", "value": "{}"}}',
    '{{"Name":"DB_PASSWORD","Value":"{}"}}',
    'environment {{\n  name  = "API_TOKEN"\n  value = "{}"\n}}',
    "<dict><key>API_TOKEN</key>\n<string>{}</string></dict>",
    '{{"ParameterKey": "DBPassword", "ParameterValue": "{}"}}',
    'const API_TOKEN: &str = "{}";',
    'password: Optional[str] = "{}"',
    'static char db_password[] = "{}";',
    'token = """{}"""',
    "Server=h;UID=sa;PWD={}",
    "Pwd={};Database=x",
    "https://example.com/login?next=%2F&body=user%3Dme%26password%3D{}",
    "psk={}",
    "::add-mask::{}",
    "password: |\n  {}\n",
    "db:\n  password: >-\n    {}\n  port: 1\n",
    "openssl enc -d -aes-256-cbc -pass pass:{} -in x",
    "openssl rsa -passin pass:{} -in key.pem",
    "keytool -list -storepass {} -keystore x",
    "keytool -genkey -keypass {}",
    "ENV DB_PASSWORD {}",
    "tool --token {}",
    'os.environ.setdefault("API_TOKEN", "{}")',
    'req.Header.Set("X-Auth-Token", "{}")',
    "xhr.setRequestHeader('X-Api-Key', '{}')",
    "config.put('password', '{}');",
    "CREATE USER me IDENTIFIED BY '{}';",
    "ALTER ROLE me WITH ENCRYPTED PASSWORD '{}';",
    "port 6379\nrequirepass {}\nmaxmemory 1gb",
    'requests.get(url, auth=("me", "{}"))',
    '<password value="{}"/>',
    '{{"auths": {{"https://example.com": {{"identitytoken": "{}"}}}}}}',
    "mvn deploy -Dtoken={}",
    "gradle publish -PsigningPassword={}",
)
"""Places that a name makes secret; `{}` stands for the value."""


def values(generator: Generator, count: int, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return [generator(rng) for _ in range(count)]
