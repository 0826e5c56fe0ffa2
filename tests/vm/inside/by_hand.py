# SPDX-License-Identifier: MIT
"""Runs inside the VM: a scheduler as somebody else starts one. Attaches an object of ours with libbpf and stays until
SIGINT.

usage: by_hand.py OPS OBJECT LIBBPF
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from autotune.schedext.libbpf import Libbpf

_ops, path, libbpf, *_rest = sys.argv[1:]
found = Libbpf(libbpf).open(path)
found.load()
found.attach()
try:
    signal.pause()
except KeyboardInterrupt:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    found.detach()
