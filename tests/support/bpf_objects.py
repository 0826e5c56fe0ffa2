# SPDX-License-Identifier: MIT
"""What the tests of libbpf and the holder share: a libbpf that is new enough, and small BPF objects.

The objects need no kernel types: they are opened and inspected here, and loaded only in the VM's tests.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from autotune.errors import AttachError, AutotuneError
from autotune.machine.vm import kernels
from autotune.schedext.build import newest_clang
from autotune.schedext.libbpf import Libbpf

SCHEDULER = """
#define SEC(name) __attribute__((section(name), used))
typedef _Bool flag_t;
enum mode { MODE_OFF, MODE_ON = 5, MODE_AUTO = -1 };
enum plain { PLAIN_ZERO, PLAIN_ONE };
struct sched_ext_ops { long (*enqueue)(void); unsigned long long flags; char name[128]; };

const volatile _Bool partial = 0;
const volatile flag_t keep_local = 1;
const volatile unsigned long long slice_us = 5000;
const volatile int shift = -3;
const volatile unsigned char level = 7;
const volatile signed char tiny = -1;
const volatile unsigned short width = 300;
const volatile long long far = -9000000000;
const volatile enum mode mode = MODE_ON;
const volatile enum plain plain = PLAIN_ONE;
const volatile double ratio = 0.5;
const volatile float share = 0.25f;
const volatile unsigned int table[4] = {1, 2, 3, 4};
const unsigned int constant SEC(".rodata") = 42;
struct { unsigned long long kind; long long code; char reason[128]; char msg[1024]; } at_exit SEC(".data.at_exit");
SEC(".struct_ops.link") struct sched_ext_ops at_test_ops = { .flags = 1, .name = "at_test" };
"""


def libbpf() -> str | None:
    """The library to test with: that of AUTOTUNE_LIBBPF, the fetched one, or (None) the system's. Skips without
    any, and fails instead where the machine must have one (AUTOTUNE_REQUIRE_VM)."""
    fetched = [str(kernel.libbpf) for kernel in kernels.installed() if kernel.libbpf is not None]
    for path in (os.environ.get("AUTOTUNE_LIBBPF"), *fetched, None):
        try:
            Libbpf(path)
        except AttachError:
            continue
        return path
    return _missing("no libbpf 1.4 or later: run 'autotune vm setup' or set AUTOTUNE_LIBBPF")


def compiled(source: str, target: Path) -> Path:
    """`source` as a BPF object at `target`. Skips without clang, as `libbpf` does without a library."""
    try:
        clang = newest_clang()
    except AutotuneError as error:
        _missing(str(error))
    argv = [clang.path, "-target", "bpf", "-mcpu=v3", "-g", "-O2", "-x", "c", "-", "-c", "-o", str(target)]
    subprocess.run(argv, input=source.encode(), check=True)
    return target


def _missing(what: str) -> NoReturn:
    if os.environ.get("AUTOTUNE_REQUIRE_VM") == "1":
        pytest.fail(what)
    pytest.skip(what)
