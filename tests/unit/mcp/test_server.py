# SPDX-License-Identifier: MIT
"""The server as the package's own client sees it, by the newest protocol and by the handshake of older ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError

from autotune.mcp import server
from autotune.mcp.jobs import Allowance
from autotune.tools import toolbox
from tests.support.mcp_client import MODES, AtTheClient, connected, data, refusal, run

pytestmark = pytest.mark.slow

TUNE: dict[str, Any] = {"workload": {"command": "make"}, "settings": {"seed": "3"}, "candidates": ["at_fifo"]}


@pytest.mark.parametrize("mode", MODES)
def test_the_tools_are_those_of_our_own_loop_with_the_same_words_and_ours(tmp_path: Path, mode: str) -> None:
    async def work() -> None:
        async with connected(tmp_path, mode=mode) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        shared = [tool for tool in toolbox.TOOLS if tool.name != toolbox.SUBMIT]
        assert {tool.name for tool in shared} <= tools.keys()
        for tool in shared:
            offered = tools[tool.name]
            assert (offered.description or "").startswith(tool.description)
            assert offered.output_schema is not None
        assert len(json.dumps([tool.model_dump(mode="json") for tool in tools.values()])) < 48_000

    run(work)


def test_the_arguments_of_schedcp_are_taken_without_ours(tmp_path: Path) -> None:
    async def work() -> None:
        async with connected(tmp_path, allowed=["switch"]) as client:
            tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
            started = data(await client.call_tool("run_scheduler", {"name": "at_fifo"}))
            status = data(await client.call_tool("get_execution_status", {"execution_id": started["execution_id"]}))
            stopped = data(await client.call_tool("stop_scheduler", {"execution_id": started["execution_id"]}))
        assert set(tools["create_and_verify_scheduler"]["required"]) == {
            "name", "source_code", "description", "algorithm", "use_cases", "characteristics", "limitations",
            "performance_profile",
        }  # fmt: skip
        assert (started["status"], status["status"], stopped["status"]) == ("started", "running", "stopped")

    run(work)


def test_long_lists_come_in_pages_that_together_are_the_list(tmp_path: Path) -> None:
    async def work() -> None:
        names: list[str] = []
        offset: int | None = 0
        async with connected(tmp_path) as client:
            while offset is not None:
                page = data(await client.call_tool("list_schedulers", {"offset": offset}))
                names += [one["name"] for one in page["schedulers"]]
                offset = page.get("next_offset")
        assert len(names) == len(set(names)) == page["total"]
        assert "at_fifo" in names

    run(work)


@pytest.mark.parametrize("mode", MODES)
def test_a_tuning_asks_first_runs_on_and_its_verdict_is_known_afterwards(tmp_path: Path, mode: str) -> None:
    asked = AtTheClient()
    steps: list[str | None] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        assert progress >= 0
        assert total is None
        steps.append(message)

    async def work() -> None:
        async with connected(tmp_path, mode=mode, asked=asked) as client:
            seen = data(await client.call_tool("tuning_start", TUNE))
            assert seen["status"] == "running"
            while seen["status"] == "running":
                wait = {"id": seen["id"], "wait_s": 25}
                seen = data(await client.call_tool("tuning_status", wait, progress_callback=progressed))
            found = data(await client.call_tool("history_search", {"query": "make"}))
            nearest = data(await client.call_tool("history_search", {"query": "make nonsuch"}))
            best = data(await client.call_tool("best_known", {"command": "make"}))
            watched = data(await client.call_tool("observe_workload", {"command": "make"}))
            report = (await client.read_resource("autotune://reports/last")).contents[0]
        assert seen["status"] == "finished", seen
        assert seen["winner"] == "at_fifo"
        assert [row["verdict"] for row in seen["results"]] == ["faster", None]
        assert "at_fifo" in seen["report"]
        assert (found["has_all_words"], nearest["has_all_words"]) == (True, False)
        assert [one["command"] for one in nearest["sessions"]] == [one["command"] for one in found["sessions"]]
        assert found["sessions"][0]["winner"] == best["best"]["scheduler"] == "at_fifo"
        assert "tasks" in json.dumps(watched)
        assert "at_fifo" in report.text  # type: ignore[union-attr]

    run(work)
    assert steps
    (question,) = asked.questions
    assert "command: make" in question
    assert str(tmp_path) in question


@pytest.mark.parametrize("mode", MODES)
def test_what_is_declined_or_cannot_be_asked_is_not_done(tmp_path: Path, mode: str) -> None:
    async def work() -> None:
        async with connected(tmp_path, mode=mode, asked=AtTheClient("decline")) as client:
            assert "did not agree" in refusal(await client.call_tool("tuning_start", TUNE))
        async with connected(tmp_path, mode=mode) as client:
            assert "--allow-run" in refusal(await client.call_tool("tuning_start", TUNE))
            assert "none yet" in refusal(await client.call_tool("tuning_status", {"id": "tune-1"}))

    run(work)


def test_a_question_that_nobody_answers_is_no_consent_and_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(AtTheClient):
        async def answer(self, context: Any, params: Any) -> Any:
            del context, params
            await anyio.sleep_forever()

    monkeypatch.setattr(server, "ANSWER_WITHIN_S", 0.2)

    async def work() -> None:
        async with connected(tmp_path, mode="legacy", asked=Away()) as client:
            answer = refusal(await client.call_tool("tuning_start", TUNE))
            assert "did not answer within" in answer
            assert "bug" not in answer
            assert "none yet" in refusal(await client.call_tool("tuning_status", {"id": "tune-1"}))

    run(work)


def test_a_client_that_loops_is_bounded(tmp_path: Path) -> None:
    async def work() -> None:
        allowance = Allowance(sessions=1)
        async with connected(tmp_path, allowed=["run"], allowance=allowance) as client:
            first = data(await client.call_tool("tuning_start", TUNE))
            assert "is running" in refusal(await client.call_tool("tuning_start", TUNE))
            await client.call_tool("tuning_stop", {"id": first["id"]})
            status = "stopping"
            while status == "stopping":
                status = data(await client.call_tool("tuning_status", {"id": first["id"], "wait_s": 5}))["status"]
            assert "--max-sessions" in refusal(await client.call_tool("tuning_start", TUNE))

    run(work)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("no_such_tool", {}, "there is no tool"),
        ("list_schedulers", {"name": 3}, "wrong arguments"),
        ("list_schedulers", {"nome": "x"}, "wrong arguments"),
        ("list_schedulers", {"offset": -1}, "wrong arguments"),
        ("describe_scheduler", {"name": "../../etc/passwd"}, "no scheduler"),
        ("describe_scheduler", {"name": "\x1b[2J" * 10}, "no scheduler"),
        ("read_workload_file", {"path": "/etc/shadow"}, "below the command's directory"),
        ("workload", {"command": "create", "description": "x" * 600_000}, "512 KiB"),
        ("tuning_start", {"workload": {"command": ["true", "\0"]}}, "NUL"),
        ("tuning_start", {"workload": {"command": "true", "cwd": "/" + "x" * 5000}}, "the directory cannot be used"),
        ("tuning_start", {"workload": {"command": "true", "cwd": "no/such"}}, "absolute"),
        ("tuning_start", {"workload": {"command": "true " + "x" * 4000}}, "2000 characters"),
        ("tuning_start", {"workload": {"command": "a\x1b[2Jb"}}, "cannot be shown"),
        ("tuning_start", {"workload": {"command": "true"}, "settings": {"planner": "claude"}}, "wrong arguments"),
        ("tuning_start", {"workload": {"command": "true"}, "settings": {"kernel": "/tmp/x"}}, "wrong arguments"),
        ("tuning_status", {"id": "tune-1", "wait_s": 26}, "wrong arguments"),
        ("release", {}, "applied no scheduler"),
    ],
)
def test_what_is_wrong_with_a_call_is_its_answer(
    tmp_path: Path, name: str, arguments: dict[str, Any], said: str
) -> None:
    async def work() -> None:
        async with connected(tmp_path, asked=AtTheClient()) as client:
            answer = refusal(await client.call_tool(name, arguments))
            assert said in answer
            assert "\x1b" not in json.loads(answer)["error"]

    run(work)


def test_nobody_is_asked_about_what_cannot_start_and_everything_that_is_wrong_is_named(tmp_path: Path) -> None:
    asked = AtTheClient()
    wrong = {
        "workload": {"command": "no-such-program x", "metric_regex": "x", "cleanup": "no-such-either"},
        "settings": {"budget": "200ms", "machine": "vm", "cpus": "9999"},
    }

    async def work() -> None:
        async with connected(tmp_path, asked=asked) as client:
            answer = refusal(await client.call_tool("tuning_start", wrong))
        for said in ("no-such-program: command", "--metric has no group", "no-such-either", "too small", "9999 CPUs"):
            assert said in answer

    run(work)
    assert asked.questions == []


def test_pages_and_prompts_can_be_read(tmp_path: Path) -> None:
    async def work() -> None:
        async with connected(tmp_path) as client:
            uris = [str(one.uri) for one in (await client.list_resources()).resources]
            texts = [(await client.read_resource(uri)).contents[0].text for uri in uris]  # type: ignore[union-attr]
            one = (await client.read_resource("autotune://schedulers/at_fifo")).contents[0].text  # type: ignore[union-attr]
            past = (await client.read_resource("autotune://history/make%20-j8")).contents[0].text  # type: ignore[union-attr]
            prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
            filled = await client.get_prompt(prompts[0], {"command": "make -j8"})
            with pytest.raises(MCPError, match="no such resource"):
                await client.read_resource("autotune://etc/passwd")
            with pytest.raises(MCPError, match="give a command"):
                await client.get_prompt(prompts[0], {"command": " "})
        assert all(texts)
        assert "slice_us" in one
        assert "No session" in past
        assert '"make -j8"' in filled.messages[0].content.text  # type: ignore[union-attr]

    run(work)


def test_secrets_of_the_environment_leave_in_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "swordfish-of-the-user")
    (tmp_path / "notes.txt").write_text("it is swordfish-of-the-user\n")

    async def work() -> None:
        async with connected(tmp_path) as client:
            answer = data(await client.call_tool("read_workload_file", {"path": "notes.txt"}))
            assert "swordfish" not in json.dumps(answer)
            assert "it is" in answer["text"]

    run(work)
