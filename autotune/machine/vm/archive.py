# SPDX-License-Identifier: MIT
"""Debian's archive, read through a private apt root: the system's own package manager is not touched.

Knows only the backports suites of the machine's own mirror.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from autotune import reading, trust
from autotune.errors import FetchError
from autotune.measure import descendants

SUITES = ("trixie-backports", "bookworm-backports")
"""Suites with kernels that have sched_ext (6.16 and later), and libbpf 1.4, QEMU 10 and bpftool 7.5 for Debian 12."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_FETCH_S = 1800.0


_UNSIGNED = re.compile(
    r"is not signed|no longer signed|NO_PUBKEY|GPG error|signatures (?:couldn't be verified|were invalid)|"
    r"Clearsigned file isn't valid"
)
"""Messages of apt about a mirror whose lists are not Debian's, or not what Debian signed."""


class DiskFull(FetchError):
    """The disk is full, so another kernel would not help."""


def require_debian() -> None:
    """Raise FetchError where there is no apt, or not Debian's."""
    if platform.machine() != "x86_64":
        raise FetchError(
            f"kernels are fetched for x86_64, and this machine is {platform.machine()}",
            hint="boot a kernel of your own: --kernel IMAGE",
        )
    missing = [name for name in ("apt-get", "apt-cache", "dpkg", "depmod", "xz") if tool(name) is None]
    if missing or not KEYRING.exists():
        what = ", ".join(missing) or "Debian's archive keyring"
        raise FetchError(
            f"kernels are fetched from Debian's archive, which needs {what}",
            hint="install it, or boot a kernel of your own: --kernel IMAGE",
        )


def tool(name: str) -> str | None:
    """Return the path of a program, also of one for administrators."""
    return trust.find_program(name, "/usr/sbin", "/sbin")


class Archive:
    """A private apt root that knows only the backports suites of the machine's own mirror."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for directory in (
            "etc/apt/preferences.d",
            "etc/apt/apt.conf.d",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/lib/dpkg",
        ):
            (root / directory).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        address = mirror()
        lines = [f"deb [signed-by={KEYRING}] {address} {suite} main\n" for suite in SUITES]
        (root / "etc/apt/sources.list").write_text("".join(lines))
        self._options = ["-o", f"Dir={root}", "-o", f"Dir::State::status={root}/var/lib/dpkg/status"]
        self._options += ["-o", "APT::Architecture=amd64", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2"]

    def update(self) -> None:
        output = run(["apt-get", *self._options, "update"], "the list of packages could not be read")
        _refuse_unsigned(output)
        if "Failed to fetch" in output or "\nE: " in output or "\nW: Some index files failed" in output:
            raise FetchError("the list of packages could not be read", hint="check the network", detail=output)

    def names(self, pattern: str) -> list[str]:
        output = run(["apt-cache", *self._options, "--names-only", "search", pattern], "packages could not be listed")
        return [line.split(" ", 1)[0] for line in output.splitlines()]

    def parts_of(self, images: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the packages that each image's package depends on, whether the archive has them or not. From 6.19 on
        the kernel is in a package of its own, from 7.0 on so are its modules, from 7.x on its configuration too."""
        if not images:
            return {}
        output = run(["apt-cache", *self._options, "depends", *images], "its parts could not be listed")
        return parts_in_depends(output)

    def backport_of(self, package: str) -> str | None:
        """Return the newest version of a package that was built for this release of Debian, because only that finds its
        libraries here; None when the backports have none."""
        output = run(["apt-cache", *self._options, "madison", package], f"{package}'s versions could not be listed")
        versions = re.findall(r"\| +(\S+) +\|", output)
        return next((version for version in versions if f"~bpo{_debian_release()}+" in version), None)

    def download(self, packages: Sequence[str], target: Path) -> list[Path]:
        run(["apt-get", *self._options, "download", *packages], "the download failed", cwd=target)
        return sorted(target.glob("*.deb"))


