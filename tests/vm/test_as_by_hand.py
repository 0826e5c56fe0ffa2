# SPDX-License-Identifier: MIT
"""Inside the micro-VM a command finds what it finds by hand; what differs is in docs/WORKLOADS.md. One VM for all."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.errors import MachineLost
from autotune.events import Event, Warned
from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.microvm import MicroVM
from autotune.measure.client import shell_argv
from autotune.records import AttachSpec, Candidate, Run, RunSpec, Workload
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from tests.support.guest import REPOSITORY, built_object, guest_env, own_vm
from tests.support.list_planner import ListPlanner

pytestmark = [pytest.mark.vm, pytest.mark.slow]

USER = 4242
UMASK, FILES = 0o027, 4321

SUB = """
all: one two three
one two three:
\t@touch $@; for i in $$(seq 1000); do [ -e one -a -e two -a -e three ] && exit 0; sleep 0.1; done; exit 1
.PHONY: all one two three
"""
"""Its jobs end well only when all three run at the same time."""


class Room:
    """A VM, the directory that it began in, and where what was written inside is kept."""

    def __init__(self, vm: MicroVM, top: Path) -> None:
        self.vm = vm
        self.work = top / "work"
        self.kept = top / "kept"

    def run(self, command: str, **env: str) -> Run:
        return self.vm.run(RunSpec(shell_argv(command), str(self.work), guest_env(**env), timeout_s=300.0))

    def output(self, command: str, **env: str) -> str:
        done = self.run(command, **env)
        assert done.exit_code == 0, (done.exit_code, done.stdout, done.stderr)
        return done.stdout.head + done.stdout.tail + done.stderr.head


@pytest.fixture(scope="module")
def room(kernel: Kernel) -> Iterator[Room]:
    with tempfile.TemporaryDirectory(prefix="autotune-test-", dir="/var/tmp") as name:
        top = Path(name)
        top.chmod(0o755)
        (top / "kept").mkdir()
        _fill(top / "work")
        files, umask = resource.getrlimit(resource.RLIMIT_NOFILE), os.umask(UMASK)
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, files[1]))
        try:
            vm = own_vm(kernel, top / "work", keep=top / "kept", uid=USER)
        finally:
            os.umask(umask)
            resource.setrlimit(resource.RLIMIT_NOFILE, files)
        try:
            yield Room(vm, top)
        finally:
            vm.close()


def _fill(work: Path) -> None:
    (work / "node_modules/dep/lib/deep").mkdir(parents=True)
    (work / "node_modules/dep/lib/deep/index.js").write_text("1\n")
    (work / "node_modules/dep/package.json").write_text("{}\n")
    (work / "kept_dir/inner").mkdir(parents=True)
    (work / "kept_dir/inner/old").write_text("old\n")
    (work / "kept_dir/also").write_text("also\n")
    (work / "a").write_text("one\n")
    os.link(work / "a", work / "b")
    (work / "sub.mk").write_text(SUB)
    git = "git init -q repo && cd repo && git config user.email a@b && git config user.name a && git config gc.auto 0"
    commits = "for i in 1 2 3; do mkdir -p d$i && echo $i > d$i/f && git add . && git commit -qm $i; done"
    subprocess.run(
        ["sh", "-c", f"umask 022; {git} && {commits} && chown -R {USER}:{USER} {work}"], cwd=work, check=True
    )


# --- directories and links ---


def test_a_directory_of_the_host_is_renamed_as_by_hand(room: Room) -> None:
    """As npm does it: aside within its parent, then elsewhere, then back over what was made new."""
    script = """
