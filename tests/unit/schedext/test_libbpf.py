# SPDX-License-Identifier: MIT
"""Opening BPF objects, reading and writing their knobs, and what is said when that cannot be.

Loading needs a kernel with sched_ext: it is tested in the VM.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.errors import AttachError, UsageError
from autotune.records import KnobValue
from autotune.schedext.build import newest_clang
from autotune.schedext.libbpf import _SIGNATURES, BpfObject, Libbpf, ObjectKnob, _last_reason
from tests.support import bpf_objects

pytestmark = pytest.mark.bpf
TOP = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def library() -> Libbpf:
    return Libbpf(bpf_objects.libbpf())


@pytest.fixture(scope="module")
def object_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bpf_objects.compiled(bpf_objects.SCHEDULER, tmp_path_factory.mktemp("bpf") / "at_test.o")


@pytest.fixture
def scheduler(library: Libbpf, object_path: Path) -> Iterator[BpfObject]:
    with library.open(str(object_path)) as found:
        yield found


def value_of(scheduler: BpfObject, name: str) -> KnobValue:
    return next(knob.value for knob in scheduler.knobs() if knob.name == name)


# --- what an object has ----------------------------------------------------------------------------------


def test_every_volatile_scalar_is_a_knob_and_nothing_else_is(scheduler: BpfObject) -> None:
    choices = ("MODE_OFF", "MODE_ON", "MODE_AUTO")
    assert scheduler.knobs() == [
        ObjectKnob("far", "int", 8, True, -9000000000),
        ObjectKnob("keep_local", "bool", 1, False, True),
        ObjectKnob("level", "int", 1, False, 7),
        ObjectKnob("mode", "enum", 4, True, "MODE_ON", choices),
        ObjectKnob("partial", "bool", 1, False, False),
        ObjectKnob("plain", "enum", 4, False, "PLAIN_ONE", ("PLAIN_ZERO", "PLAIN_ONE")),
        ObjectKnob("ratio", "float", 8, True, 0.5),
        ObjectKnob("share", "float", 4, True, 0.25),
        ObjectKnob("shift", "int", 4, True, -3),
        ObjectKnob("slice_us", "int", 8, False, 5000),
        ObjectKnob("tiny", "int", 1, True, -1),
        ObjectKnob("width", "int", 2, False, 300),
    ]


def test_the_scheduler_says_its_name(scheduler: BpfObject) -> None:
    assert scheduler.ops_name() == "at_test"


def test_an_object_without_knobs_has_none_and_says_so(library: Libbpf, tmp_path: Path) -> None:
    bare = bpf_objects.SCHEDULER.replace("const volatile", "volatile").replace("const unsigned", "unsigned")
    path = bpf_objects.compiled(bare.replace('SEC(".rodata") = 42', "= 42"), tmp_path / "bare.o")
    with library.open(str(path)) as found:
        assert found.knobs() == []
        with pytest.raises(UsageError) as caught:
            found.set_knob("slice_us", 1)
    assert caught.value.hint == "it has: none"


def test_before_it_was_loaded_it_has_left_no_record(scheduler: BpfObject) -> None:
    assert scheduler.exit_record() is None


# --- setting knobs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "reads"),
    [
        ("slice_us", 0, 0),
        ("slice_us", 2**64 - 1, 2**64 - 1),
        ("shift", -(2**31), -(2**31)),
        ("shift", 2**31 - 1, 2**31 - 1),
        ("level", 255, 255),
        ("tiny", -128, -128),
        ("width", 65535, 65535),
        ("far", -(2**63), -(2**63)),
        ("keep_local", False, False),
        ("partial", True, True),
        ("ratio", 1.25, 1.25),
        ("ratio", 2, 2.0),
        ("share", -0.5, -0.5),
        ("mode", "MODE_AUTO", "MODE_AUTO"),
        ("mode", 0, "MODE_OFF"),
        ("mode", 77, 77),
    ],
)
def test_a_knob_reads_as_it_was_set_and_no_other_moves(
    scheduler: BpfObject, name: str, value: KnobValue, reads: KnobValue
) -> None:
    before = {knob.name: knob.value for knob in scheduler.knobs()}
    scheduler.set_knob(name, value)
    after = {knob.name: knob.value for knob in scheduler.knobs()}
    assert after == {**before, name: reads}
    assert type(after[name]) is type(reads)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("level", 256, "0 to 255"),
        ("level", -1, "0 to 255"),
        ("tiny", 128, "-128 to 127"),
        ("shift", 2**31, "-2147483648 to 2147483647"),
        ("slice_us", 2**64, "0 to 18446744073709551615"),
        ("far", -(2**63) - 1, "-9223372036854775808"),
        ("slice_us", True, "a whole number, not True"),
        ("slice_us", 1.0, "a whole number, not 1.0"),
        ("slice_us", "5000", "a whole number, not '5000'"),
        ("partial", 1, "true or false, not 1"),
        ("partial", "true", "true or false"),
        ("ratio", "0.5", "a number, not '0.5'"),
        ("ratio", False, "a number, not False"),
        ("share", 1e300, "a number of 32 bits"),
        ("mode", "MODE_NONE", "one of MODE_OFF, MODE_ON, MODE_AUTO"),
        ("mode", 1.5, "one of MODE_OFF"),
        ("mode", 2**31, "-2147483648 to 2147483647"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_changes_nothing(
    scheduler: BpfObject, name: str, value: KnobValue, says: str
) -> None:
    before = scheduler.knobs()
    with pytest.raises(UsageError, match=f"knob '{name}' takes") as caught:
        scheduler.set_knob(name, value)
    assert says in caught.value.message
    assert scheduler.knobs() == before


@pytest.mark.parametrize("name", ["slice", "table", "constant", "at_exit", "", "slice_us\n"])
def test_what_is_no_knob_is_refused_naming_what_exists(scheduler: BpfObject, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        scheduler.set_knob(name, 1)
    assert caught.value.message == f"at_test.o has no knob '{name}'"
    assert "slice_us" in caught.value.hint


def test_partial_mode_sets_its_flag_beside_those_the_scheduler_has(scheduler: BpfObject) -> None:
    scheduler.set_partial()
    flags = ctypes.c_uint64.from_address(scheduler._ops_member("flags", 8))
    assert flags.value == 1 | 1 << 3
    assert scheduler.ops_name() == "at_test"


def test_two_objects_of_one_file_do_not_share_their_knobs(library: Libbpf, object_path: Path) -> None:
    with library.open(str(object_path)) as one, library.open(str(object_path)) as other:
        one.set_knob("slice_us", 1)
        assert value_of(other, "slice_us") == 5000


# --- what cannot be opened -------------------------------------------------------------------------------


def test_a_file_that_is_not_there(library: Libbpf, tmp_path: Path) -> None:
    with pytest.raises(AttachError, match=r"at_none.o cannot be opened: .*No such file") as caught:
        library.open(str(tmp_path / "at_none.o"))
    assert caught.value.stage == "attach"


@pytest.mark.parametrize("content", [b"", b"not an object\n", b"\x7fELF" + b"\0" * 60])
def test_a_file_that_is_no_object(library: Libbpf, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "at_bad.o"
    path.write_bytes(content)
    with pytest.raises(AttachError, match=r"at_bad.o cannot be opened: ."):
        library.open(str(path))


def test_an_object_cut_short(library: Libbpf, object_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "at_short.o"
    path.write_bytes(object_path.read_bytes()[:-200])
    with pytest.raises(AttachError, match="cannot be opened"):
        library.open(str(path))


def test_an_object_without_a_scheduler_is_opened_but_has_no_name(library: Libbpf, tmp_path: Path) -> None:
    source = 'const volatile int knob = 1;\n__attribute__((section("license"), used)) char _license[] = "GPL";\n'
    with library.open(str(bpf_objects.compiled(source, tmp_path / "at_none.o"))) as found:
        assert [knob.name for knob in found.knobs()] == ["knob"]
        with pytest.raises(AttachError, match="has 0 struct_ops maps; it must have one"):
            found.ops_name()


def test_the_complaint_about_one_file_does_not_stick_to_the_next(library: Libbpf, tmp_path: Path) -> None:
    for name in ("at_one.o", "at_two.o"):
        with pytest.raises(AttachError) as caught:
            library.open(str(tmp_path / name))
        assert name in caught.value.detail
        assert caught.value.detail.count(".o") == 1


def test_what_was_said_before_is_not_part_of_a_complaint(library: Libbpf, tmp_path: Path) -> None:
    library._printed += b"libbpf: a warning about another object\n"
    with pytest.raises(AttachError) as caught:
        library.open(str(tmp_path / "at_none.o"))
    assert "another object" not in caught.value.detail


def test_closing_twice_and_using_after_an_error_leave_no_file_open(library: Libbpf, object_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        found = library.open(str(object_path))
        found.close()
        found.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(os.path.exists("/sys/kernel/sched_ext"), reason="this kernel has sched_ext: it might load")
def test_a_kernel_without_sched_ext_refuses_and_the_error_says_which_object(scheduler: BpfObject) -> None:
    with pytest.raises(AttachError, match=r"at_test.o was refused by the kernel: .") as caught:
        scheduler.load()
    assert caught.value.detail


# --- the library itself ----------------------------------------------------------------------------------


def test_the_version_is_new_enough(library: Libbpf) -> None:
    major, minor = (int(part) for part in library.version.split("."))
    assert (major, minor) >= (1, 4)


def shared_library(target: Path, source: str) -> Path:
    clang = newest_clang().path
    subprocess.run([clang, "-shared", "-fPIC", "-x", "c", "-", "-o", str(target)], input=source.encode(), check=True)
    return target


def opened_elsewhere(path: str, system: str = "") -> str:
    """What a process says that is given the library `path`, while the system's is `system` (empty: none)."""
    code = (
        "import sys, ctypes\n"
        "from autotune.schedext import libbpf\n"
        "from autotune.errors import AttachError\n"
        "really = ctypes.CDLL\n"
        "def only_given(name, **options):\n"
        "    if name == 'libbpf.so.1' and not sys.argv[2]: raise OSError('libbpf.so.1: no such file')\n"
        "    return really(sys.argv[2] if name == 'libbpf.so.1' else name, **options)\n"
        "libbpf.ctypes.CDLL = only_given\n"
        "try:\n    print('opened', libbpf.Libbpf(sys.argv[1]).version)\n"
        "except AttachError as error:\n    print(error); print(error.detail)\n"
    )
    argv = [sys.executable, "-c", code, path, system]
    return subprocess.run(argv, cwd=TOP, capture_output=True, text=True, check=True).stdout