def parts_in_depends(output: str) -> dict[str, tuple[str, ...]]:
    """Parse `apt-cache depends`, which puts packages that the archive lacks into angle brackets."""
    parts: dict[str, tuple[str, ...]] = {}
    image = ""
    for line in output.splitlines():
        found = re.match(r" +(?:Pre)?Depends: <?(linux-(?:base|binary|modules)-\d[^\s>]*)>?$", line)
        if found:
            parts[image] = tuple(sorted({*parts[image], found[1]}))
        elif line and not line.startswith((" ", "<")):
            image = line.strip()
            parts[image] = ()
    return parts


def mirror() -> str:
    """Return the address of the machine's own Debian mirror: the one that serves its main suite."""
    failure = "apt's sources could not be read"
    known = run(["apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)"], failure)
    mirror = mirror_in_targets(known) or mirror_in_uris(run(["apt-get", "--print-uris", "update"], failure))
    if mirror is None:
        raise FetchError("apt has no Debian mirror configured", hint="boot a kernel of your own: --kernel IMAGE")
    return mirror


def mirror_in_targets(output: str) -> str | None:
    """Find the mirror among lines of `ORIGIN CODENAME URI`: Debian's own main suite, not its security archive, and no
    third party's with the same code name."""
    rows = [line.split(" ") for line in output.splitlines()]
    return next((row[2] for row in rows if len(row) == 3 and row[0] == "Debian" and row[1].isalnum()), None)


def mirror_in_uris(output: str) -> str | None:
    """Find the mirror of a machine that has no package lists yet (a new container): where apt would get them from."""
    found = re.search(r"^'([^']+/)dists/[a-z0-9]+/InRelease'", output, re.MULTILINE)
    return found.group(1) if found else None


def run(argv: Sequence[str], failure: str, cwd: Path | None = None) -> str:
    """Run a tool and return its output. Raises FetchError with its last line when it fails."""
    program = tool(argv[0]) or argv[0]
    env = {**os.environ, "LC_ALL": "C"}
    child = subprocess.Popen(
        [program, *argv[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=cwd or "/",  # not the user's: `.` may be in PATH
        env=env,
        start_new_session=True,
        preexec_fn=lambda: descendants.die_with_parent(signal.SIGKILL),
    )
    try:
        written, _ = child.communicate(timeout=_FETCH_S)
    except BaseException as error:
        descendants.kill_group(child.pid)  # what it started would go on writing into what is removed now
        child.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise FetchError(f"{failure}: it took over {_FETCH_S:g} s", hint="check the network") from error
        raise
    output = written.decode(errors="replace")
    if child.returncode != 0:
        if "No space left" in output:
            raise DiskFull(f"{failure}: the disk is full", hint="free about 600 MB", detail=output)
        _refuse_unsigned(output)
        last = next((line for line in reversed(output.splitlines()) if line.startswith(("E:", "dpkg"))), "")
        raise FetchError(
            f"{failure}: {last or f'exit code {child.returncode}'}", hint="check the network", detail=output
        )
    return output


def _refuse_unsigned(output: str) -> None:
    """Raise FetchError when apt found no valid signature of Debian's: no fault of the network."""
    found = next((line for line in output.splitlines() if _UNSIGNED.search(line)), None)
    if found is not None:
        hint = "its packages were not signed by Debian and are not taken: use another mirror in your apt sources"
        raise FetchError(f"the list of packages cannot be trusted: {found[:300]}", hint=hint, detail=output)


def _debian_release() -> str:
    """Return the number of this Debian (12); empty elsewhere."""
    try:
        text = reading.text(Path("/etc/os-release"))
    except (OSError, ValueError):
        return ""
    found = re.search(r'^VERSION_ID="?(\d+)"?$', text, re.MULTILINE)
    return found[1] if found and "debian" in text else ""
