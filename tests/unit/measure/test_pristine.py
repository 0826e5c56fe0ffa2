# SPDX-License-Identifier: MIT
"""Every pristine run sees the same files: real overlays, as root and as an ordinary user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.errors import AutotuneError, UsageError
from autotune.measure import pristine
from autotune.measure.client import PristineSpec, Runner, shell_argv
from autotune.measure.pristine import Mount, file_system_of, read_mounts
from autotune.records import Identity, Run, RunSpec

ROOT = str(Path(__file__).resolve().parents[3])
NOBODY = 65534
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/bin")

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can run a command as somebody else")


class Place:
    """A directory with files, and one for the layers."""

    def __init__(self, base: Path) -> None:
        self.cwd = base / "project"
        self.scratch = base / "scratch"
        (self.cwd / "old").mkdir(parents=True)
        self.scratch.mkdir()
        (self.cwd / "file").write_text("as it was\n")
        (self.cwd / "old" / "inner").write_text("inner\n")

    def runner(self, identity: Identity | None = None) -> Runner:
        return Runner(identity, pristine=PristineSpec(str(self.cwd), str(self.scratch)))

    def give_to(self, uid: int) -> None:
        for path in (self.scratch, self.cwd, *self.cwd.rglob("*")):
            os.chown(path, uid, uid)

    def is_untouched(self) -> bool:
        names = sorted(str(path.relative_to(self.cwd)) for path in self.cwd.rglob("*"))
        return names == ["file", "old", "old/inner"] and (self.cwd / "file").read_text() == "as it was\n"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def open_place() -> Iterator[Place]:
    """One that an ordinary user can get at, unlike what pytest makes for root."""
    base = Path(os.path.realpath("/var/tmp")) / f"autotune-test-{os.getpid()}-{time.monotonic_ns()}"
    base.mkdir(mode=0o755)
    yield Place(base)
    shutil.rmtree(base)


def sh(runner: Runner, command: str, cwd: Path) -> Run:
    run = runner.run(RunSpec(shell_argv(command), str(cwd), ENV))
    assert run.start_error is None, run.start_error
    return run


SPOIL = "echo changed > file; echo more >> old/inner; echo new > added; rm -r old; mkdir old; mkdir -p deep/er; ls -A"


def test_what_is_written_does_not_reach_the_directory(place: Place) -> None:
    with place.runner() as runner:
        assert sh(runner, SPOIL, place.cwd).stdout.head.split() == ["added", "deep", "file", "old"]
        assert place.is_untouched()
    assert place.is_untouched()


def test_a_run_sees_what_prepare_did_and_the_next_runner_starts_afresh(place: Place) -> None:
    with place.runner() as runner:
        sh(runner, SPOIL, place.cwd)
        assert sh(runner, "cat file added; ls old", place.cwd).stdout.head == "changed\nnew\n"
    with place.runner() as runner:
        assert sh(runner, "cat file old/inner; ls -A", place.cwd).stdout.head == "as it was\ninner\nfile\nold\n"


def test_deleted_files_reappear(place: Place) -> None:
    with place.runner() as runner:
        assert sh(runner, "rm -r file old; ls -A", place.cwd).stdout.head == ""
    assert place.is_untouched()


def test_the_path_inside_is_the_same(place: Place) -> None:
    with place.runner() as runner:
        assert sh(runner, "/bin/pwd -P", place.cwd / "old").stdout.head == f"{place.cwd}/old\n"


def test_a_name_through_a_link_leads_to_the_same_overlay(place: Place, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(place.cwd)
    with Runner(pristine=PristineSpec(str(link), str(place.scratch))) as runner:
        sh(runner, "echo a > added", link)
        assert sh(runner, "cat added", place.cwd).stdout.head == "a\n"
    assert place.is_untouched()


def test_owner_and_mode_of_the_directory_are_kept(place: Place) -> None:
    place.cwd.chmod(0o1750)
    with place.runner() as runner:
        seen = sh(runner, "stat -c '%a %u %g' . file", place.cwd).stdout.head
    assert seen.splitlines()[0] == f"1750 {os.geteuid()} {os.getegid()}"


def test_names_that_mean_something_to_overlayfs(tmp_path: Path) -> None:
    place = Place(tmp_path / "a,b:c\\d e\n\tä")
    with place.runner() as runner:
        assert sh(runner, SPOIL, place.cwd).exit_code == 0
    assert place.is_untouched()


def test_elsewhere_writes_are_real(place: Place, tmp_path: Path) -> None:
    with place.runner() as runner:
        sh(runner, "echo out > ../outside", place.cwd)
    assert (tmp_path / "outside").read_text() == "out\n"


def test_nobody_else_sees_the_overlay(place: Place) -> None:
    before = read_mounts()
    with place.runner() as runner:
        sh(runner, "true", place.cwd)
        assert read_mounts() == before


def test_closing_leaves_nothing_behind(place: Place) -> None:
    with place.runner() as runner:
        sh(runner, SPOIL, place.cwd)
        assert len(list(place.scratch.iterdir())) == 1
    assert list(place.scratch.iterdir()) == []


def test_closing_after_the_helper_was_killed_leaves_nothing_behind(place: Place) -> None:
    runner = place.runner()
    sh(runner, SPOIL, place.cwd)
    os.kill(runner.pid, signal.SIGKILL)
    runner.close()
    assert list(place.scratch.iterdir()) == []
    assert place.is_untouched()


def test_layers_within_the_directory_itself_go_to_memory(place: Place) -> None:
    scratch = place.cwd / "old"
    with Runner(pristine=PristineSpec(str(place.cwd), str(scratch))) as runner:
        assert sh(runner, "echo changed > file; cat file", place.cwd).stdout.head == "changed\n"
    assert place.is_untouched()


def test_over_an_overlay_the_layers_go_to_memory(place: Place) -> None:
    """As in the micro-VM, whose root is an overlay: a pristine runner within a pristine runner."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from autotune.measure.client import PristineSpec, Runner\nfrom autotune.records import RunSpec\n"
        "with Runner(python=sys.executable, pristine=PristineSpec(sys.argv[2], sys.argv[3])) as runner:\n"
        "    argv = ('sh', '-c', 'echo inner > file; rm -r old; ls; cat file')\n"
        "    spec = RunSpec(argv, sys.argv[2], {'PATH': sys.argv[4]})\n"
        "    print(runner.run(spec).stdout.head, end='')\n"
    )
    if file_system_of(os.path.realpath(place.cwd), read_mounts()) == "overlay":
        pytest.skip("the kernel stacks no third overlay upon two; every other test here has tested this one")
    inside = place.cwd / "old" / "scratch"
    with place.runner() as runner:
        sh(runner, "echo outer > file; mkdir old/scratch", place.cwd)
        argv = (sys.executable, "-S", "-c", code, ROOT, str(place.cwd), str(inside), ENV["PATH"])
        run = runner.run(RunSpec(argv, "/", ENV))
        assert (run.stdout.head, run.stderr.head) == ("file\ninner\n", "")
        assert sh(runner, "cat file; ls -A old", place.cwd).stdout.head == "outer\ninner\nscratch\n"
    assert place.is_untouched()


