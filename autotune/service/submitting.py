# SPDX-License-Identifier: MIT
"""A job from the request of a client: who it runs as, and what. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from autotune.errors import PrivilegeError
from autotune.records import Identity
from autotune.service import protocol
from autotune.service.jobs import Job
from autotune.service.running import account_name, groups_of, refuse_root


def job_of(request: Mapping[str, Any], peer: Identity) -> Job:
    """Return the job. It runs as the peer; root names the user, and never is that itself. What is in the words is for
    `autotune cc`, which reads them as that user. Raises UsageError, PrivilegeError."""
    owner = owner_of(request, peer)
    refuse_root(owner)
    if os.geteuid() not in (0, owner.uid):
        raise PrivilegeError(f"this daemon runs sessions of user {os.geteuid()} only", stage=protocol.STAGE)
    return Job(
        id=0,
        owner=owner,
        user=account_name(owner.uid),
        command=protocol.text(request, "command"),
        words=protocol.words(request, "words"),
        cwd=protocol.directory(request, "cwd"),
        report=protocol.text(request, "report", most=4096, default=""),
        env=protocol.variables(request, "env"),
    )


def owner_of(request: Mapping[str, Any], peer: Identity) -> Identity:
    """Return the peer, or the user that root submits for. Raises UsageError."""
    if peer.uid != 0 or request.get("uid") is None:
        return peer
    uid, gid = protocol.number(request, "uid"), protocol.number(request, "gid")
    return Identity(uid, gid, tuple(groups_of(Identity(uid, gid))))
