# SPDX-License-Identifier: MIT
"""The probe: the process that loads our tracing programs, and lives on a pipe from its parent.

What always holds:
- end of file on the pipe, or the death of this process for any reason, detaches the programs: nothing is pinned;
- only the object whose digest the client names is loaded;
- what it watches is bounded in memory from the start (`bpf_src/probes/tasks.bpf.c`).

Runs as root. Standard library only.
"""

from __future__ import annotations

import os
import sys
from binascii import b2a_base64
from typing import Any

if __name__ == "__main__":
    if sys.argv[1:] == ["--probe"]:  # see autotune.privilege
        sys.exit(os.geteuid() != 0)
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from autotune.errors import AutotuneError
from autotune.observe import layout
from autotune.process import Channel, EventHandler, Message, serve
from autotune.records import RawTasks
from autotune.schedext.libbpf import BpfObject, Libbpf
from autotune.wire import to_json


class TaskProbe:
    """The operations that the client may request."""

    def __init__(self, libbpf: str | None) -> None:
        self._libbpf = libbpf
        self._object: BpfObject | None = None

    def begin(self, request: Message, _emit: EventHandler) -> Any:
        """Watch the descendants of a process from now on."""
        self.close()
        self._object = Libbpf(self._libbpf).open(request["object_path"], request["object_sha256"])
        self._object.set_knob(layout.TELL, int(request["tell_ns"]))
        self._object.load()
        self._object.put("tasks", *layout.root(int(request["pid"])))
        self._object.attach_programs()

    def end(self, _request: Message, _emit: EventHandler) -> Any:
        """Stop watching and return what was seen."""
        if self._object is None:
            raise AutotuneError("nothing is watched", stage="observe")
        self._object.detach()
        try:
            return to_json(_raw(self._object))
        finally:
            self.close()

    def close(self) -> None:
        found, self._object = self._object, None
        if found is not None:
            found.close()


def _raw(seen: BpfObject) -> RawTasks:
    counts = _text(seen, "counts", layout.COUNTS.size)
    ends, execs, turns = layout.COUNTS.unpack(_first(seen, "counts", layout.COUNTS.size))[:3]
    return RawTasks(
        counts=counts,
        ends=_text(seen, "ends", layout.END.size * min(ends, layout.MOST_ENDS)),
        execs=_text(seen, "execs", layout.EXEC.size * min(execs, layout.MOST_EXECS)),
        turns=_text(seen, "turns", layout.TURN.size * min(turns, layout.MOST_TURNS)),
    )


def _first(seen: BpfObject, name: str, amount: int) -> bytes:
    with seen.contents(name, amount) as mapped:
        return mapped[:amount]


def _text(seen: BpfObject, name: str, amount: int) -> str:
    return b2a_base64(_first(seen, name, amount), newline=False).decode()


def main() -> None:
    libbpf = sys.argv[sys.argv.index("--libbpf") + 1] if "--libbpf" in sys.argv else None
    probe = TaskProbe(libbpf)
    try:
        serve(Channel(0, 1), {"begin": probe.begin, "end": probe.end})
    finally:
        probe.close()


if __name__ == "__main__":
    main()
