# SPDX-License-Identifier: MIT
"""A seccomp filter with the system calls that a compiler and an interpreter need.

An allow-list: what it does not name fails with ENOSYS, as in a kernel without the call, which a C library knows how to
do without (clone3, for one, becomes clone). Nothing here opens a way to another kernel subsystem: no sockets, keys,
io_uring, BPF, perf events, userfaultfd, tracing of processes, mounts or namespaces, nor a call that is newer than this
list. libseccomp, which is there wherever bubblewrap or QEMU is, knows the numbers of each architecture, and closes the
ways around a filter (a call by another ABI of the same CPU kills the program).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from functools import cache

LIBRARY = "libseccomp.so.2"
FILES = """
    access faccessat faccessat2 chdir fchdir getcwd close close_range dup dup2 dup3 fcntl flock open openat openat2
    read pread64 readv preadv write pwrite64 writev lseek fsync fdatasync ftruncate truncate fallocate fadvise64
    stat lstat fstat newfstatat statx statfs fstatfs readlink readlinkat getdents getdents64 getxattr lgetxattr
    mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 chmod fchmod fchmodat utimensat umask
    pipe pipe2 poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 signalfd4 sendfile
"""
MEMORY = "brk mmap munmap mremap mprotect madvise membarrier getrandom"
PROCESSES = """
    execve exit exit_group vfork fork wait4 waitid getpid getppid gettid getpgrp getpgid getsid setpgid
    getuid geteuid getgid getegid getresuid getresgid getgroups kill tgkill rt_sigaction rt_sigprocmask rt_sigreturn
    rt_sigpending rt_sigsuspend rt_sigtimedwait sigaltstack restart_syscall arch_prctl set_tid_address set_robust_list
    get_robust_list rseq futex futex_time64 sched_yield sched_getaffinity getcpu getpriority getrusage getrlimit
    setrlimit prlimit64 times uname sysinfo
"""
CLOCKS = "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time alarm getitimer setitimer"
ALLOWED = tuple(f"{FILES} {MEMORY} {PROCESSES} {CLOCKS}".split())

NAMESPACES = 0x7E020000
"""All CLONE_NEW* flags that clone takes: include/uapi/linux/sched.h."""
IOCTLS = (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONCLEX, FIOCLEX: what programs ask of their standard streams."""

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_EQUAL, _MASKED_EQUAL = 4, 7
_UNKNOWN = -1


class _Condition(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)
    )  # fmt: skip


class FilterError(Exception):
    """No filter can be made; the message is why, as a clause."""


@cache
def compiler_filter() -> bytes:
    """Return the filter as a BPF program for this architecture. Raises FilterError."""
    library = _library()
    context = library.seccomp_init(ctypes.c_uint32(_ERRNO | errno.ENOSYS))
    if not context:
        raise FilterError("libseccomp does not know this machine")
    context = ctypes.c_void_p(context)
    try:
        for name in ALLOWED:
            _allow(library, context, name)
        _allow(library, context, "clone", _Condition(0, _MASKED_EQUAL, NAMESPACES, 0))
        for request in IOCTLS:
            _allow(library, context, "ioctl", _Condition(1, _EQUAL, request, 0))
        return _exported(library, context)
    finally:
        library.seccomp_release(context)


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
        library.seccomp_init.restype = ctypes.c_void_p
    except (OSError, AttributeError) as error:
        raise FilterError("libseccomp is not installed") from error
    return library


def _allow(library: ctypes.CDLL, context: ctypes.c_void_p, name: str, *conditions: _Condition) -> None:
    """Add a call. One that this architecture or this libseccomp does not know is left out, and so refused."""
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number == _UNKNOWN:
        return
    array = (_Condition * max(1, len(conditions)))(*conditions)
    code = library.seccomp_rule_add_array(context, ctypes.c_uint32(_ALLOW), number, len(conditions), array)
    if code not in (0, -errno.EDOM):  # EDOM: an old call that newer architectures never had
        raise FilterError(f"libseccomp refused {name}: {os.strerror(-code)}")


def _exported(library: ctypes.CDLL, context: ctypes.c_void_p) -> bytes:
    fd = os.memfd_create("autotune-filter")
    try:
        code = library.seccomp_export_bpf(context, fd)
        size = os.fstat(fd).st_size
        if code != 0 or not size or size % struct.calcsize("HBBI"):
            raise FilterError(f"libseccomp could not write the filter: {os.strerror(-code)}")
        return os.pread(fd, size, 0)
    finally:
        os.close(fd)