@needs_root
def test_as_root_for_an_ordinary_user(open_place: Place) -> None:
    open_place.give_to(NOBODY)
    with open_place.runner(Identity(NOBODY, NOBODY)) as runner:
        seen = sh(runner, f"id -u; {SPOIL}; stat -c %u . added", open_place.cwd).stdout.head.split()
        assert seen == ["65534", "added", "deep", "file", "old", "65534", "65534"]
        assert sh(runner, "mv deep moved && ls moved", open_place.cwd).stdout.head == "er\n"
        refused = sh(runner, f"ls {open_place.scratch}/*/upper", open_place.cwd)
        assert "Permission denied" in refused.stderr.head or "No such file" in refused.stderr.head
    assert open_place.is_untouched()
    assert list(open_place.scratch.iterdir()) == []


@needs_root
def test_as_root_a_directory_that_was_there_can_be_renamed(place: Place) -> None:
    with place.runner() as runner:
        code = "import os; os.rename('old', 'new')"
        renamed = runner.run(RunSpec((sys.executable, "-S", "-c", code), str(place.cwd), ENV))
        assert (renamed.exit_code, renamed.stderr.head) == (0, "")
        assert sh(runner, "cat new/inner", place.cwd).stdout.head == "inner\n"
    assert place.is_untouched()


USER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from autotune.errors import AutotuneError
from autotune.measure.client import PristineSpec, Runner
from autotune.records import RunSpec
cwd, scratch, commands = sys.argv[2], sys.argv[3], sys.argv[4:]
try:
    with Runner(pristine=PristineSpec(cwd, scratch)) as runner:
        for command in commands:
            run = runner.run(RunSpec(("sh", "-c", command), cwd, {"PATH": "/usr/bin:/bin"}))
            print(run.stdout.head + run.stderr.head, end="")
except AutotuneError as error:
    print(type(error).__name__, error)
