# SPDX-License-Identifier: MIT
"""Checks of what autotune needs: small functions, collected here, rendered elsewhere.

They use no network, leave nothing running, and take well under a second together.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from autotune import privilege, reading, resources, trust
from autotune.errors import AutotuneError
from autotune.lease import loaders, others
from autotune.lease.other import Other
from autotune.machine import ways
from autotune.machine.vm import healing, kernels, kvm, microvm
from autotune.schedext import build, kernel, libbpf
from autotune.views.checks import Check

BOTH: tuple[str, ...] = ("host", "vm")
HOST: tuple[str, ...] = ("host",)
VM: tuple[str, ...] = ("vm",)
OPTIONAL: tuple[str, ...] = ()
"""Machines that a requirement is for; without an optional one, nothing fails."""
LEAST_FREE_BYTES = 1 << 30
LEAST_MEMORY_BYTES = 1 << 30
MOST_WRONG = 5
"""Most problems of the settings that are named."""


def collect() -> list[Check]:
    """Run all checks, in the order in which a person would fix them."""
    return [check() for check in CHECKS]


def can_run(checks: Iterable[Check]) -> dict[str, bool]:
    """Return whether `host` and `vm` can run sched_ext schedulers."""
    rows = list(checks)
    return {name: all(row.found for row in rows if name in row.required_for) for name in ("host", "vm")}


# --- both ------------------------------------------------------------------------------------------------


def _python() -> Check:
    found = sys.version_info >= (3, 10)
    return Check("Python", found, platform.python_version(), "running autotune", "install Python 3.10 or later", BOTH)


def _clang() -> Check:
    try:
        clang = build.newest_clang()
    except AutotuneError as error:
        return Check("clang", False, error.message, "compiling BPF schedulers", "apt-get install clang-19", BOTH)
    return Check("clang", True, f"{clang.version} ({clang.path})", "compiling BPF schedulers", "", BOTH)


def _fetched() -> kernels.Kernel | None:
    return next(iter(kernels.installed()), None)


def _headers() -> Check:
    purpose = "kernel types for BPF"
    fetched = _fetched()
    try:
        found = build.find_headers(fetched.headers if fetched else None)
    except AutotuneError as error:
        return Check("vmlinux.h", False, error.message, purpose, _SETUP, BOTH)
    return Check("vmlinux.h", True, str(found), purpose, "", BOTH)


def _objects() -> Check:
    """Check the compiled schedulers that are kept."""
    bad = build.damaged_objects()
    purpose = "schedulers that are compiled already"
    if not bad:
        return Check("BPF objects", True, "none is damaged", purpose, "", OPTIONAL)
    detail = f"{len(bad)} damaged, such as {bad[0].name}; compiled anew at the next use"
    return Check("BPF objects", False, detail, purpose, f"rm {bad[0]}", OPTIONAL)


def _libbpf() -> Check:
    fetched = _fetched()
    try:
        found = libbpf.Libbpf(str(fetched.libbpf) if fetched and fetched.libbpf else None)
    except AutotuneError as error:
        return Check("libbpf", False, error.message, "loading BPF schedulers", _SETUP, BOTH)
    return Check("libbpf", True, found.version, "loading BPF schedulers", "", BOTH)


_SETUP = "autotune vm setup"


# --- the host --------------------------------------------------------------------------------------------


def _sched_ext() -> Check:
    state = kernel.read_state()
    there, release = state.state != kernel.UNSUPPORTED, platform.release()
    found = there and not kernel.too_old(release)
    detail = f"{release}: {state.state}" if found else f"{release} is too old" if there else f"{release} has none"
    fault = _fault(build.KERNEL_BTF) if found else None
    found, detail = (False, f"{release}: {fault}") if fault else (found, detail)
    fix = f"boot Linux {kernel.LEAST_KERNEL} or later"
    return Check("sched_ext", found, detail, "running schedulers on the host itself", fix, HOST)


def _nothing_attached() -> Check:
    other = others.look()
    detail = "none" if other is None else other.sentence
    purpose = "another scheduler must be stopped first"
    return Check("other scheduler", other is None, detail, purpose, _end_of(other), HOST)


def _end_of(other: Other | None) -> str:
    """Return the command that ends the other scheduler, and the alternative."""
    if other is None or other.origin == "unknown":
        return "stop it, or use --machine vm"
    if other.origin == "autotune":
        return "autotune stop, or wait for it to end"
    by_hand = f"kill -INT {other.pid}"
    ends = {"scx_loader": "scxctl stop", "scx.service": f"systemctl stop {other.unit or loaders.SERVICE}"}
    return f"--replace-current, or: {ends.get(other.origin, by_hand)}"


def _root() -> Check:
    found = ways.way()
    return Check("root", found.name is not None, found.text, "switching schedulers on the host", privilege.HINT, HOST)


# --- the micro-VM ----------------------------------------------------------------------------------------


def _program(name: str, package: str, purpose: str) -> Callable[[], Check]:
    def check() -> Check:
        path = trust.find_program(name, "/usr/sbin", "/sbin")
        return Check(name, path is not None, path or "not found", purpose, f"apt-get install {package}", VM)

    return check


def _virtme() -> Check:
    try:
        version = importlib.metadata.version("virtme-ng")
    except importlib.metadata.PackageNotFoundError:
        return Check("virtme-ng", False, "not found", "building the micro-VM", "pip install virtme-ng", VM)
    return Check("virtme-ng", True, version, "building the micro-VM", "", VM)


def _vm_kernel() -> Check:
    try:
        found = kernels.find(None)
    except AutotuneError as error:
        return Check("VM kernel", False, error.message, "the micro-VM boots it", _SETUP, VM)
    damage = healing.damage_of(found)
    if damage is not None:
        return Check("VM kernel", False, f"{found.version} is damaged: {damage}", "the micro-VM boots it", _SETUP, VM)
    looked_at = found.source == "fetched"  # checked when it was fetched; it takes a while
    fault = _fault(found.unpacked) if found.unpacked and not looked_at else None
    detail = f"{found.version} ({found.source}){f': {fault}' if fault else ''}"
    return Check("VM kernel", fault is None, detail, "the micro-VM boots it", _SETUP if fault else "", VM)


def _fault(kernel: Path) -> str | None:
    """Return why no scheduler can be loaded into a kernel; None if one can, or if the file cannot be read."""
    try:
        return kernels.fault_of(reading.data(kernel, most_bytes=reading.MOST_IMAGE_BYTES))
    except OSError:
        return None


_EMULATED = "; emulation is used instead"


def _kvm() -> Check:
    purpose = "a fast micro-VM"
    if not kvm.usable_device():
        return Check("KVM", False, "/dev/kvm cannot be opened", purpose, "adduser USER kvm", OPTIONAL)
    try:
        found = kernels.find(None)
        version, program = found.version, microvm.qemu_program(found)[0]
    except AutotuneError:
        version = program = ""
    answer = kvm.KvmResults().recall(version, program)
    detail = {True: "a boot has proven it", False: "does not boot here", None: "not tried yet"}[answer]
    return Check("KVM", answer is not False, f"{detail}{_EMULATED if answer is False else ''}", purpose, "", OPTIONAL)


# --- optional --------------------------------------------------------------------------------------------


def _user_namespaces() -> Check:
    purpose = "--pristine on the host as an ordinary user"
    limit = _number(Path("/proc/sys/user/max_user_namespaces"))
    debian = _number(Path("/proc/sys/kernel/unprivileged_userns_clone"))
    found = limit != 0 and debian != 0
    return Check(
        "user namespaces",
        found,
        "allowed" if found else "not allowed",
        purpose,
        "sysctl kernel.unprivileged_userns_clone=1",
        OPTIONAL,
    )


def _programs() -> Check:
    """Count the scx programs; their versions are left out, since they take too long to read."""
    from autotune.schedext.catalogue.catalog import Catalog
    from autotune.schedext.programs import binaries

    purpose = "trying scx schedulers ('autotune schedulers' lists them)"
    known = [one for one in Catalog.load().schedulers if one.kind == "binary"]
    try:
        places = binaries.here()
    except AutotuneError as error:
        return Check("scx programs", False, error.message, purpose, error.hint, OPTIONAL)
    found = problems = 0
    for one in known:
        try:
            found += binaries.find(one, places=places) is not None
        except AutotuneError:
            problems += 1
    detail = f"{found} of {len(known)}{f'; {problems} cannot be trusted' if problems else ''}"
    return Check("scx programs", found > 0, detail, purpose, "autotune schedulers install scx_bpfland", OPTIONAL)


def _claude() -> Check:
    from autotune.planner.claude import credentials

    purpose = "planning with a model"
    try:
        found = credentials.require("auto", _directory(), os.environ)
    except AutotuneError as error:
        return Check("Claude", False, f"{error.message}; the offline planner is used", purpose, error.hint, OPTIONAL)
    return Check("Claude", True, found.origin, purpose, f"set {credentials.KEY}", OPTIONAL)


def _search() -> Check:
    from autotune.planner import knob_model

    there, missing = knob_model.available(), "optuna is not installed; knobs are varied one at a time"
    return Check("search", there, "optuna" if there else missing, "searching knobs", knob_model.INSTALL, OPTIONAL)


def _directory() -> Path:
    """Return the current directory; the root when it is gone, which configures nothing."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def _settings() -> Check:
    """Name what is wrong with the settings: a session would end with it."""
    from autotune import config

    wrong = [error.message for error in config.problems(_directory(), os.environ)]
    more = f"; and {len(wrong) - MOST_WRONG} more" if len(wrong) > MOST_WRONG else ""
    detail = "; ".join(wrong[:MOST_WRONG]) + more if wrong else "valid"
    return Check("settings", not wrong, detail, "defaults of sessions here", "see docs/SETTINGS.md", OPTIONAL)


