# SPDX-License-Identifier: MIT
"""Who connected, as the kernel says, and who may."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.errors import PrivilegeError, UsageError
from autotune.records import Identity
from autotune.service import peers
from autotune.service.peers import Gate, PeerProcess


def connected_by(become: Callable[[], None]) -> PeerProcess:
    """Who the kernel says connected, from a process that became somebody first."""
    ours, theirs = os.pipe()
    name = f"\0autotune-test-{os.getpid()}-{ours}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
        listening.listen()
        pid = os.fork()
        if pid == 0:
            try:
                become()
                with socket.socket(socket.AF_UNIX) as one:
                    one.connect(name)
                    os.read(ours, 1)
            finally:
                os._exit(0)
        with listening.accept()[0] as accepted:
            found = peers.of(accepted)
        os.write(theirs, b"x")
        os.waitpid(pid, 0)
    os.close(ours)
    os.close(theirs)
    assert found.pid == pid
    return found


def test_one_of_our_own_is_known() -> None:
    found = connected_by(lambda: None).identity
    assert (found.uid, found.gid) == (os.geteuid(), os.getegid())
    assert set(found.groups) == set(os.getgroups())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_known_with_all_groups() -> None:
    def become() -> None:
        os.setgroups([7, 4250])
        os.setresgid(4242, 4242, 4242)
        os.setresuid(4242, 4242, 4242)

    assert connected_by(become).identity == Identity(4242, 4242, (7, 4250))


def test_more_groups_than_python_asks_for_are_none_and_no_error() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can have groups")
    assert connected_by(lambda: os.setgroups(list(range(5000, 6000)))).identity.groups == ()


IDS = st.integers(1, 1 << 31)


@given(uid=IDS, gid=IDS, groups=st.lists(IDS, max_size=5), allowed=st.none() | IDS)
def test_only_root_the_services_user_and_its_group_may(
    uid: int, gid: int, groups: list[int], allowed: int | None
) -> None:
    peer = PeerProcess(1, Identity(uid, gid, tuple(groups)))
    may = uid == os.geteuid() or allowed in (gid, *groups)
    with contextlib.nullcontext() if may else pytest.raises(PrivilegeError, match=f"user {uid} may not"):
        Gate(allowed).require(peer)


def test_root_may_always() -> None:
    Gate().require(PeerProcess(1, Identity(0, 0)))


def test_a_group_that_is_not_there_is_an_error_that_says_how_to_make_it() -> None:
    assert peers.group_id("root") == 0
    assert peers.group_id("54321") == 54321
    for name in ("no-such-group", "-1", "1.5", "99999999999"):
        with pytest.raises(UsageError, match="there is no group") as caught:
            peers.group_id(name)
        assert "groupadd" in caught.value.hint