def test_a_library_that_is_too_old_is_named_with_what_is_needed(tmp_path: Path) -> None:
    old = "unsigned libbpf_major_version(void) { return 1; } unsigned libbpf_minor_version(void) { return 1; }"
    said = opened_elsewhere(str(shared_library(tmp_path / "libbpf.so.1", old)))
    assert "libbpf 1.1 is too old: 1.4 or later is needed" in said
    assert "autotune vm setup" in said


def test_a_library_before_versions_were_told_does_not_count(tmp_path: Path) -> None:
    said = opened_elsewhere(str(shared_library(tmp_path / "libbpf.so.1", "int nothing(void) { return 0; }")))
    assert "libbpf is not there: 1.4 or later is needed" in said


def test_without_any_library_the_detail_says_what_was_tried(tmp_path: Path) -> None:
    said = opened_elsewhere(str(tmp_path / "libbpf.so.1"))
    assert "libbpf is not there" in said
    assert f"{tmp_path}/libbpf.so.1: " in said
    assert "libbpf.so.1: no such file" in said


def test_a_given_library_that_cannot_be_used_gives_way_to_the_system_s(tmp_path: Path) -> None:
    broken = tmp_path / "libbpf.so.1"
    broken.write_bytes(b"not a library")
    new = "unsigned libbpf_major_version(void) { return 1; } unsigned libbpf_minor_version(void) { return 9; }"
    functions = " ".join(f"void *{name}(void) {{ return 0; }}" for name in _SIGNATURES if "_version" not in name)
    assert opened_elsewhere(str(broken), str(shared_library(tmp_path / "new.so", new + functions))) == "opened 1.9\n"


