# SPDX-License-Identifier: MIT
"""What schedulers are told to expect of the workload's tasks: nothing until a run was watched, then what it showed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from autotune.deadline import Deadline
from autotune.errors import BuildError
from autotune.machine.base import Machine
from autotune.observe.decode import TasksSeen
from autotune.observe.expectations import expect
from autotune.records import AttachSpec, Candidate, Expectations, GuideSpec
from autotune.schedext import build

MakeGuide = Callable[[Expectations], GuideSpec]
"""Finds or builds the guide. Raises BuildError."""
Merge = Callable[[Expectations], Expectations]
Resolver = Callable[[Candidate], AttachSpec]


class Guiding:
    """The guide of one session, which is attached beside each scheduler that asks for it."""

    def __init__(self, make: MakeGuide, merge: Merge = lambda seen: seen) -> None:
        """`merge` keeps what a run showed with what earlier sessions saw, and returns the whole."""
        self._make = make
        self._merge = merge
        self._guide: GuideSpec | None = None

    @property
    def expectations(self) -> Expectations | None:
        """What is expected; None as long as nothing is."""
        return None if self._guide is None else self._guide.expectations

    def learn(self, seen: TasksSeen) -> str | None:
        """Expect of later runs what was seen. Return why that cannot be; None when it can, or nothing was seen that
        could be expected."""
        found = expect(seen)
        return self.use(self._merge(found)) if found.chains_ns else None

    def use(self, expected: Expectations) -> str | None:
        """Expect this of later runs. Return why that cannot be; None when it can, or nothing is expected."""
        if not expected.chains_ns:
            return None
        try:
            self._guide = self._make(expected)
        except BuildError as error:
            return str(error)
        return None

    def applied(self, spec: AttachSpec) -> AttachSpec:
        """Return how to attach a scheduler with the guide beside it; a program cannot ask for one."""
        return spec if self._guide is None or spec.program is not None else replace(spec, guide=self._guide)

    def resolver(self, resolve: Resolver) -> Resolver:
        """Return the resolver that adds the guide, for whoever attaches schedulers outside of trials."""
        return lambda candidate: self.applied(resolve(candidate))


def compiled(machine: Machine, deadline: Deadline, expected: Expectations) -> GuideSpec:
    """Compile the guide for this machine's kernel, or take it from the cache. Raises BuildError."""
    headers = Path(machine.headers) if machine.headers else None
    return build.guide(expected, headers=headers, limit_s=deadline.bound(build.COMPILE_S))
