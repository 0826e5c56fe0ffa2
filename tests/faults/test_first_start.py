# SPDX-License-Identifier: MIT
"""The first start from a checkout: the real scripts in copies of it, with a Python and a pip that only seem to work.

Which kernel is fetched, and what a killed or failing fetch leaves, is in tests/unit/machine/vm/test_kernels.py. The
stand-ins make what the real ones make (a `.venv` with a Python, then the program), and can be stopped on the way.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

PYTHON = """#!/bin/sh
# Stands for python: `-m venv DIR` and `-m pip install`, each with a place where it can be stopped.
log() { printf '%s\\n' "$*" >> "$FIRST_START/log"; }
reach() {
    : > "$FIRST_START/$1"
    ticks=$(cat "$FIRST_START/stop-at-$1" 2> /dev/null || echo 0)
    while [ "$ticks" -gt 0 ]; do sleep 0.1; ticks=$((ticks - 1)); done # short ones: a shell notices signals between
}
case "$1 $2" in
    "-m venv")
        trap 'exit 1' INT
        log venv
        mkdir -p "$3/bin"
        reach venv-begun
        cp "$0" "$3/bin/python"
        reach venv-half
        : > "$3/bin/pip-is-there"
        ;;
    "-m pip")
        trap 'exit 1' INT
        case " $* " in
            *' --require-hashes -r '*) step=pip ;;
            *' --no-deps --no-build-isolation -e . ') step=project ;;
            *) echo "packages without hashes: $*" >&2; exit 1 ;;
        esac
        log $step
        [ -e "$(dirname "$0")/pip-is-there" ] || { echo "No module named pip" >&2; exit 1; }
        reach $step-begun
        [ $step = project ] || [ ! -e "$FIRST_START/no-network" ] || { echo "no network" >&2; exit 1; }
        [ $step = pip ] || cp "$FIRST_START/autotune" "$(dirname "$0")/autotune"
        reach $step-half
        ;;
    "-c "*) exit 0 ;;
    *) exec "$FIRST_START_PYTHON" "$@" ;;
esac
"""
AUTOTUNE = """#!/bin/sh
printf '%s\\n' "run $*" >> "$FIRST_START/log"
[ "$1 $2" = "vm setup" ] || { echo "ran: $*"; exit 0; }
cache=${XDG_CACHE_HOME:-${HOME:-$FIRST_START/passwd-home}/.cache}/autotune/kernels/1
mkdir -p "$cache" && echo '{"format": 3}' > "$cache/manifest.json"
"""
DPKG_QUERY = """#!/bin/sh
echo 'install ok installed'
"""


class Checkout:
    """A copy of the checkout's scripts, with what a first start meets around it."""

    def __init__(self, top: Path, around: Path) -> None:
        self.top, self.around = top, around
        top.mkdir(parents=True)
        shutil.copytree(ROOT / "scripts", top / "scripts", ignore=shutil.ignore_patterns("demo", "__pycache__"))
        shutil.copy2(ROOT / "pyproject.toml", top)
        around.mkdir()
        for name, text in {"python": PYTHON, "autotune": AUTOTUNE, "bin/dpkg-query": DPKG_QUERY}.items():
            (around / name).parent.mkdir(exist_ok=True)
            (around / name).write_text(text)
            (around / name).chmod(0o755)
        self.env = {
            "PATH": f"{around / 'bin'}:{os.defpath}",
            "HOME": str(around / "home"),
            "XDG_CACHE_HOME": str(around / "cache"),
            "AUTOTUNE_PYTHON": str(around / "python"),
            "AUTOTUNE_REQUIRE_VM": "1",
            "FIRST_START": str(around),
            "FIRST_START_PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
        }

    @property
    def script(self) -> Path:
        return self.top / "scripts/autotune"

    def begin(self, *arguments: str, script: Path | str | None = None, **more: object) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        argv = [str(script or self.script), *arguments]
        settings = {"env": self.env, "start_new_session": True, "text": True, "restore_signals": True}
        return subprocess.Popen(argv, **{**pipes, **settings, **more})  # type: ignore[call-overload, no-any-return]

    def start(self, *arguments: str, script: Path | str | None = None, **more: object) -> tuple[int, str, str]:
        child = self.begin(*arguments, script=script, **more)
        out, err = child.communicate(timeout=120)
        return child.returncode, out, err

    def works(self, *arguments: str, script: Path | str | None = None, **more: object) -> None:
        code, out, err = self.start(*(arguments or ("doctor",)), script=script, **more)
        assert (code, out) == (0, f"ran: {' '.join(arguments or ('doctor',))}\n"), err

    def stop_at(self, place: str, seconds: float) -> None:
        (self.around / f"stop-at-{place}").write_text(str(round(10 * seconds)))

    def go_on(self) -> None:
        for left in self.around.glob("stop-at-*"):
            left.unlink()

    def log(self) -> list[str]:
        return (self.around / "log").read_text().splitlines() if (self.around / "log").exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout", tmp_path / "around")