# --- what is kept of what the library says ---------------------------------------------------------------

VERIFIER_LOG = """libbpf: prog 'at_dispatch': BPF program load failed: Permission denied
libbpf: prog 'at_dispatch': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
11: (7b) *(u64 *)(r1 +0) = r2
R1 invalid mem access 'scalar'
processed 11 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'at_dispatch': failed to load: -13
libbpf: failed to load object 'at_bad.o'
"""


def test_the_verifier_s_last_word_is_the_reason() -> None:
    assert _last_reason(VERIFIER_LOG) == "R1 invalid mem access 'scalar'"


def test_without_a_verifier_log_the_library_s_last_word_is() -> None:
    assert _last_reason("libbpf: one\nlibbpf: failed to find BTF\n") == "failed to find BTF"
    assert _last_reason("") == ""


def say(library: Libbpf, text: bytes, level: int = 0) -> None:
    """Let the library's printing function hear a text as C code would say it: `"%s"` with a va_list, which on
    x86-64 is a register area that is used up and a pointer to the arguments in memory."""
    if os.uname().machine != "x86_64":
        pytest.skip("builds a va_list of x86-64 by hand")
    argument = ctypes.c_char_p(text)
    va_list = (ctypes.c_uint64 * 3)(48 | 304 << 32, ctypes.addressof(argument), 0)
    library._hear(level, b"%s", ctypes.addressof(va_list))


def test_a_log_of_megabytes_keeps_its_beginning_and_its_end(library: Libbpf) -> None:
    say(library, b"-- BEGIN PROG LOAD LOG --\n" + b"x" * (4 << 20) + b"\nR1 is bad\n-- END PROG LOAD LOG --\n")
    said = library.take_log()
    assert said.startswith("-- BEGIN PROG LOAD LOG --")
    assert "bytes left out" in said
    assert _last_reason(said) == "R1 is bad"
    assert len(said) < 64 << 10


def test_a_short_message_is_kept_whole_and_taken_once(library: Libbpf) -> None:
    say(library, b"libbpf: \xff one\n")
    assert library.take_log() == "libbpf: \ufffd one\n"
    assert library.take_log() == ""


def test_chatter_is_not_kept(library: Libbpf) -> None:
    say(library, b"libbpf: debug\n", level=2)
    assert library.take_log() == ""


def test_many_messages_stay_within_the_bound_and_the_latest_win(library: Libbpf) -> None:
    for number in range(10):
        say(library, b"%d" % number * 20000)
    said = library.take_log()
    assert len(said) == 64 << 10
    assert said.endswith("9" * 20000)
