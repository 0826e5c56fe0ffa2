# SPDX-License-Identifier: MIT
"""What the catalogue takes from users, and what it refuses and how; and that its scx programs are complete, consistent,
and turned into options rightly."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from autotune.errors import AutotuneError, UsageError
from autotune.records import Candidate
from autotune.schedext.catalogue.catalog import Catalog, Scheduler

CATALOG = Catalog.load()


def test_a_candidate_is_read_with_its_knobs_typed_and_in_order() -> None:
    found = CATALOG.parse_candidate("at_batch:slice_us=5000,long_first=true")
    assert found == Candidate("at_batch", (("long_first", True), ("slice_us", 5000)))
    assert CATALOG.parse_candidate(found.key) == found


@pytest.mark.parametrize("name", [one.name for one in CATALOG.schedulers if one.name.startswith("scx_")])
def test_an_scx_program_is_named_without_its_prefix_too(name: str) -> None:
    short = name.removeprefix("scx_")
    assert CATALOG.named(short) is CATALOG.named(name) is CATALOG.get(name)
    assert CATALOG.parse_candidate(short).key == CATALOG.parse_candidate(name).key


def test_a_profile_is_named_with_a_short_name_as_scxctl_does() -> None:
    short, full = (CATALOG.parse_candidate(f"{name}:mode=gaming") for name in ("lavd", "scx_lavd"))
    assert short == full
    assert short.scheduler == "scx_lavd"


@pytest.mark.parametrize("name", ["eevdf", "EEVDF", "Eevdf"])
def test_eevdf_needs_no_naming(name: str) -> None:
    with pytest.raises(UsageError, match="always runs as the baseline"):
        CATALOG.parse_candidate(name)


@pytest.mark.parametrize("text", ["EEVDF:slice_us=5000", " eevdf ", "eevdf:"])
def test_nor_with_settings(text: str) -> None:
    with pytest.raises(UsageError, match="always runs as the baseline"):
        CATALOG.parse_candidate(text)


@pytest.mark.parametrize("name", ["RUSTY", "Scx_Rusty", " rusty "])
def test_capitals_do_not_matter(name: str) -> None:
    assert CATALOG.parse_candidate(name).key == "scx_rusty"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("ladv", "did you mean 'scx_lavd'?"), ("scx_ladv", "did you mean 'scx_lavd'?"), ("at_fif", "at_fifo")],
)
def test_an_unknown_name_gets_the_nearest_in_full(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"no scheduler is called '{name}'") as raised:
        CATALOG.named(name)
    assert hint in raised.value.hint


def test_a_name_that_two_schedulers_may_mean_is_refused_with_both() -> None:
    own = CATALOG.get("at_fifo").model_copy(update={"name": "custom:lavd"})
    other = own.model_copy(update={"name": "custom:mine"})
    catalog = Catalog([*CATALOG.schedulers, own, other])
    with pytest.raises(UsageError, match="'lavd' may be either of two") as raised:
        catalog.parse_candidate("lavd:mode=gaming")
    assert raised.value.hint == "name scx_lavd or custom:lavd"
    assert catalog.named("mine") is catalog.named("custom:mine") is catalog.named("Custom:Mine") is other
    assert catalog.named("scx_lavd").name == "scx_lavd"
    assert catalog.parse_candidate("custom:lavd:slice_us=5000").key == "custom:lavd:slice_us=5000"


OURS = [one for one in CATALOG.schedulers if one.kind == "bpf"]


@pytest.mark.parametrize("scheduler", OURS, ids=lambda item: item.name)
def test_every_default_is_a_value_its_knob_takes(scheduler: Scheduler) -> None:
    for knob in scheduler.knobs:
        assert knob.default is not None
        knob.check(knob.default)
    assert scheduler.knob("partial").type == "boolean"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("at_fif", "did you mean 'at_fifo'"),
        ("nothing", "'autotune schedulers' lists them"),
        ("at_fifo:slice=1", "did you mean 'slice_us'"),
        ("at_fifo:slice_us=1", "from 100 to 1000000 (us), not 1"),
        ("at_fifo:slice_us=fast", "a whole number from 100"),
        ("at_fifo:slice_us=2.5", "a whole number"),
        ("at_batch:long_first=maybe", "true or false"),
        ("at_fifo:slice_us", "not knob=value"),
        ("at_fifo:slice_us=500,slice_us=600", "given twice"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        CATALOG.parse_candidate(text)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "scx_layered:task_hint_map=/etc/shadow",
        "scx_layered:task_hint_map=etc/shadow",
        "scx_layered:task_hint_map=/sys/fs/bpf/../../../etc/shadow",
        "scx_layered:task_hint_map=/sys/fs/bpfx",
        "scx_layered:hi_fb_thread_name=/etc/shadow",
        "scx_mitosis:cell_parent_cgroup=/../../etc",
        "scx_mitosis:cell_parent_cgroup=/,cell_exclude=/etc/shadow",
        "scx_mitosis:cell_parent_cgroup=/,cell_exclude=a+../b",
        "scx_bpfland:primary_domain=/etc/passwd",
        "scx_rusty:cpumasks=0x1+/etc/passwd",
    ],
)
def test_a_path_that_a_program_would_open_as_root_is_only_one_of_where_it_looks(text: str) -> None:
    """SECURITY review: `task_hint_map=/etc/shadow` was accepted from a model."""
    with pytest.raises(UsageError, match="takes"):
        CATALOG.parse_candidate(text)


@pytest.mark.parametrize(
    "text",
    [
        "scx_layered:task_hint_map=/sys/fs/bpf/hints",
        "scx_layered:hi_fb_thread_name=kworker/u8",
        "scx_mitosis:cell_parent_cgroup=/user.slice/user-1000.slice,cell_exclude=init.scope",
        "scx_bpfland:primary_domain=0-3",
    ],
)
def test_paths_and_names_that_these_programs_take_are_accepted(text: str) -> None:
    assert CATALOG.parse_candidate(text).knobs


def test_partial_mode_reaches_the_loader(tmp_path: Path) -> None:
    spec = CATALOG.attach_spec(CATALOG.parse_candidate("at_vtime:partial=true"), tmp_path / "x.o")
    assert spec.partial
    assert spec.rodata == {"partial": True}


def test_a_catalogue_that_is_wrong_says_where(tmp_path: Path) -> None:
    broken = tmp_path / "schedulers.json"
    broken.write_text(json.dumps({"schedulers": [{"name": "x"}]}))
    with pytest.raises(AutotuneError, match="is wrong at kind"):
        Catalog.load(broken)
    broken.write_text("{")
    with pytest.raises(AutotuneError, match="not a catalogue"):
        Catalog.load(broken)


def test_an_scx_program_fits_into_the_schema() -> None:
    entry = Scheduler.model_validate(
        {
            "name": "scx_bpfland",
            "kind": "binary",
            "ops_name": "bpfland",
            "source": "scx_bpfland",
            "version": "1.1.2",
            "production_ready": True,
            "description": "Favours tasks that sleep often.",
            "algorithm": "Virtual deadlines",
            "use_cases": ["interactive"],
            "characteristics": "Topology aware",
            "limitations": [],
            "performance_profile": "Responsive beside background work",
            "requirements": {"features": ["schedutil for frequency options"]},
            "knobs": [
                {"name": "slice_us", "flag": "--slice-us", "short": "-s", "type": "integer", "unit": "us",
                 "default": 1000, "description": "Upper bound of a slice"},
                {"name": "primary_domain", "flag": "--primary-domain", "type": "string", "default": "auto",
                 "description": "CPUs to fill first"},
                {"name": "timely_tlow_us", "flag": "--timely-tlow-us", "type": "integer", "default": 5000,
                 "status": "no_effect", "description": "Lower threshold",
                 "range": {"min": 0, "how": "startup", "note": "an example"}},
            ],
            "modes": {"gaming": {"primary_domain": "performance"}},
            "program": {"language": "rust"},
        }
    )  # fmt: skip
    assert Catalog([entry]).parse_candidate("scx_bpfland:slice_us=500").key == "scx_bpfland:slice_us=500"


# --- the scx programs ---

PROGRAMS = [one for one in CATALOG.schedulers if one.kind == "binary"]
CRATES = {
    "scx_beerland", "scx_bpfland", "scx_cake", "scx_chaos", "scx_cosmos", "scx_flash", "scx_flow", "scx_forge",
    "scx_lavd", "scx_layered", "scx_p2dq", "scx_pandemonium", "scx_rlfifo", "scx_rustland", "scx_rusty", "scx_tickless",
}  # fmt: skip
ELSEWHERE = {
    "scx_mitosis", "scx_central", "scx_flatcg", "scx_nest", "scx_pair", "scx_prev", "scx_qmap", "scx_sdt", "scx_simple",
    "scx_userland",
}  # fmt: skip
PROFILES = {"auto", "gaming", "lowlatency", "powersave", "server"}

each = pytest.mark.parametrize("one", PROGRAMS, ids=lambda one: one.name)


def test_all_scx_programs_come_after_our_own() -> None:
    ours = ["at_fifo", "at_vtime", "at_batch", "at_guided", "at_interactive"]
    assert [one.name for one in CATALOG.schedulers[: len(ours)]] == ours
    assert {one.name for one in PROGRAMS} == CRATES | ELSEWHERE
    assert {one.name for one in PROGRAMS if one.version is not None} == CRATES


@each
def test_an_entry_says_all_that_people_and_planners_ask_for(one: Scheduler) -> None:
    assert one.program is not None
    for text in (one.description, one.algorithm, one.characteristics, one.performance_profile):
        assert text.endswith(".")
    assert one.use_cases
    assert one.limitations
    assert one.tags
    assert one.requirements.kernel_min is not None
    assert "CONFIG_SCHED_CLASS_EXT" in one.requirements.features
    assert one.source == (one.name if one.program.language == "rust" else "")
    assert one.ops_name == one.name.removeprefix("scx_")


@each
def test_every_knob_is_an_option_that_is_described(one: Scheduler) -> None:
    assert one.program is not None
    flags = [knob.flag for knob in one.knobs]
    assert len(set(flags)) == len(flags)
    assert not set(flags) & set(one.program.not_knobs)
    for knob in one.knobs:
        assert knob.flag is not None
        assert re.fullmatch(r"--[a-z0-9]+(-[a-z0-9]+)*" if one.program.language == "rust" else r"-[A-Za-z]", knob.flag)
        if one.program.language == "rust":
            assert knob.name == knob.flag[2:].replace("-", "_")
        assert knob.description.endswith(".")
        assert knob.status == "active" or knob.note or knob.description.startswith("Was ")
        assert knob.default is not None or knob.default_rule or knob.takes_value


@each
def test_what_a_knob_or_a_rule_names_is_there(one: Scheduler) -> None:
    names = {knob.name for knob in one.knobs}
    for knob in one.knobs:
        assert {*knob.requires, *knob.conflicts} <= names - {knob.name}
    for rule in one.rules:
        assert {rule.knob, rule.other or rule.knob} <= names


@each
def test_every_default_is_one_that_goes_together(one: Scheduler) -> None:
    defaults = {knob.name: knob.default for knob in one.knobs if knob.default is not None}
    numbers = {name: value for name, value in defaults.items() if not isinstance(value, bool)}
    needing = {knob.name for knob in one.knobs if knob.requires}
    one.check({name: value for name, value in numbers.items() if name not in needing})


MODES = [(one, mode) for one in PROGRAMS for mode in one.modes]


@pytest.mark.parametrize(("one", "mode"), MODES, ids=lambda item: getattr(item, "name", item))
def test_every_profile_is_known_goes_together_and_becomes_options(one: Scheduler, mode: str) -> None:
    assert mode in PROFILES
    candidate = CATALOG.parse_candidate(f"{one.name}:mode={mode}")
    assert dict(candidate.knobs) == one.modes[mode]
    given = one.arguments(dict(candidate.knobs))
    assert all(argument.startswith("--") for argument in given)
    assert all(one.knob(knob).status == "active" for knob, _ in candidate.knobs)


def test_a_profile_can_be_changed_by_further_knobs() -> None:
    chosen = CATALOG.parse_candidate("scx_bpfland:mode=lowlatency,slice_us=500")
    assert dict(chosen.knobs) == {"no_wake_sync": True, "primary_domain": "performance", "slice_us": 500}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scx_lavd:slice_max_us=2000", "pinned_slice_us must be at most slice_max_us, not 5000 against 2000"),
        ("scx_lavd:slice_min_us=5500,slice_max_us=9000", "slice_min_us must be at most pinned_slice_us"),
        ("scx_lavd:slice_min_us=9000,pinned_slice_us=0", "slice_min_us must be at most slice_max_us"),
        ("scx_lavd:performance=true,powersave=true", "exclude each other"),
        ("scx_lavd:preempt_shift=11", "from 0 to 10 (power of two), not 11"),
        ("scx_p2dq:dumb_queues=4", "dsq_time_slices must have as many values as dumb_queues says"),
        ("scx_p2dq:dsq_time_slices=500+2500", "not 500+2500 against 3"),
        ("scx_p2dq:dsq_time_slices=500+2500+2500", "the values of dsq_time_slices must rise"),
        ("scx_p2dq:init_dsq_index=3", "init_dsq_index must be below dumb_queues"),
        ("scx_p2dq:interactive_ratio=20", "needs 'autoslice' as well"),
        ("scx_p2dq:virt_llc=2-8", "needs 'virt_llc_enabled' as well"),
        (
            "scx_mitosis:enable_slice_shrinking=true,slice_shrink_min_us=4000",
            "slice_shrink_min_us must be below slice_shrink_max_us",
        ),
        ("scx_bpfland:slice_us=-1", "of at least 0 (us), not -1"),
        ("scx_rusty:interval=nan", "takes a number (s), not nan"),
        ("scx_rusty:interval=1e999", "takes a number (s), not inf"),
        ("scx_chaos:kprobe_random_delay_frequency=-inf", "not -inf"),
        (f"scx_lavd:slice_max_us={10**400}", "a whole number of at least 0"),
        (f"scx_p2dq:dsq_time_slices=1+2+{2**64}", "a whole number of at least 0"),
        ("scx_bpfland:timely=true", "has no knob 'timely'"),
        ("scx_cake:profile=esports", "has no knob 'profile'"),
        ("scx_forge:ordering=random", "one of vruntime, deadline, fifo"),
        ("scx_bpfland:mode=lowlatenc", "did you mean 'lowlatency'"),
        ("scx_rlfifo:slice_us=5", "has no knob 'slice_us'"),
    ],
)
def test_settings_that_a_program_would_choke_on_are_refused_before(text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        CATALOG.parse_candidate(text)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("scx_lavd:slice_min_us=6000,slice_max_us=9000,pinned_slice_us=0",
         ("--slice-max-us=9000", "--slice-min-us=6000", "--pinned-slice-us=0")),
        ("scx_p2dq:dumb_queues=2,dsq_time_slices=500+4000",
         ("--dsq-time-slices=500", "--dsq-time-slices=4000", "--dumb-queues=2")),
        ("scx_p2dq:fork_balance=false", ("--fork-balance=false",)),
        ("scx_cosmos:no_wake_sync=true,primary_domain=0-3,8", ("--primary-domain=0-3,8", "--no-wake-sync")),
        ("scx_cosmos:no_wake_sync=false", ()),
        ("scx_rusty:cpumasks=0x3+0xc", ("--cpumasks=0x3", "--cpumasks=0xc")),
        ("scx_layered", ("--run-example",)),
        ("scx_layered:slice_us=5000", ("--run-example", "--slice-us=5000")),
        ("scx_mitosis", ("--cell-parent-cgroup=/",)),
        ("scx_mitosis:cell_parent_cgroup=/jobs", ("--cell-parent-cgroup=/jobs",)),
        ("scx_nest:slice_us=5000,whole_cores_first=true", ("-s", "5000", "-I")),
    ],
)  # fmt: skip
def test_settings_become_the_options_of_the_program(text: str, arguments: tuple[str, ...]) -> None:
    candidate = CATALOG.parse_candidate(text)
    assert CATALOG.get(candidate.scheduler).arguments(dict(candidate.knobs)) == arguments


def test_what_must_never_be_run_for_its_help_is_marked() -> None:
    marked = {one.name: one.program for one in PROGRAMS if one.program and one.program.help == "never"}
    assert set(marked) == {"scx_rlfifo"}
    assert marked["scx_rlfifo"].version_option is None


def test_the_one_that_exits_0_when_it_was_ejected_is_marked() -> None:
    assert [one.name for one in PROGRAMS if one.program and one.program.exits_zero_when_ejected] == ["scx_pandemonium"]