def wait_for(true: Callable[[], bool]) -> None:
    """Wait until it holds; the limit only keeps a broken test from hanging."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.01)


@contextlib.contextmanager
def reached(checkout: Checkout, place: str, seconds: float = 600) -> Iterator[subprocess.Popen[str]]:
    """A start that has come to a place and waits there."""
    checkout.stop_at(place, seconds)
    child = checkout.begin("doctor")
    wait_for((checkout.around / place).exists)
    try:
        yield child
    finally:
        checkout.go_on()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


PLACES = ("venv-begun", "venv-half", "pip-begun", "pip-half", "project-half")


@pytest.mark.parametrize("place", PLACES)
def test_ctrl_c_is_said_to_be_one_and_the_next_start_works(checkout: Checkout, place: str) -> None:
    with reached(checkout, place) as child:
        os.killpg(child.pid, signal.SIGINT)
        err = child.communicate(timeout=60)[1]
        assert child.returncode == 130
        assert "interrupted" in err
        assert "network" not in err
    checkout.works()


@pytest.mark.parametrize(
    ("place", "signum"),
    [
        *((place, signal.SIGKILL) for place in PLACES),
        *((place, number) for place in ("venv-half", "pip-half") for number in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
def test_killed_with_all_its_children_the_next_start_works(
    checkout: Checkout, place: str, signum: signal.Signals
) -> None:
    with reached(checkout, place) as child:
        os.killpg(child.pid, signum)
        child.wait(60)
    checkout.works()
    assert checkout.log()[-1] == "run doctor"


@pytest.mark.parametrize("place", PLACES)
def test_what_a_killed_start_left_running_is_waited_for(checkout: Checkout, place: str) -> None:
    with reached(checkout, place, seconds=2) as child:
        child.kill()
        child.wait(60)
        code, _out, err = checkout.start("doctor")
        assert code == 0, err
        assert "waiting for another start" in err
    checkout.works()


def test_two_first_starts_at_once_make_it_once_and_both_work(checkout: Checkout) -> None:
    checkout.stop_at("venv-half", 0.5)
    children = [checkout.begin("doctor") for _ in range(4)]
    ended = [(child.communicate(timeout=120), child.returncode) for child in children]
    assert [(out, code) for (out, _err), code in ended] == [("ran: doctor\n", 0)] * 4, ended
    assert checkout.log().count("venv") == 1


def test_the_lock_does_not_outlive_the_set_up(checkout: Checkout) -> None:
    """The command itself may run for hours."""
    (checkout.around / "autotune").write_text("#!/bin/sh\nls -l /proc/self/fd\n")
    code, out, err = checkout.start("doctor")
    assert (code, "setting up" in err) == (0, True)
    assert (" 0 -> " in out, ".venv.lock" in out) == (True, False)


def test_what_an_earlier_version_left_half_made_is_made_anew(checkout: Checkout) -> None:
    """It wrote no mark: a Python without pip is all that there is."""
    (checkout.top / ".venv/bin").mkdir(parents=True)
    shutil.copy(checkout.around / "python", checkout.top / ".venv/bin/python")
    checkout.works()


def test_a_python_that_is_gone_is_replaced(checkout: Checkout) -> None:
    """The distribution's next release has another."""
    checkout.works()
    python = checkout.top / ".venv/bin/python"
    python.unlink()
    python.symlink_to("python3.0-that-was")
    checkout.works()
    assert checkout.log().count("venv") == 2


