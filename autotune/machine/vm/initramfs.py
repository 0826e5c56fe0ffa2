# SPDX-License-Identifier: MIT
"""Writes the micro-VM's initramfs: busybox, a few modules, and an init that puts an overlay over the host's files.

virtme-ng's modules write the archive and resolve the kernel modules. Its init is not used: it waits for udev to settle
and sets up what a person at a console needs, which takes longer than the rest of the boot. Ours mounts the host's root
read-only by 9p, puts a tmpfs overlay over all of it, and starts one program. In between, it adds what belongs to the VM
and not to the host: the configuration of its kernel, which programs look for in /boot.

Of the overlay: directories of the host can be renamed (redirect_dir). Hard links of the host cannot stay together when
one is written (index needs file handles, which 9p lacks). A changed file is copied whole (no metacopy), since `writes`
reads it from the upper layer.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from autotune import durable
from autotune.errors import NoMachineError
from autotune.frozen import dataclass
from autotune.machine.vm import guest

ROOT_ALIASES = ("fs-9p", "virtio:d00000009v00001AF4")
OVERLAY_ALIASES = ("overlay",)
"""9p with its virtio transport, and overlayfs: loaded in parallel. A module that is built into the kernel resolves to
nothing."""

_DIRECTORIES = ("bin", "newroot", "dev", "proc", "sys", "lower", "up", "modules")

_INIT = r"""#!/bin/busybox sh
b=/bin/busybox
fail() {{ echo "autotune init: $*" >/dev/console; $b poweroff -f; }}
({load_overlay}
$b mount -t tmpfs -o mode=0755,size=75% tmpfs /up || fail "no tmpfs"
$b mkdir -p /up/upper /up/work /up/own/boot || fail "no memory"
[ ! -e /config ] || $b mv /config /up/own/boot/config-$($b uname -r)) &
{load_root}
$b mount -t 9p -o ro,version=9p2000.L,trans=virtio,access=any,msize=512000,cache=loose root /lower || fail "no root"
wait
r=/newroot
layers=lowerdir=/up/own:/lower,upperdir=/up/upper,workdir=/up/work
$b mount -t overlay -o xino=off,redirect_dir=on,metacopy=off,$layers overlay $r || fail "no overlay"
$b mount -t devtmpfs -o mode=0755,nosuid dev $r/dev
$b mount -t proc -o nosuid,noexec,nodev proc $r/proc
$b mount -t sysfs -o nosuid,noexec,nodev sys $r/sys
$b mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs $r/run
$b mkdir -p -m 711 $r/run/autotune
$b mkdir $r/run/autotune/upper $r/run/autotune/keep
$b mount -o bind /up/upper $r/run/autotune/upper
exec $b switch_root $r /bin/sh -c {program}
"""

_MEANWHILE = r"""b={busybox}
$b mkdir -p /dev/pts /dev/shm /run/lock /run/user
$b mount -t devpts -o gid=5,mode=620,ptmxmode=666,noexec,nosuid devpts /dev/pts
$b mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm
$b ln -sfn /proc/self/fd /dev/fd
$b ln -sfn /proc/self/fd/0 /dev/stdin
$b ln -sfn /proc/self/fd/1 /dev/stdout
$b ln -sfn /proc/self/fd/2 /dev/stderr
$b mount -t cgroup2 cgroup2 /sys/fs/cgroup
$b mount -t bpf bpf /sys/fs/bpf
{keep}
$b ifconfig lo 127.0.0.1 up
$b hostname {hostname}
: >{ready}
$b mount -t debugfs debugfs /sys/kernel/debug
$b mount -t tracefs tracefs /sys/kernel/tracing"""


@dataclass(frozen=True)
class Modules:
    """Module files to load, in order: those that the host's root needs, and overlayfs."""

    root: tuple[str, ...]
    overlay: tuple[str, ...]


def init_script(
    modules: Modules, program: Sequence[str], *, busybox: str, hostname: str, keep: bool, process_1: str = ""
) -> str:
    """Return the text of init. `program` runs as early as possible, while the rest is being mounted; when it ends, the
    VM powers off. `busybox` is its path on the host, `process_1` a name for process 1."""
    mount_keep = "$b mount -t 9p -o rw,version=9p2000.L,trans=virtio,access=any,msize=512000 keep /run/autotune/keep"
    meanwhile = _MEANWHILE.format(
        busybox=shlex.quote(busybox),
        keep=mount_keep if keep else "",
        hostname=shlex.quote(hostname),
        ready=guest.READY,
    )
    # PID 1 stays a shell: it reaps what the workload leaves behind, and powers off however the program ends.
    named = f"echo {shlex.quote(process_1)} >/proc/self/comm; " if process_1 else ""
    then_off = f"({meanwhile}) & {shlex.join(program)}; sync; echo o >/proc/sysrq-trigger; while :; do sleep 1; done"
    return _INIT.format(
        load_overlay=_insmods(modules.overlay), load_root=_insmods(modules.root), program=shlex.quote(named + then_off)
    )


def _insmods(paths: Sequence[str]) -> str:
    return "\n".join(f"$b insmod /modules/{os.path.basename(path)}" for path in paths)


def find_modules(modules_dir: Path, version: str) -> Modules:
    """Find the module files that must be loaded. Raises NoMachineError when one is compressed, which busybox's insmod
    cannot load."""
    from virtme import modfinder

    with modfinder.get_mod_path(str(modules_dir), version) as root:

        def resolve(aliases: Sequence[str]) -> tuple[str, ...]:
            found = modfinder.find_modules_from_install(aliases, root=root, kver=version)
            return tuple(os.path.realpath(path) for path in found)

        found = Modules(resolve(ROOT_ALIASES), resolve(OVERLAY_ALIASES))
    packed = [path for path in (*found.root, *found.overlay) if not path.endswith(".ko")]
    if packed:
        raise NoMachineError(
            f"kernel {version} has compressed modules: {os.path.basename(packed[0])}",
            hint="use the kernel that 'autotune vm setup' fetches, or unpack the modules",
        )
    return found


def write_initramfs(
    target: Path,
    *,
    busybox: str,
    modules: Modules,
    program: Sequence[str],
    hostname: str,
    keep: bool,
    process_1: str = "",
    config: Path | None = None,
) -> None:
    """Write the cpio archive. `config` is the kernel's configuration. Raises OSError when the disk is full."""
    from virtme import cpiowriter, mkinitramfs

    with durable.writing(target, sync=False) as out:
        archive = cpiowriter.CpioWriter(out)
        for directory in _DIRECTORIES:
            archive.mkdir(directory.encode(), 0o755)
        mkinitramfs.make_dev_nodes(archive)
        with open(busybox, "rb") as body:
            archive.write_file(b"bin/busybox", body=body, mode=0o755)
        files = {f"modules/{os.path.basename(path)}": path for path in (*modules.root, *modules.overlay)}
        for name, path in (files | ({"config": str(config)} if config else {})).items():
            with open(path, "rb") as body:
                archive.write_file(name.encode(), body=body, mode=0o644)
        script = init_script(modules, program, busybox=busybox, hostname=hostname, keep=keep, process_1=process_1)
        archive.write_file(b"init", body=script.encode(), mode=0o755)
        archive.write_trailer()