def _sandbox() -> Check:
    """Run the sandbox once: not every kernel shows that it forbids user namespaces."""
    from autotune.verify import sandbox

    purpose = "verifying generated schedulers"
    try:
        done = sandbox.run(["true"], shown={})
    except AutotuneError as error:
        return Check("sandbox", False, error.message, purpose, "apt-get install bubblewrap", OPTIONAL)
    weaker = "".join(f"; {clause}" for clause in sandbox.hardening().missing)
    detail = f"bubblewrap{weaker}" if done.exit_code == 0 else done.stderr.decode(errors="replace").strip()[:100]
    return Check("sandbox", done.exit_code == 0, detail, purpose, "allow user namespaces", OPTIONAL)


def _disk() -> Check:
    place = resources.cache_dir()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = free >= LEAST_FREE_BYTES
    return Check("disk", found, f"{free >> 20} MiB free", "keeping kernels and objects", "free 1 GiB", OPTIONAL)


def _memory() -> Check:
    import psutil

    available = int(psutil.virtual_memory().available)
    found = available >= LEAST_MEMORY_BYTES
    return Check("memory", found, f"{available >> 20} MiB available", "the micro-VM's disk", "free 1 GiB", OPTIONAL)


def _quiet() -> Check:
    load, cpus = os.getloadavg()[0], os.cpu_count() or 1
    found = load < 0.5 * cpus
    return Check("quiet machine", found, f"load {load:.1f} on {cpus} CPUs", "less noise", "stop other work", OPTIONAL)


def _governor() -> Check:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    try:
        governor = path.read_text().strip()
    except OSError:
        governor = "none"
    found = governor in ("none", "performance")
    fix = "cpupower frequency-set -g performance"
    return Check("CPU governor", found, governor, "a steady CPU clock", fix, OPTIONAL)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


CHECKS: tuple[Callable[[], Check], ...] = (
    _python,
    _clang,
    _headers,
    _libbpf,
    _sched_ext,
    _root,
    _nothing_attached,
    _program("qemu-system-x86_64", "qemu-system-x86", "running the micro-VM"),
    _virtme,
    _program("busybox", "busybox-static", "the micro-VM's first program"),
    _program("modprobe", "kmod", "finding kernel modules"),
    _program("setpriv", "util-linux", "stops the micro-VM when autotune exits"),
    _vm_kernel,
    _kvm,
    _user_namespaces,
    _sandbox,
    _objects,
    _programs,
    _settings,
    _claude,
    _search,
    _disk,
    _memory,
    _quiet,
    _governor,
)
