# SPDX-License-Identifier: MIT
"""A helper of the service (`service/leases.py`): finds what attaching a scheduler of the catalogue takes.

It is asked for a scheduler with settings (`at_fifo:slice_us=5000`) and perhaps the hash of an object, and answers with
the spec and the library to load it with. It ends when its pipe does.

All comes from the files of its own user, which is root: the catalogue, the objects that it builds from our own sources,
the programs that only root could change, and the generated schedulers that root itself verified. A generated one must
also have passed its canary on this host: a client need not watch it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from autotune.canary.strikes import Strikes
from autotune.errors import AttachError, UsageError
from autotune.machine.vm import healing
from autotune.process import Channel, Message, serve
from autotune.records import AttachSpec
from autotune.schedext.catalogue import custom
from autotune.schedext.resolve import CatalogResolver
from autotune.wire import to_json


class CatalogFinder:
    """What finds schedulers for as long as this process lives: the catalogue and the fetched kernel set are looked at
    once, since that takes seconds where a machine is emulated."""

    def __init__(self, strikes: Strikes | None = None) -> None:
        self._strikes = strikes or Strikes()
        self._fetched = healing.sound_parts(lambda _text: None)
        self._catalog = custom.catalog()
        headers = str(self._fetched.headers) if self._fetched and self._fetched.headers else None
        self._resolve = CatalogResolver(headers, self._catalog)

    def answer(self, asked: Message) -> dict[str, Any]:
        """Return the spec and the library. Raises AutotuneError when there is no such scheduler, or it may not be
        attached for a client."""
        name = asked["scheduler"]
        spec = self._resolve(self._catalog.parse_candidate(name))
        if spec.generated:
            _require_proven(spec, name.removeprefix("custom:").partition(":")[0], self._strikes)
        wanted = asked.get("sha256")
        if wanted is not None and wanted != spec.object_sha256:
            hint = "root must verify that very source"
            raise UsageError(f"{name} of the daemon is not the one that you have", hint=hint)
        libbpf = str(self._fetched.libbpf) if self._fetched and self._fetched.libbpf else None
        return {"spec": to_json(spec), "libbpf": libbpf}


def _require_proven(spec: AttachSpec, name: str, strikes: Strikes) -> None:
    digest = spec.object_sha256 or ""
    if strikes.is_barred(digest):
        raise AttachError(
            f"{spec.ops} was detached three times on this host", hint="write a better one", stage="canary"
        )
    if not strikes.passed(digest, os.uname().release):
        raise AttachError(
            f"{spec.ops} has not passed its canary on this host and kernel",
            hint=f"as root: autotune apply custom:{name}, and end it",
            stage="canary",
        )


def main() -> None:
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    finding = CatalogFinder()
    serve(Channel(requests, answers), {"resolve": lambda request, _emit: finding.answer(request)})


if __name__ == "__main__":
    main()
