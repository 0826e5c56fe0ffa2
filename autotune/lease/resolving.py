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


def answer(asked: Message, strikes: Strikes | None = None) -> dict[str, Any]:
    """Return the spec and the library. Raises AutotuneError when there is no such scheduler, or it may not be attached
    for a client."""
    fetched = healing.sound_parts(lambda _text: None)
    headers = str(fetched.headers) if fetched and fetched.headers else None
    catalog = custom.catalog()
    spec = CatalogResolver(headers, catalog)(catalog.parse_candidate(asked["scheduler"]))
    if spec.generated:
        _require_proven(spec, asked["scheduler"].partition(":")[2], strikes or Strikes())
    wanted = asked.get("sha256")
    if wanted is not None and wanted != spec.object_sha256:
        raise UsageError(
            f"{asked['scheduler']} of the daemon is not the one that you have", hint="root must verify that very source"
        )
    libbpf = str(fetched.libbpf) if fetched and fetched.libbpf else None
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
    serve(Channel(requests, answers), {"resolve": lambda request, _emit: answer(request)})


if __name__ == "__main__":
    main()
