# SPDX-License-Identifier: MIT
"""The service on a host whose kernel has sched_ext, played by the VM: real schedulers, real users, a hostile one."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.machine.vm.resilient import ResilientVM
from tests.support.guest import guest_json

pytestmark = [pytest.mark.vm, pytest.mark.slow]


@pytest.fixture(scope="module")
def seen(vm: ResilientVM) -> Any:
    return guest_json(vm, "daemon_host.py", timeout_s=900.0)


def test_dump(seen: Any) -> None:
    import json

    print(json.dumps(seen, indent=1))