def test_a_copied_checkout_gets_its_own(checkout: Checkout, tmp_path: Path) -> None:
    checkout.works()
    shutil.copytree(checkout.top, tmp_path / "copy", symlinks=True)
    _code, out, err = checkout.start("doctor", script=tmp_path / "copy/scripts/autotune")
    assert out == "ran: doctor\n"
    assert f"remaking .venv: it belongs to {checkout.top}" in err


def test_a_whole_one_survives_a_failing_update(checkout: Checkout) -> None:
    checkout.works()
    (checkout.around / "no-network").touch()
    time.sleep(0.02)
    (checkout.top / "pyproject.toml").touch()
    code, _out, err = checkout.start("doctor")
    assert code == 1
    assert "check the network" in err
    (checkout.around / "no-network").unlink()
    checkout.works()
    assert checkout.log().count("venv") == 1


@pytest.mark.parametrize("name", ["pyproject.toml", "scripts/requirements.txt", "scripts/launcher"])
def test_what_decides_the_packages_is_followed_by_an_update(checkout: Checkout, name: str) -> None:
    checkout.works()
    time.sleep(0.02)
    (checkout.top / name).touch()
    checkout.works()
    assert checkout.log() == ["venv", "pip", "project", "run doctor", "pip", "project", "run doctor"]


def test_an_update_that_is_killed_is_made_anew(checkout: Checkout) -> None:
    checkout.works()
    (checkout.around / "pip-half").unlink()
    time.sleep(0.02)
    (checkout.top / "pyproject.toml").touch()
    with reached(checkout, "pip-half") as child:
        os.killpg(child.pid, signal.SIGKILL)
    checkout.works()
    assert checkout.log().count("venv") == 2


def test_from_the_second_start_on_nothing_is_done(checkout: Checkout) -> None:
    checkout.works("cc", "true")
    done = checkout.log()
    code, _out, err = checkout.start("cc", "true")
    assert (code, err) == (0, "")
    assert checkout.log() == [*done, "run cc true"]


# --- where it is started from ----------------------------------------------------------------------------


