# SPDX-License-Identifier: MIT
"""Real output of build tools, made here: compilers, make, linkers, Python, pip, package lists. No secret is in it.

Each source runs one tool, verbosely, on a small program of words that secrets have too: a lexer's tokens, a table's
keys, a session's id. A tool that is not installed gives nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

LEXER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <pwd.h>
#include <netdb.h>
#include <sys/socket.h>
#include <linux/keyctl.h>
#define TOKEN_SECRET 17
#define DEFAULT_PASSWORD_LENGTH 32
enum token_kind { TOKEN_KEY = 1, TOKEN_VALUE, TOKEN_SECRET_KEY };
struct token { enum token_kind kind; const char *key; unsigned long session_id; };
static struct token *next_token(struct token *token, const char *api_key, int unused_secret)
{
	int password_length = "wrong", auth = unused;
	if (token = next) token->key = api_key;
	switch (token->kind) { case TOKEN_KEY: password = passwd->pw_passwd; }
	printf("token: %s key=%d secret: %p\n", token->kind, token->key, &auth, password_length);
	return secret_token;
}
int main_NUMBER(int argc, char **argv) { struct token access_token; return hash_key(access_token.token); }
"""
PROGRAM = r"""
#include <pthread.h>
#include <stdio.h>
#include "token.h"
static int private_key_NUMBER(int key, int token) { return key ^ token ^ NUMBER; }
int part_NUMBER(int auth_token) { return private_key_NUMBER(auth_token, TOKEN_COUNT); }
"""
MAKEFILE = """
CFLAGS = -O2 -g -Wall -Wextra -v
SECRET_TOKENS = $(wildcard token*.c)
PASSWORD_LENGTH = 32
all: program
program: $(patsubst %.c,%.o,$(wildcard part*.c)) main.o
\t$(CC) $(CFLAGS) -Wl,--verbose,-Map=/dev/stdout -o $@ $^ -lpthread -lm
%.o: %.c token.h
\t$(CC) $(CFLAGS) -H -ftime-report -DTOKEN_COUNT=$(PASSWORD_LENGTH) -DKEY=\\"$*\\" -c -o $@ $<
"""
MODULES = """
    argparse ast asyncio base64 bdb binhex bz2 calendar cgi cmd code codecs concurrent.futures configparser csv ctypes
    curses dataclasses decimal difflib dis doctest email.mime.text ensurepip filecmp fractions ftplib getpass gettext
    glob gzip hashlib hmac html.parser http.client http.cookiejar http.server imaplib inspect ipaddress json keyword
    lib2to3.main logging.config lzma mailbox mimetypes multiprocessing netrc optparse pickle pickletools pip.__main__
    pip._internal.cli.main pip._internal.commands.install pip._vendor.rich.console pkgutil plistlib poplib pprint
    profile pydoc queue secrets shelve shlex smtplib sqlite3 ssl statistics string subprocess symtable tarfile
    tempfile token tokenize tomllib trace turtle typing unittest.mock urllib.request uuid venv wsgiref.simple_server
    xml.dom.minidom xml.sax xmlrpc.client zipapp zipfile zoneinfo
"""
PARTS = 24


def logs(place: Path, names: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield the name and the output of each tool, or of those named. `place` is a directory to build in."""
    _write_program(place)
    for name, source in SOURCES.items():
        if not names or name in names:
            yield name, source(place)


def _write_program(place: Path) -> None:
    for number in range(PARTS):
        (place / f"part{number}.c").write_text(PROGRAM.replace("NUMBER", str(number)))
    (place / "token.h").write_text("#ifndef TOKEN_H\n#define TOKEN_H\nint part_0(int auth_token);\n#endif\n")
    (place / "main.c").write_text('#include "token.h"\nint main(void) { return part_0(1); }\n')
    (place / "wrong.c").write_text("\n".join(LEXER.replace("NUMBER", str(number)) for number in range(6)))
    (place / "Makefile").write_text(MAKEFILE)


def _run(*argv: str, cwd: Path, **env: str) -> str:
    """Return all that a tool prints, however it ends. It gets no variables of ours, which may hold secrets."""
    if shutil.which(argv[0]) is None:
        return ""
    plain = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(cwd), "LC_ALL": "C.UTF-8", **env}
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=plain,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.stdout.decode(errors="replace")


def _make(place: Path) -> str:
    return _run("make", "--debug=a", "--trace", cwd=place)


def _make_database(place: Path) -> str:
    return _run("make", "-pn", cwd=place)


def _gcc_errors(place: Path) -> str:
    options = ("-Wall", "-Wextra", "-Wsystem-headers", "-Wpedantic", "-Wconversion", "-v", "-fdiagnostics-show-caret")
    macros = _run("gcc", "-dM", "-E", "main.c", "-include", "stdio.h", "-include", "netdb.h", cwd=place)
    return _run("gcc", *options, "-c", "wrong.c", cwd=place) + macros


def _clang(place: Path) -> str:
    clang = next((name for name in ("clang-19", "clang") if shutil.which(name)), "clang")
    tree = ("-fsyntax-only", "-Xclang", "-ast-dump", "-fno-color-diagnostics", "part0.c", "-DTOKEN_COUNT=3")
    return _run(clang, "-v", "-Weverything", "-c", "wrong.c", cwd=place) + _run(clang, *tree, cwd=place)


def _python(place: Path) -> str:
    imports = "; ".join(f"x('{name}')" for name in MODULES.split())
    load = "with contextlib.suppress(ImportError): importlib.import_module(name)"
    code = f"import contextlib, importlib\ndef x(name):\n  {load}\n{imports}"
    return _run(sys.executable, "-v", "-X", "importtime", "-W", "ignore", "-c", code, cwd=place)


def _pip(place: Path) -> str:
    none = ["install", "-vvv", "--no-index", "--dry-run", "no-such-token"]
    every = (["debug", "--verbose"], ["inspect"], none)
    return "".join(_run(sys.executable, "-m", "pip", *words, cwd=place) for words in every)


def _listings(place: Path) -> str:
    top = Path(__file__).resolve().parents[2]
    collected = _run(sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/unit/verdict", cwd=top)
    return collected + _run("tar", "-cvvf", "/dev/null", "/usr/include/linux", "/usr/lib/gcc", cwd=place)


def _cargo(place: Path) -> str:
    home = Path(os.environ.get("HOME", str(place)))
    found = {name: str(home / f".{name.lower().removesuffix('_home')}") for name in ("CARGO_HOME", "RUSTUP_HOME")}
    created = _run("cargo", "init", "--offline", "--vcs", "none", "--name", "token_key", "crate", cwd=place, **found)
    manifest = str(place / "crate/Cargo.toml")
    return created + _run("cargo", "build", "-vv", "--offline", "--manifest-path", manifest, cwd=place, **found)


def _packages(place: Path) -> str:
    listed = _run("dpkg-query", "-l", cwd=place) + _run("dpkg", "-L", "libc6-dev", "linux-libc-dev", cwd=place)
    kept = [Path("/var/log/dpkg.log"), Path("/var/log/apt/term.log"), Path("/var/log/apt/history.log")]
    texts = [path.read_text(errors="replace") for path in kept if os.access(path, os.R_OK)]
    return listed + "".join(texts)


SOURCES: Mapping[str, Callable[[Path], str]] = {
    "make": _make,
    "make's database": _make_database,
    "gcc": _gcc_errors,
    "clang": _clang,
    "python": _python,
    "pip": _pip,
    "listings": _listings,
    "cargo": _cargo,
    "packages": _packages,
}
