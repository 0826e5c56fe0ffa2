# SPDX-License-Identifier: MIT
"""The first files of the micro-VM: busybox, a few modules, and an init that puts an overlay over the host's files.

virtme-ng's modules write the archive and resolve the kernel modules. Its init is not used: it waits for udev to
settle and sets up what a person at a console needs, which takes longer than all the rest of the boot. Ours mounts
the host's root read-only by 9p, a tmpfs overlay over the whole of it, and starts one program.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from autotune.errors import NoMachineError

MODULE_ALIASES = ("fs-9p", "virtio:d00000009v00001AF4", "overlay")
"""9p, its virtio transport, overlayfs; what is built into a kernel resolves to nothing."""

_DIRECTORIES = ("bin", "newroot", "dev", "proc", "sys", "lower", "up", "modules")

_INIT = r"""#!/bin/busybox sh
b=/bin/busybox
fail() {{ echo "autotune init: $*" >/dev/console; $b poweroff -f; }}
{insmods}
$b mount -t 9p -o ro,version=9p2000.L,trans=virtio,access=any,msize=512000,cache=loose root /lower || fail "no root"
$b mount -t tmpfs -o mode=0755,size=75% tmpfs /up || fail "no tmpfs"
$b mkdir /up/upper /up/work
r=/newroot
$b mount -t overlay -o xino=off,lowerdir=/lower,upperdir=/up/upper,workdir=/up/work overlay $r || fail "no overlay"
$b mount -t devtmpfs -o mode=0755,nosuid dev $r/dev
$b mkdir -p $r/dev/pts $r/dev/shm
$b mount -t devpts -o gid=5,mode=620,ptmxmode=666,noexec,nosuid devpts $r/dev/pts
$b mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs $r/dev/shm
$b ln -sfn /proc/self/fd $r/dev/fd
$b ln -sfn /proc/self/fd/0 $r/dev/stdin
$b ln -sfn /proc/self/fd/1 $r/dev/stdout
$b ln -sfn /proc/self/fd/2 $r/dev/stderr
$b mount -t proc -o nosuid,noexec,nodev proc $r/proc
$b mount -t sysfs -o nosuid,noexec,nodev sys $r/sys
$b mount -t cgroup2 cgroup2 $r/sys/fs/cgroup
$b mount -t bpf bpf $r/sys/fs/bpf
$b mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs $r/run
$b mkdir -p -m 711 $r/run/autotune
$b mkdir -p $r/run/autotune/upper $r/run/autotune/keep $r/run/lock $r/run/user
$b mount -o bind /up/upper $r/run/autotune/upper
{keep}
$b ifconfig lo 127.0.0.1 up
$b hostname {hostname}
exec $b switch_root $r /bin/sh -c {program}
"""


def init_script(modules: Sequence[str], program: Sequence[str], *, hostname: str, keep: bool) -> str:
    """The text of init. `program` is run when all is mounted; when it ends, the VM powers off."""
    insmods = "\n".join(f"$b insmod /modules/{name}" for name in modules)
    mount_keep = (
        "$b mount -t 9p -o rw,version=9p2000.L,trans=virtio,access=any,msize=512000 keep $r/run/autotune/keep"
    )
    # PID 1 stays a shell: it reaps what the workload leaves behind and powers off whatever way the program ends.
    then_off = f"{shlex.join(program)}; sync; echo o >/proc/sysrq-trigger; while :; do sleep 1; done"
    return _INIT.format(
        insmods=insmods,
        keep=mount_keep if keep else "",
        hostname=shlex.quote(hostname),
        program=shlex.quote(then_off),
    )


def find_modules(modules_dir: Path, version: str) -> list[str]:
    """Module files that must be loaded, in order. Raises NoMachineError when one is compressed, which busybox's
    insmod cannot load."""
    from virtme import modfinder

    with modfinder.get_mod_path(str(modules_dir), version) as root:
        found = modfinder.find_modules_from_install(MODULE_ALIASES, root=root, kver=version)
        real = [os.path.realpath(path) for path in found]
    packed = [path for path in real if not path.endswith(".ko")]
    if packed:
        raise NoMachineError(
            f"kernel {version} has compressed modules: {os.path.basename(packed[0])}",
            hint="use the kernel that 'autotune vm setup' fetches, or unpack the modules",
        )
    return real


def write_initramfs(
    target: Path, *, busybox: str, modules: Sequence[str], program: Sequence[str], hostname: str, keep: bool
) -> None:
    """Write the cpio archive. Raises OSError when the disk is full."""
    from virtme import cpiowriter, mkinitramfs

    names = [os.path.basename(path) for path in modules]
    with target.open("wb") as out:
        archive = cpiowriter.CpioWriter(out)
        for directory in _DIRECTORIES:
            archive.mkdir(directory.encode(), 0o755)
        mkinitramfs.make_dev_nodes(archive)
        with open(busybox, "rb") as body:
            archive.write_file(b"bin/busybox", body=body, mode=0o755)
        for name, path in zip(names, modules, strict=True):
            with open(path, "rb") as body:
                archive.write_file(f"modules/{name}".encode(), body=body, mode=0o644)
        script = init_script(names, program, hostname=hostname, keep=keep)
        archive.write_file(b"init", body=script.encode(), mode=0o755)
        archive.write_trailer()