def test_it_is_found_through_links_to_the_script(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/autotune").symlink_to(checkout.script)
    (tmp_path / "bin/again").symlink_to("autotune")
    checkout.works(script=tmp_path / "bin/autotune")
    checkout.works(script=tmp_path / "bin/again")
    checkout.env["PATH"] = f"{tmp_path / 'bin'}:{checkout.env['PATH']}"
    checkout.works(script=shutil.which("again", path=checkout.env["PATH"]))
    assert checkout.log().count("venv") == 1


def test_a_checkout_behind_a_linked_directory_is_the_same(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(checkout.top)
    for top in (tmp_path / "link", checkout.top, tmp_path / "link"):
        checkout.works(script=top / "scripts/autotune")
        checkout.works(script="scripts/autotune", cwd=top)
    assert checkout.log().count("venv") == 1
    assert checkout.log().count("pip") == 1


def test_one_that_an_earlier_version_stamped_through_the_link_is_kept(checkout: Checkout, tmp_path: Path) -> None:
    checkout.works()
    (tmp_path / "link").symlink_to(checkout.top)
    (checkout.top / ".venv/.stamp-venv").write_text(f"{tmp_path / 'link'}\n")
    checkout.works()
    assert checkout.log().count("venv") == 1


@pytest.mark.parametrize("script", ["scripts/autotune", "./scripts/autotune", "../checkout/scripts/autotune"])
def test_an_exported_cdpath_does_not_matter(checkout: Checkout, tmp_path: Path, script: str) -> None:
    (tmp_path / "elsewhere/scripts").mkdir(parents=True)
    checkout.env["CDPATH"] = f"{tmp_path / 'elsewhere'}:{tmp_path}:."
    checkout.works(script=script, cwd=checkout.top)
    checkout.works("cc", "true", script=script, cwd=checkout.top)


@pytest.mark.parametrize("home", ["unset", "empty", "not there"])
def test_a_home_that_is_unset_empty_or_not_there_does_not_matter(checkout: Checkout, home: str) -> None:
    del checkout.env["HOME"], checkout.env["XDG_CACHE_HOME"]
    if home != "unset":
        checkout.env["HOME"] = "" if home == "empty" else str(checkout.around / "nowhere")
    checkout.works("cc", "true")
    checkout.works("--version")


ODD_NAMES = [
    "with a space",
    "it's",
    "a$b",
    "[x]",
    "-rf",
    "a#b;c",
    'q"q',
    "%s",
    "ünï",
    "`id`",
    "a\\b",
    "*",
    "~",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    checkout = Checkout(tmp_path / name / "the checkout", tmp_path / "around")
    checkout.works("cc", "true")
    checkout.works("cc", "true", script="./autotune", cwd=checkout.top / "scripts")
    assert checkout.log().count("venv") == 1


def test_five_first_starts_through_links_and_sh_make_one(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(checkout.script)
    (tmp_path / "two").symlink_to("one")
    ways: list[list[str | Path]] = [
        [checkout.script],
        ["./two"],
        ["sh", "./two"],
        ["bash", "two"],
        ["sh", checkout.script],
    ]
    starts = [
        subprocess.Popen(
            [*(str(word) for word in way), "doctor"],
            env=checkout.env,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for way in ways
    ]
    ended = [(*start.communicate(timeout=120), start.returncode) for start in starts]
    assert [(out, code) for out, _err, code in ended] == [("ran: doctor\n", 0)] * 5, ended
    assert checkout.log().count("venv") == 1


CLOSED = ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("closed", CLOSED)
def test_closed_descriptors_do_not_matter(checkout: Checkout, closed: str) -> None:
    argv = ["bash", "-c", f'exec "$0" doctor {closed}', str(checkout.script)]
    done = subprocess.run(argv, env=checkout.env, capture_output=True, text=True, check=False)
    shown = "" if closed.startswith(">") or " >" in closed else "ran: doctor\n"
    assert (done.returncode, done.stdout, checkout.log()[-1]) == (0, shown, "run doctor"), done.stderr


# --- what cannot be done is one line that says what to do -------------------------------------------------


def refused(checkout: Checkout) -> str:
    code, out, err = checkout.start("doctor")
    lines = [line for line in err.splitlines() if line != "autotune setup: setting up the virtual environment .venv"]
    assert (code, out, len(lines)) == (1, "", 1), err
    return lines[0].removeprefix("autotune setup: ")


@pytest.mark.parametrize("name", ["a:b", "new\nline", os.fsdecode(b"latin-\xe9")])
def test_a_path_that_python_cannot_use_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    checkout = Checkout(tmp_path / name, tmp_path / "around")
    checkout.env["AUTOTUNE_PYTHON"] = sys.executable
    code, _out, err = checkout.start("doctor", errors="surrogateescape")
    assert (code, err.endswith("move it to a path in UTF-8 without : and line breaks\n")) == (1, True)
    assert not (checkout.top / ".venv").exists()
    assert checkout.log() == []


@pytest.mark.parametrize("fault", ["none", "too old", "no ensurepip"])
def test_without_a_python_that_will_do_it_says_what_to_install(checkout: Checkout, fault: str) -> None:
    tools = checkout.around / "bin"
    for name in ("bash", "env", "readlink", "flock", "df", "rm", "mkdir", "id"):
        (tools / name).symlink_to(shutil.which(name) or name)
    checkout.env["PATH"] = str(tools)
    checkout.env["AUTOTUNE_PYTHON"] = str(tools / "python")
    if fault != "none":
        (tools / "python").write_text("#!/bin/sh\nexit 1\n")
        (tools / "python").chmod(0o755)
    expected = "Python 3.10 or later with venv was not found; install it: apt-get install python3 python3-venv"
    assert refused(checkout) == expected


def test_a_lock_that_cannot_be_made_is_named(checkout: Checkout) -> None:
    (checkout.top / ".venv.lock").mkdir()
    assert refused(checkout) == f"{checkout.top}/.venv.lock cannot be written; remove it and start again"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("state", ["full", "read-only"])
def test_a_disk_that_is_full_or_read_only_is_said_to_be_so(checkout: Checkout, state: str) -> None:
    """On a real small file system, in a mount namespace of its own."""
    mount = f"""set -e
        top={checkout.top} && cp -a $top $top.kept
        mount -t tmpfs -o size=64m none $top && cp -a $top.kept/. $top
        [ {state} = full ] || mount -o remount,ro $top
        [ {state} != full ] || dd if=/dev/zero of=$top/filler bs=64k 2> /dev/null || true
        exec $top/scripts/autotune doctor"""
    argv = ["unshare", "-m", "bash", "-c", mount]
    done = subprocess.run(argv, env=checkout.env, capture_output=True, text=True, check=False)
    said = {
        "full": f"the disk of {checkout.top} is full; free about 500 MB there and start again",
        "read-only": f"{checkout.top} cannot be written; run it once as a user who may write it",
    }
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(f"autotune setup: {said[state]}\n"), done.stderr


def test_what_is_whole_needs_no_write_access(checkout: Checkout) -> None:
    """A checkout that root set up, and that a user starts; here the whole file system is read-only."""
    checkout.works("doctor")
    kernels = Path(checkout.env["XDG_CACHE_HOME"]) / "autotune/kernels/1"
    kernels.mkdir(parents=True)
    (kernels / "manifest.json").write_text('{"format": 3}')
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    shell = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$0/scripts/autotune" cc true'
    argv = ["unshare", "-m", "bash", "-c", shell, str(checkout.top)]
    done = subprocess.run(argv, env=checkout.env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran: cc true\n", "")


# --- how it is called ------------------------------------------------------------------------------------


def test_how_to_call_it_is_said_once_and_works(checkout: Checkout, tmp_path: Path) -> None:
    place = Path(checkout.env["HOME"]) / ".local/bin"
    checkout.env["PATH"] += f":{place}"
    _code, _out, err = checkout.start("doctor")
    advice = next(line.split(": ", 2)[2] for line in err.splitlines() if "to call it" in line)
    assert not place.exists(), "nothing is written there unasked"
    for _ in range(2):  # a second time changes nothing
        done = subprocess.run(["sh", "-c", advice], env=checkout.env, capture_output=True, text=True, check=True)
        assert done.stdout == f"autotune: {place}/autotune starts {checkout.script}\n"
    checkout.works(script=shutil.which("autotune", path=checkout.env["PATH"]), cwd=tmp_path)
    assert "to call it" not in checkout.start("doctor")[2]


def install(checkout: Checkout, *arguments: str) -> tuple[int, str]:
    argv = [str(checkout.top / "scripts/install"), *arguments]
    done = subprocess.run(argv, env=checkout.env, capture_output=True, text=True, check=False, cwd=checkout.around)
    return done.returncode, (done.stdout + done.stderr).removeprefix("autotune: ").strip()


def test_a_directory_that_is_not_on_path_is_linked_into_and_said_to_be_so(checkout: Checkout) -> None:
    checkout.env["SHELL"] = "/bin/bash"
    code, said = install(checkout, "my bin")
    place = checkout.around / "my bin"
    assert code == 0
    assert f"{place} is not on your PATH" in said
    checkout.works(script=place / "autotune")


def test_a_link_of_another_checkout_is_replaced_and_a_file_is_not(checkout: Checkout) -> None:
    place = checkout.around / "bin"
    (place / "autotune").symlink_to("/another/checkout/scripts/autotune")
    assert install(checkout, str(place))[0] == 0
    assert (place / "autotune").resolve() == checkout.script
    (place / "autotune").unlink()
    (place / "autotune").write_text("mine")
    assert install(checkout, str(place)) == (
        1,
        f"{place}/autotune is there and no link; remove it, or name another place",
    )
    assert (place / "autotune").read_text() == "mine"


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["--nonsense"], ["a", "b"]])
def test_other_arguments_show_how_it_is_used(checkout: Checkout, arguments: list[str]) -> None:
    code, said = install(checkout, *arguments)
    assert (code, said) == (0 if "h" in arguments[0][:3] else 2, "usage: scripts/install [DIRECTORY]")


def test_without_a_home_a_directory_must_be_named(checkout: Checkout) -> None:
    del checkout.env["HOME"]
    assert install(checkout) == (1, "HOME is not set; name a directory: scripts/install DIRECTORY")


# --- what is set up for which command --------------------------------------------------------------------


FETCHES = (
    ["cc", "true", "--machine", "vm"],
    ["cc", "--machine", "vm", "true"],
    ["cc", "du", "-h", "."],
    ["cc", "du -h ."],
    ["cc", "--", "grep", "-h", "x"],
    ["cc", "--", "prog", "--help"],
    ["cc", "--prepare", "make -h", "vm"],
    ["cc", "vm"],
    ["--debug", "cc", "true"],
    ["scheduler", "verify", "x.bpf.c"],
    ["schedulers", "verify", "x.bpf.c"],
    ["schedulers", "import", "x.json"],
    ["recheck"],
    ["mcp"],
    ["prompt", "ls"],
)
FETCHES_NOT: tuple[list[str], ...] = (
    [],
    ["--help"],
    ["-h"],
    ["--version"],
    ["cc", "--help"],
    ["cc", "-h"],
    ["cc", "--budget", "10m", "-h"],
    ["cc", "--nonsense", "true"],
    ["schedulers", "show", "-h"],
    ["vm", "status"],
    ["vm", "setup", "--help"],
    ["doctor"],
    ["stop"],
    ["status"],
    ["best", "make -j8"],
    ["history"],
    ["history", "search", "make"],
    ["schedulers", "verify", "-h"],
    ["watch", "1"],
)


@pytest.mark.parametrize("arguments", FETCHES, ids=" ".join)
def test_a_command_that_runs_gets_a_kernel_first(checkout: Checkout, arguments: list[str]) -> None:
    checkout.works(*arguments)
    assert checkout.log()[-2:] == ["run vm setup", f"run {' '.join(arguments)}"]


@pytest.mark.parametrize("arguments", FETCHES_NOT, ids=" ".join)
def test_help_mistakes_and_what_needs_no_kernel_get_none(checkout: Checkout, arguments: list[str]) -> None:
    checkout.start(*arguments)
    assert checkout.log() == ["venv", "pip", "project", f"run {' '.join(arguments)}"]


def test_a_relative_cache_directory_is_ignored_as_autotune_does(checkout: Checkout) -> None:
    checkout.works("cc", "true")
    checkout.env["XDG_CACHE_HOME"] = "cache"
    assert "fetching a kernel" in checkout.start("cc", "true", cwd=checkout.around)[2]


# --- with the real Python --------------------------------------------------------------------------------


@pytest.mark.slow
def test_with_the_real_python_a_start_after_an_interrupted_one_works(tmp_path: Path) -> None:
    """Below a path that no shell reads without quotes: nothing that is installed may contain it."""
    top = tmp_path / 'it\'s a "checkout" $(touch no) 100% ünï'
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, top / name)
    env = {name: text for name, text in os.environ.items() if name not in ("HOME", "PYTHONPATH", "VIRTUAL_ENV")}
    argv = [str(top / "scripts/autotune"), "--version"]
    first = subprocess.Popen(argv, env=env, start_new_session=True, stderr=subprocess.PIPE, text=True)
    wait_for((top / ".venv/bin/python").exists)
    os.killpg(first.pid, signal.SIGINT)
    assert "interrupted" in first.communicate(timeout=120)[1]
    assert first.returncode == 130
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "autotune"), done.stderr