import os
os.rename("node_modules/dep", "node_modules/.dep-x8Fq")
os.rename("node_modules/.dep-x8Fq", "moved")
os.makedirs("node_modules/dep")
os.rename("moved", "node_modules/dep")
os.rename("node_modules/dep/lib/deep", "node_modules/deep")
os.rename("node_modules", "modules")
open("modules/dep/package.json", "a").write("more\\n")
print(sorted(os.listdir("modules")), os.listdir("modules/dep/lib"), open("modules/deep/index.js").read().strip())
print(open("modules/dep/package.json").read().split(), os.path.exists("node_modules"))
"""
    seen = room.output(f"id -u; umask 022; python3 -S -c '{script}'; mv modules node_modules; ls node_modules")
    assert seen.splitlines() == [
        str(USER), "['deep', 'dep'] [] 1", "['{}', 'more'] False", "deep", "dep",
    ]  # fmt: skip


def test_git_collects_garbage_and_moves_directories(room: Room) -> None:
    moved = "git mv d1 e1 && git commit -qm moved && git gc -q --prune=now && git fsck && git log --oneline | wc -l"
    seen = room.output(f"cd repo && {moved} && git status --short && cat e1/f", HOME=str(room.work))
    assert seen.split()[-2:] == ["4", "1"]


def test_links_are_made_and_counted_and_what_differs_for_those_of_the_host_is_what_the_docs_say(room: Room) -> None:
    made = "echo x > new && ln new new2 && echo y >> new2 && cat new && stat -c %h new new2 && [ new -ef new2 ]"
    assert room.output(made).split() == ["x", "y", "2", "2"]
    assert room.output("ln a c && stat -c %h c && cat c").split() == ["2", "one"]
    assert room.output("stat -c %h a b; echo two > a; cat b").split()[-1] == "one", "docs name this difference"
    assert "hard links" in (REPOSITORY / "docs/WORKLOADS.md").read_text().lower()


# --- what is inherited ---


def test_umask_and_limits_are_those_of_the_host(room: Room) -> None:
    assert room.output("umask; ulimit -Sn; ulimit -Sc; nice").split()[:2] == ["0027", str(FILES)]
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    assert room.output("ulimit -Ss").strip() == ("unlimited" if stack == resource.RLIM_INFINITY else str(stack >> 10))


def test_there_is_a_directory_for_the_users_sockets(room: Room) -> None:
    assert room.output("stat -c '%u %a' /run/user/$(id -u)").split() == [str(USER), "700"]


@pytest.mark.parametrize("server", ["3,4", "fifo:/tmp/GMfifo1"])
def test_a_make_has_as_many_jobs_as_outside_and_does_not_complain(room: Room, server: str) -> None:
    made = room.output("make -f sub.mk && rm one two three", MAKEFLAGS=f" -j3 --jobserver-auth={server}", MAKELEVEL="1")
    assert "jobserver" not in made
    assert "warning" not in made


# --- a whole session, at the end of which the VM is still there for what was written ---


def test_setup_runs_below_and_until_after_cleanup_and_renamed_directories_are_kept_whole(
    room: Room, kernel: Kernel
) -> None:
    server = '(trap "echo {0} ended >> $PWD/log; exit" TERM; echo {0} up >> log; while :; do sleep 0.1; done) &'
    is_up = "tail -n 1 log | grep -q 'two up'"
    work = Workload(
        is_up, shell_argv(is_up), str(room.work), guest_env(),
        setup=server.format("one") + " sleep 0.5; mv kept_dir renamed; echo new > renamed/inner/new",
        prepare=server.format("two") + " sleep 0.5",
        cleanup="sleep 0.5; echo cleaned >> log",
    )  # fmt: skip
    heard: list[Event] = []
    fifo = AttachSpec("at_fifo", built_object("at_fifo", kernel))
    tried = (Candidate("at_fifo"),)
    options = SessionOptions(seed=1, min_rounds=2, max_rounds=2, warmup=0, budget_s=90.0, user_candidates=tried)
    result = tune(work, SessionParts(room.vm, ListPlanner([]), heard.append, lambda _candidate: fifo), options)
    assert result.failure is None, result.failure
    assert [trial.invalid for trial in result.trials] == [None] * len(result.trials)
    said = [one.text for one in heard if isinstance(one, Warned)]
    print(said)
    assert not [text for text in said if "still ran" in text]

    room.vm.keep_writes()
    below = room.kept / room.work.relative_to("/")
    log = (below / "log").read_text().splitlines()
    assert (log[0], log[-2:]) == ("one up", ["cleaned", "one ended"])
    runs = (len(log) - 3) // 2
    assert log[1:-2] == ["two up", "two ended"] * runs
    assert runs >= len(result.trials), "one more for each run that was lost"
    assert sorted(str(path.relative_to(below / "renamed")) for path in (below / "renamed").rglob("*")) == [
        "also", "inner", "inner/new", "inner/old",
    ]  # fmt: skip
    assert f"{room.work}/kept_dir" in (room.kept / ".autotune-deleted").read_text().splitlines()


def test_after_ctrl_c_nobody_waits_for_the_abandoned_run(room: Room) -> None:
    """The last test: the VM goes with it, and so do the files that cleanup would undo."""

    def pressed(_stream: str, _data: bytes) -> None:
        raise KeyboardInterrupt

    spec = RunSpec(shell_argv("echo started; sleep 300"), str(room.work), guest_env(), stream=True)
    with pytest.raises(KeyboardInterrupt):
        room.vm.run(spec, pressed)
    room.vm.release()
    with pytest.raises(MachineLost):
        room.run("true")