"""


def as_user(place: Place, *commands: str, before: str = "") -> str:
    """What commands print in a pristine runner of an ordinary user, after the statement `before` ran."""
    python = str(SYSTEM_PYTHON) if IS_ROOT else sys.executable
    argv = [python, "-S", "-E", "-c", before + USER, ROOT, str(place.cwd), str(place.scratch), *commands]
    if IS_ROOT:
        place.give_to(NOBODY)
        argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *argv]
    seen = subprocess.run(argv, capture_output=True, text=True, cwd="/", check=False, timeout=60)
    assert seen.returncode == 0, seen.stderr
    return seen.stdout


needs_user = pytest.mark.skipif(IS_ROOT and SYSTEM_PYTHON is None, reason="no interpreter an ordinary user can run")


@needs_user
def test_as_an_ordinary_user(open_place: Place) -> None:
    who = NOBODY if IS_ROOT else os.geteuid()
    out = as_user(open_place, f"id -u; {SPOIL}", "cat file added; ls old; stat -c %u . added")
    assert out.split() == [str(who), "added", "deep", "file", "old", "changed", "new", str(who), str(who)]
    assert open_place.is_untouched()
    assert list(open_place.scratch.iterdir()) == []
    assert as_user(open_place, "ls -A; cat file") == "file\nold\nas it was\n"


@needs_user
def test_an_ordinary_user_gets_no_capability_by_it(open_place: Place) -> None:
    out = as_user(open_place, "grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status; mount -t tmpfs none . ; echo $?")
    masks = [line.split()[1] for line in out.splitlines() if line.startswith("Cap")]
    assert [int(mask, 16) for mask in masks] == [0, 0, 0]
    assert out.splitlines()[-1] != "0"


@needs_user
def test_without_user_namespaces_the_error_says_what_to_do(open_place: Place) -> None:
    """A limit of zero namespaces, set in a user namespace of the test's own, refuses as a locked-down machine does."""
    no_more = (
        "import ctypes, os\n"
        "uid, gid = os.getuid(), os.getgid()\n"
        "assert ctypes.CDLL(None).unshare(0x10000000) == 0\n"
        "for name, text in (('setgroups', 'deny'), ('uid_map', f'{uid} {uid} 1'), ('gid_map', f'{gid} {gid} 1')):\n"
        "    open(f'/proc/self/{name}', 'w').write(text)\n"
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0')\n"
    )
    out = as_user(open_place, "echo never", before=no_more)
    assert out.startswith("AutotuneError --pristine is not possible here: the kernel refuses a user namespace")
    assert "--prepare" in out
    assert "never" not in out
    assert list(open_place.scratch.iterdir()) == []


def test_a_directory_that_does_not_exist(place: Place) -> None:
    with pytest.raises(UsageError, match="gone"):
        Runner(pristine=PristineSpec(str(place.cwd / "gone"), str(place.scratch)))
    assert list(place.scratch.iterdir()) == []


def test_a_directory_with_another_file_system_below_it(place: Place) -> None:
    with pytest.raises(UsageError, match="another file system is mounted below it"):
        Runner(pristine=PristineSpec("/", str(place.scratch)))


def test_no_scratch_directory(place: Place) -> None:
    with pytest.raises(AutotuneError, match="no room for the files"):
        Runner(pristine=PristineSpec(str(place.cwd), str(place.scratch / "gone")))


MOUNTINFO = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:25 / /tmp rw - tmpfs tmpfs rw
31 30 0:26 / /tmp/with\\040space rw shared:1 - overlay overlay rw
32 30 0:27 / /tmp rw - 9p share rw
"""


def test_mounts_are_read_with_their_odd_names(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTINFO)
    mounts = read_mounts(str(tmp_path / "mountinfo"))
    assert mounts[2] == Mount("/tmp/with space", "overlay")
    assert file_system_of("/tmp/with space/a", mounts) == "overlay"
    assert file_system_of("/tmp/a", mounts) == "9p"
    assert file_system_of("/tmpfile", mounts) == "ext4"


def test_layers_that_forbid_entry_are_removed(tmp_path: Path) -> None:
    layers = pristine.make_layers(str(tmp_path))
    for name in ("work/work", "upper/closed/inner"):
        path = Path(layers) / name
        path.mkdir(parents=True)
        (path / "file").write_text("x")
        path.chmod(0)
        path.parent.chmod(0o500)
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (Path(layers) / "link").symlink_to(outside)
    pristine.remove_layers(layers)
    assert not Path(layers).exists()
    assert outside.stat().st_mode & 0o777 == 0o500
