# SPDX-License-Identifier: MIT
"""What a client asks for, as a session: within what is the user's to decide."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from autotune import config
from autotune.errors import UsageError
from autotune.mcp.requests import TuneSettings, TuningStart, session_request
from autotune.planner.assembly import contacted
from autotune.session.request import SessionRequest

SETTINGS_OF_A_CLIENT = {
    *("budget", "machine", "cpus", "memory", "runs", "warmup", "min_effect", "statistic", "seed", "planner"),
}


def asked(directory: Path, **settings: Any) -> SessionRequest:
    given = {"workload": {"command": "make"}, "settings": settings}
    return session_request(TuningStart.model_validate(given), directory)


def test_a_client_gives_no_setting_that_names_programs_services_or_money() -> None:
    assert set(TuneSettings.model_fields) == SETTINGS_OF_A_CLIENT
    for name in ("kernel", "model", "model_url", "max_cost", "prices", "scheduler_dirs", "lease"):
        assert name in config.ALL
        assert name not in SETTINGS_OF_A_CLIENT


def test_no_model_is_asked_whatever_the_users_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as model:
        model.setblocking(False)
        url = f"http://127.0.0.1:{model.getsockname()[1]}/v1"
        for name, value in {"PLANNER": "model", "MODEL": "m", "MODEL_URL": url, "MODEL_TIMEOUT": "1s"}.items():
            monkeypatch.setenv(f"AUTOTUNE_{name}", value)
        for planner in ("offline", "search"):
            with contacted(asked(tmp_path, planner=planner).settings, tmp_path) as contact:
                assert (contact.service, contact.problem) == (None, None)
        with pytest.raises(BlockingIOError):  # nobody came
            model.accept()
        with contacted(config.load({}, cwd=tmp_path, environ=os.environ), tmp_path):
            model.accept()[0].close()  # as the user's own session does


def test_the_users_limits_bind_a_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTUNE_BUDGET", "2m")
    assert asked(tmp_path, budget="60s").settings.budget == 60.0
    assert asked(tmp_path).settings.budget == 120.0
    with pytest.raises(UsageError, match="the most that this user allows is 2m"):
        asked(tmp_path, budget="24h")
