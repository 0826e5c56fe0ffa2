# SPDX-License-Identifier: MIT
"""The record of another's scheduler."""

from __future__ import annotations

import json

from autotune.lease.other import Other
from autotune.wire import from_json, to_json
from tests.support.other_schedulers import HAND


def test_another_s_record_survives_the_wire() -> None:
    assert from_json(Other, json.loads(json.dumps(to_json(HAND)))) == HAND
