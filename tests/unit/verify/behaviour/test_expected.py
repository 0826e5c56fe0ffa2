# SPDX-License-Identifier: MIT
"""What the tasks of loads are expected to take. That the guide knows them by these numbers is seen in a real kernel, by
tests/vm/test_behaviour_shapes."""

from __future__ import annotations

import json

from autotune.knowledge import expected as kept
from autotune.verify.behaviour.expected import CHAINS_NS, FORKS, expectations, place
from autotune.wire import to_json

MOST_ARGUMENT_BYTES = 128 << 10
"""The kernel's MAX_ARG_STRLEN: the request of a load is one argument."""


def test_much_is_expected_of_some_tasks_little_of_others_and_nothing_of_the_rest() -> None:
    found = expectations()

    told = [found.chains_ns.get(str(place(number)), 0) for number in range(FORKS + 4)]
    assert set(told[:4]) == set(CHAINS_NS)
    assert 0 in told[:4]
    assert told[FORKS:] == [0] * 4
    assert found.longest_ns == max(told) <= kept.MOST_NS


def test_each_task_has_a_number_of_its_own_that_the_kernel_s_map_can_hold() -> None:
    numbers = {place(number) for number in range(FORKS)}

    assert len(numbers) == FORKS
    assert all(0 < number < 1 << 64 for number in numbers)


def test_all_of_it_fits_into_one_argument() -> None:
    assert len(json.dumps(to_json(expectations()))) < MOST_ARGUMENT_BYTES // 2
