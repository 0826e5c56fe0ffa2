# SPDX-License-Identifier: MIT
"""What must be there for which tests: without it they skip and say why, or fail where the machine must be able
(AUTOTUNE_REQUIRE_VM=1, as scripts/test and CI set it). A failure while others keep the machine busy names it."""

from __future__ import annotations

import compileall
import functools
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from autotune.schedext.programs.binaries import Binary
from tests.support import built_programs, busy

REQUIRED = os.environ.get("AUTOTUNE_REQUIRE_VM") == "1"
_BEFORE = pytest.StashKey[busy.Reading]()
_BUSY = "machine was busy"
LONGEST = (
    "test_schedulers",
    "test_giving_back",
    "test_host_mode",
    "test_daemon",
    "test_holding",
    "test_living_with_others",
    "test_generated_on_host",
    "test_generated_session",
    "test_gate_hang",
    "test_behaviour_shapes",
    "test_programs",
)
"""Files of tests/vm that take minutes, the longest first."""

hypothesis.settings.register_profile("laws", deadline=None)  # a law does not depend on how busy the machine is
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)  # scripts/test --fast
hypothesis.settings.load_profile("laws")


def pytest_configure() -> None:
    """A shell starts what it puts into the background with SIGINT ignored, and all that it starts inherits that: Ctrl-C
    could not be tested there."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("vm") is None and item.get_closest_marker("bpf") is None:
        return
    problem = _missing(vm=item.get_closest_marker("vm") is not None)
    if problem is not None and REQUIRED:
        pytest.fail(f"this machine must be able to run it, but {problem}", pytrace=False)
    if problem is not None:
        pytest.skip(problem)
    if item.get_closest_marker("vm") is not None:
        _compile()


@functools.cache
def _compile() -> None:
    """Compile autotune here: each VM would do so again, under emulation, where it takes many seconds, and lose it."""
    compileall.compile_dir(Path(__file__).resolve().parents[1] / "autotune", quiet=2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    item.stash[_BEFORE] = busy.recent()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The load is named where others made it: the failure may be theirs, or not."""
    report = yield
    if report.failed and _BEFORE in item.stash:
        load = busy.between(item.stash[_BEFORE], busy.read())
        if load.is_foreign:
            report.sections.append(("the machine was busy", f"{load.text()} while this test ran"))
            report.user_properties.append((_BUSY, load.text()))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """All that is imported and collected stays to the end: it is not searched for garbage, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Once it is known what was chosen (by markers, too): no few where many run; and long files first, since they run
    side by side, and one that begins last would be waited for alone."""
    _leave_out_the_few(config, items)
    if "not slow" in config.getoption("markexpr"):
        _leave_out_all_but_the_first(config, items)
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("vm", "bpf", "slow")])
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def _leave_out_the_few(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Simulations of few sessions repeat the first ones of the slow tests of many."""
    many = {_function(item) for item in items if item.get_closest_marker("slow") is not None}
    few = [item for item in items if item.get_closest_marker("few") is not None and _function(item) in many]
    if few:
        config.hook.pytest_deselected(items=few)
        items[:] = [item for item in items if item not in few]


def _leave_out_all_but_the_first(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the fast subset, one case stands for those that are alike."""
    first = {_function(item): item for item in reversed(items)}
    alike = [one for one in items if one.get_closest_marker("first") is not None and first[_function(one)] is not one]
    if alike:
        config.hook.pytest_deselected(items=alike)
        items[:] = [item for item in items if item not in alike]


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ended = [*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")]
    failed = sum(_BUSY in dict(getattr(report, "user_properties", ())) for report in ended)
    if failed:
        what = "1 test" if failed == 1 else f"{failed} tests"
        now = f"load average {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} CPUs now"
        terminalreporter.write_line(
            f"BUSY: {what} failed while others used this machine ({now}); each failure names the load. "
            "Run it again when it is quiet.",
            yellow=True,
        )


def _missing(*, vm: bool) -> str | None:
    from autotune.errors import AutotuneError
    from autotune.machine.vm import kernels, microvm
    from autotune.schedext import build

    try:
        fetched = next(iter(kernels.installed()), None)
        build.newest_clang()
        build.find_headers(fetched.headers if fetched else None)
        if vm:
            kernels.find(None)
            microvm.find_tool("qemu-system-x86_64", "qemu-system-x86")
    except AutotuneError as error:
        return str(error)
    return None


@pytest.fixture(scope="session")
def _states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory for the states of all tests: `mktemp` for each would read the names of all before it each time."""
    return tmp_path_factory.mktemp("states")


@pytest.fixture(autouse=True)
def _nothing_of_the_users(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _states: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """No test writes into the user's memory, and none can reach the real service with the user's key. What the first
    boot found out about KVM the next need not: a boot that hangs is waited for."""
    state = Path(tempfile.mkdtemp(dir=_states))
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    if request.node.get_closest_marker("vm") is None:
        yield
        return
    known, own = tmp_path_factory.getbasetemp() / "kvm.json", state / "autotune" / "kvm.json"
    if known.exists():
        own.parent.mkdir(mode=0o700)
        shutil.copyfile(known, own)
    yield
    if own.exists():
        shutil.copyfile(own, known)


@pytest.fixture(scope="session")
def built_schedulers() -> dict[str, Binary]:
    """Real schedulers: scx_bpfland and scx_cosmos."""
    return built_programs.built(*built_programs.WANTED)
