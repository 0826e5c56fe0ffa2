# SPDX-License-Identifier: MIT
"""Settings: how values are read, which source wins, and what is said about values that cannot be."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune import config, quantities
from autotune.errors import UsageError
from autotune.verdict import race

Load = Callable[..., config.Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads settings in an empty directory with an empty configuration directory."""
    (tmp_path / "work").mkdir()
    (tmp_path / "config").mkdir()

    def load(environ: dict[str, str] | None = None, **flags: Any) -> config.Settings:
        return config.load(flags, cwd=tmp_path / "work", environ=environ or {}, config_dir=tmp_path / "config")

    return load


# --- sources ---


def test_without_anything_the_defaults_hold(load: Load) -> None:
    assert load() == config.Settings()


def test_the_defaults_for_rounds_are_those_of_the_race() -> None:
    defaults = config.Settings()
    assert (defaults.min_runs, defaults.max_runs) == (race.MIN_ROUNDS, race.MAX_ROUNDS)


def test_each_source_wins_over_the_next(load: Load, tmp_path: Path) -> None:
    (tmp_path / "config/autotune.toml").write_text("cpus = 8\n")
    assert load().cpus == 8
    (tmp_path / "work/autotune.toml").write_text("cpus = 2\n")
    assert load().cpus == 2
    (tmp_path / "work/.env").write_text("AUTOTUNE_CPUS=3\n")
    assert load().cpus == 3
    environ = {"AUTOTUNE_CPUS": "4"}
    assert load(environ).cpus == 4
    assert load(environ, cpus="5").cpus == 5


def test_the_two_files_are_merged_key_by_key(load: Load, tmp_path: Path) -> None:
    (tmp_path / "config/autotune.toml").write_text('machine = "vm"\nbudget = "5m"\n')
    (tmp_path / "work/autotune.toml").write_text("budget = 90\n")
    settings = load()
    assert (settings.machine, settings.budget) == ("vm", 90.0)


def test_the_configuration_directory_follows_xdg() -> None:
    assert config.default_config_dir({"XDG_CONFIG_HOME": "/x"}) == Path("/x/autotune")
    assert config.default_config_dir({"HOME": "/home/me"}) == Path("/home/me/.config/autotune")


def test_all_keys_can_be_set_by_flag_variable_and_file(load: Load, tmp_path: Path) -> None:
    texts = {
        "machine": "vm",
        "kernel": "/boot/vmlinuz",
        "cpus": "2",
        "memory": "2G",
        "budget": "1h",
        "warmup": "0",
        "min_runs": "4",
        "max_runs": "9",
        "min_effect": "2.5%",
        "statistic": "p90",
        "observe": "no",
        "explain": "no",
        "early_end": "no",
        "recall": "no",
        "seed": "7",
        "planner": "claude",
        "model": "my-model",
        "model_url": "http://localhost:1/v1",
        "max_cost": "0.5",
        "max_calls": "20",
        "prices": "/prices.json",
        "model_timeout": "90s",
        "style": "basic",
    }
    assert {*texts, "runs"} == set(config.KEYS)  # --runs has no bounds beside it; its own test is below
    by_flag = load(**texts)
    by_variable = load({config.KEYS[name].variable: text for name, text in texts.items()})
    (tmp_path / "config/autotune.toml").write_text("".join(f'{name} = "{text}"\n' for name, text in texts.items()))
    assert by_flag == by_variable == load()
    runs = config.Settings(
        "vm", Path("/boot/vmlinuz"), 2, 2 << 30, 3600.0, 0, 4, 9, seed=7, min_effect=0.025, statistic="p90"
    )
    planner = replace(runs, planner="claude", model="my-model", max_cost=0.5, max_calls=20)
    planner = replace(planner, observe=False, explain=False, early_end=False, recall=False)
    assert by_flag == replace(
        planner, prices=Path("/prices.json"), model_url="http://localhost:1/v1", model_timeout=90.0, style="basic"
    )


def test_numbers_in_a_file_need_no_quotes(load: Load, tmp_path: Path) -> None:
    (tmp_path / "work/autotune.toml").write_text("cpus = 2\nbudget = 1.5\n")
    settings = load()
    assert (settings.cpus, settings.budget) == (2, 1.5)


def test_a_path_in_a_file_starts_from_the_files_directory(load: Load, tmp_path: Path) -> None:
    (tmp_path / "config/autotune.toml").write_text('kernel = "images/vmlinuz"\n')
    assert load().kernel == tmp_path / "config/images/vmlinuz"
    assert load(kernel="vmlinuz").kernel == tmp_path / "work/vmlinuz"


def test_an_empty_variable_counts_as_not_set(load: Load) -> None:
    assert load({"AUTOTUNE_CPUS": ""}) == config.Settings()


def test_of_dotenv_only_our_own_variables_matter(load: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "work/.env").write_bytes(b"SECRET=caf\xe9\nexport AUTOTUNE_SEED='11'\nOTHER='never closed\n")
    assert load().seed == 11
    assert not caplog.records


def test_a_dotenv_that_cannot_be_read_is_not_meant_for_us(load: Load, tmp_path: Path) -> None:
    (tmp_path / "work/.env").mkdir()
    assert load() == config.Settings()


def test_settings_become_flags_that_give_them_again(load: Load) -> None:
    settings = load(machine="vm", memory="1536M", budget="1h30m", cpus="2", max_runs="8")
    flags = config.as_flags(settings)
    assert flags == ["--machine", "vm", "--cpus", "2", "--memory", "1536M", "--budget", "1h30m", "--max-runs", "8"]
    assert config.as_flags(config.Settings()) == []


@pytest.mark.parametrize("written", ["false", '"no"', '"false"'])
def test_a_switch_may_be_written_as_toml_writes_it(load: Load, tmp_path: Path, written: str) -> None:
    (tmp_path / "work/autotune.toml").write_text(f"observe = {written}\n")
    assert not load().observe
    assert load(observe="yes").observe


def test_what_is_neither_on_nor_off_is_refused(load: Load) -> None:
    with pytest.raises(UsageError, match="AUTOTUNE_EARLY_END: 'perhaps' is not one of yes, no"):
        load({"AUTOTUNE_EARLY_END": "perhaps"})


def test_a_truth_value_is_no_number(load: Load, tmp_path: Path) -> None:
    (tmp_path / "work/autotune.toml").write_text("cpus = true\n")
    with pytest.raises(UsageError, match="must be a text or a number"):
        load()


@pytest.mark.parametrize(("text", "share"), [("3%", 0.03), ("0.5 %", 0.005), ("0%", 0.0), ("100%", 1.0)])
def test_a_share_is_written_with_its_sign(load: Load, text: str, share: float) -> None:
    settings = load(min_effect=text)
    assert settings.min_effect == share
    flags = config.as_flags(settings)
    assert not flags or quantities.parse_share(flags[1]) == share


@pytest.mark.parametrize("text", ["3", "0.03", "-1%", "%", "three%", "2000%", "nan%", ""])
def test_what_is_no_share_is_refused(load: Load, text: str) -> None:
    with pytest.raises(UsageError, match="--min-effect"):
        load(min_effect=text)


def test_every_setting_is_documented_with_its_flag_and_variable() -> None:
    text = (Path(__file__).parents[2] / "docs/SETTINGS.md").read_text()
    rows = {line.split("|")[1].strip(" `"): line for line in text.splitlines() if line.startswith("| `")}
    assert set(rows) == set(config.ALL)
    for name, key in config.ALL.items():
        cells = [cell.strip() for cell in rows[name].split("|")]
        assert f"`{key.variable}`" in rows[name]
        assert cells[2] == (f"`{key.flag}`" if name in config.KEYS else "none")
        tightening = " or ".join(f"`{value}`" for value in key.project_may)
        assert cells[4] == ("yes" if "project" in key.owners else tightening or "no"), name


# --- what cannot be ---


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("machine", "cloud", "'cloud' is not one of auto, host, vm"),
        ("cpus", "two", "'two' is not a whole number"),
        ("cpus", "0", "0 is less than 1"),
        ("cpus", "9" * 30, "is not a whole number"),
        ("memory", "4096", "is not a size such as 4G"),
        ("budget", "0", "must be more than nothing"),
        ("warmup", "-1", "-1 is less than 0"),
        ("min_runs", "1", "1 is less than 2"),
        ("seed", "1.5", "'1.5' is not a whole number"),
    ],
)
def test_an_error_names_where_the_value_came_from(
    load: Load, tmp_path: Path, name: str, text: str, problem: str
) -> None:
    key = config.KEYS[name]
    with pytest.raises(UsageError) as by_flag:
        load(**{name: text})
    assert by_flag.value.message.startswith(f"{key.flag}: ")
    assert problem in by_flag.value.message
    with pytest.raises(UsageError, match=f"^{key.variable}: "):
        load({key.variable: text})
    (tmp_path / "config/autotune.toml").write_text(f'{name} = "{text}"\n')
    with pytest.raises(UsageError, match=f"^{name} in {tmp_path}/config/autotune.toml: "):
        load()
    (tmp_path / "config/autotune.toml").unlink()
    (tmp_path / "work/.env").write_text(f"{key.variable}={text}\n")
    with pytest.raises(UsageError, match=f"^{key.variable} in .env: "):
        load()
    (tmp_path / "work/.env").unlink()
    (tmp_path / "work/autotune.toml").write_text(f'{name} = "{text}"\n')
    with pytest.raises(UsageError, match=f"^{name} in ./autotune.toml: "):
        load()


def test_fewest_runs_above_most_runs_names_both(load: Load) -> None:
    with pytest.raises(UsageError, match="--min-runs is 9, more than --max-runs, which is 5"):
        load(min_runs="9", max_runs="5")
    with pytest.raises(UsageError, match="AUTOTUNE_MIN_RUNS is 9, more than --max-runs, which is 8"):
        load({"AUTOTUNE_MIN_RUNS": "9"}, max_runs="8")


def test_one_bound_of_the_runs_alone_moves_the_default_of_the_other(load: Load) -> None:
    assert (load(min_runs="9").min_runs, load(min_runs="9").max_runs) == (9, 9)
    few = load(max_runs="2")
    assert (few.min_runs, few.max_runs) == (2, 2)
    assert (load({"AUTOTUNE_MIN_RUNS": "6"}).least_rounds, load({"AUTOTUNE_MIN_RUNS": "6"}).most_rounds) == (6, 6)


def test_an_exact_number_of_runs_comes_from_everywhere(load: Load, tmp_path: Path) -> None:
    assert load(runs="6").runs == load({"AUTOTUNE_RUNS": "6"}).runs == 6
    (tmp_path / "work/autotune.toml").write_text("runs = 6\n")
    assert load().runs == 6


def test_an_exact_number_of_runs_takes_the_place_of_bounds_from_elsewhere(load: Load, tmp_path: Path) -> None:
    (tmp_path / "work/autotune.toml").write_text("min_runs = 3\nmax_runs = 9\n")
    settings = load(runs="5")
    assert (settings.least_rounds, settings.most_rounds, settings.runs) == (5, 5, 5)
    settings = load({"AUTOTUNE_MAX_RUNS": "2"}, runs="5")
    assert (settings.least_rounds, settings.most_rounds) == (5, 5)
    assert (load().least_rounds, load().most_rounds) == (3, 9)


@pytest.mark.parametrize(("bound", "flag"), [("min_runs", "--min-runs"), ("max_runs", "--max-runs")])
def test_an_exact_number_of_runs_beside_a_bound_is_a_mistake(load: Load, bound: str, flag: str) -> None:
    with pytest.raises(UsageError, match=f"--runs is an exact number of rounds, {flag} a bound of it"):
        load(runs="5", **{bound: "4"})


def test_an_unknown_key_in_a_file_is_refused_with_the_nearest_one(load: Load, tmp_path: Path) -> None:
    (tmp_path / "work/autotune.toml").write_text("buget = 90\n")
    with pytest.raises(UsageError, match=r"^buget in \./autotune\.toml is no setting of autotune") as caught:
        load()
    assert caught.value.hint == "did you mean budget?"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"cpus = \n", "is not valid TOML"),
        (b"cpus = [1]\n", "cpus in ./autotune.toml must be a text or a number"),
        (b"cpus = true\n", "cpus in ./autotune.toml must be a text or a number"),
        (b'machine = "\xff"\n', "is not UTF-8 text"),
        (b"budget = nan\n", "budget in ./autotune.toml: 'nan' is not a time"),
    ],
)
def test_a_broken_file_is_named(load: Load, tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "work/autotune.toml").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load()
    assert "./autotune.toml" in caught.value.message
    assert problem in caught.value.message


def test_a_file_that_cannot_be_read_is_named(load: Load, tmp_path: Path) -> None:
    (tmp_path / "work/autotune.toml").mkdir()
    with pytest.raises(UsageError, match=r"\./autotune\.toml cannot be read: Is a directory"):
        load()


# --- what belongs to the user alone ---

DIRECTORIES = (Path("/opt/a"), Path("/opt/b"))


def test_directories_of_schedulers_come_from_the_environment_or_the_users_own_file(load: Load, tmp_path: Path) -> None:
    assert load().scheduler_dirs == ()
    (tmp_path / "config/autotune.toml").write_text('scheduler_dirs = ["/opt/a", "/opt/b"]\n')
    assert load().scheduler_dirs == DIRECTORIES
    (tmp_path / "config/autotune.toml").write_text('scheduler_dirs = "/opt/a:/opt/b"\n')
    assert load().scheduler_dirs == DIRECTORIES
    assert load({"AUTOTUNE_SCHEDULER_DIRS": "/opt/c"}).scheduler_dirs == (Path("/opt/c"),)


@pytest.mark.parametrize("wrong", ["1s", "2h", "0", "soon"])
def test_a_lease_is_long_enough_for_a_busy_machine_and_ends(load: Load, wrong: str) -> None:
    assert load({"AUTOTUNE_LEASE": "2s"}).lease == 2.0
    with pytest.raises(UsageError, match="AUTOTUNE_LEASE"):
        load({"AUTOTUNE_LEASE": wrong})


VALUES = {
    "machine": "host",
    "kernel": "set",
    "planner": "claude",
    "model": "my-model",
    "model_url": "http://localhost:1/v1",
    "max_cost": "99999",
    "max_calls": "9",
    "prices": "p.json",
    "model_timeout": "365d",
    "style": "none",
    "scheduler_dirs": "/opt/a",
    "lease": "1h",
}
"""What a project must not give, with a value that is good in itself."""


def test_a_project_owns_what_bounds_or_describes_a_session_and_nothing_else() -> None:
    own = {name for name, key in config.ALL.items() if "project" in key.owners}
    assert own == {
        "cpus",
        "memory",
        "budget",
        "warmup",
        "min_runs",
        "max_runs",
        "runs",
        "min_effect",
        "statistic",
        "observe",
        "explain",
        "early_end",
        "recall",
        "seed",
    }
    assert set(config.ALL) == own | set(VALUES)
    assert all("user" in key.owners for key in config.ALL.values())


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("file", ["autotune.toml", ".env", "export"])
def test_what_is_the_users_alone_is_refused_from_a_project(load: Load, tmp_path: Path, name: str, file: str) -> None:
    key, text = config.ALL[name], VALUES[name]
    line = f'{name} = "{text}"' if file == "autotune.toml" else f"{key.variable}='{text}'"
    if file == "export":
        file, line = ".env", f"  export {line}"
    origin = f"{name} in ./autotune.toml" if file == "autotune.toml" else f"{key.variable} in .env"
    (tmp_path / "work" / file).write_text(line + "\n")
    for environ in ({}, {key.variable: text}):  # also when it would not have counted
        with pytest.raises(UsageError, match=f"^{origin} is not taken from a project") as caught:
            load(environ)
        assert key.variable in caught.value.hint
        assert "your own configuration directory" in caught.value.hint
        assert (key.flag in caught.value.hint) == (name in config.KEYS)


@pytest.mark.parametrize("name", VALUES)
def test_what_is_the_users_alone_is_taken_from_the_user(load: Load, tmp_path: Path, name: str) -> None:
    key, text = config.ALL[name], VALUES[name]
    by_variable = getattr(load({key.variable: text}), name)
    assert by_variable != getattr(config.Settings(), name)
    (tmp_path / "config/autotune.toml").write_text(f'{name} = "{text}"\n')
    assert getattr(load(), name) is not None
    assert getattr(load(), name) != getattr(config.Settings(), name)


@pytest.mark.parametrize(("name", "text"), [("planner", "offline"), ("planner", "search"), ("machine", "vm")])
def test_a_project_may_tighten(load: Load, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "config/autotune.toml").write_text('planner = "claude"\nmachine = "host"\n')
    (tmp_path / "work/autotune.toml").write_text(f'{name} = "{text}"\n')
    assert getattr(load(), name) == text
    (tmp_path / "work/autotune.toml").unlink()
    (tmp_path / "work/.env").write_text(f"{config.KEYS[name].variable}={text}\n")
    assert getattr(load(), name) == text


LIMITS = [("budget", "5m", "1m", "365d"), ("cpus", "2", "1", "512"), ("memory", "2G", "512M", "64T")]
SWITCHES = [(name, "no", "no", "yes") for name in ("observe", "explain")]
"""Switched off by the user, no project has a run watched: a probe that root loads, and what it sees is sent."""


@pytest.mark.parametrize(("name", "users", "less", "more"), [*LIMITS, *SWITCHES])
@pytest.mark.parametrize("file", ["autotune.toml", ".env"])
def test_a_project_may_lower_a_limit_of_the_users_and_not_raise_it(
    load: Load, tmp_path: Path, name: str, users: str, less: str, more: str, file: str
) -> None:
    key = config.ALL[name]

    def given(text: str) -> Any:
        line = f'{name} = "{text}"' if file == "autotune.toml" else f"{key.variable}={text}"
        (tmp_path / "work" / file).write_text(f"{line}\n")
        return getattr(load(), name)

    assert given(more) == key.parse(more)  # the user has set none
    (tmp_path / "config/autotune.toml").write_text(f'{name} = "{users}"\n')
    assert given(less) == key.parse(less)
    assert given(more) == key.parse(users)
    assert getattr(load(**{name: more}), name) == key.parse(more)  # the user's own word now
    with pytest.raises(UsageError, match=name if file == "autotune.toml" else key.variable):
        given("soon")


@pytest.mark.parametrize(("name", "users", "less", "more"), LIMITS)
def test_a_client_may_lower_a_limit_of_the_users_and_is_refused_what_would_raise_it(
    load: Load, tmp_path: Path, name: str, users: str, less: str, more: str
) -> None:
    def asked(text: str) -> Any:
        work, users_own = tmp_path / "work", tmp_path / "config"
        found = config.load({name: text}, cwd=work, environ={}, config_dir=users_own, of_client=True)
        return getattr(found, name)

    parse = config.ALL[name].parse
    assert asked(more) == parse(more)  # the user has set none
    (tmp_path / "config/autotune.toml").write_text(f'{name} = "{users}"\n')
    (tmp_path / "work/autotune.toml").write_text(f'{name} = "{less}"\n')  # a project's is no limit of the user's
    assert asked(less) == parse(less)
    assert asked(users) == parse(users)
    assert getattr(load(**{name: more}), name) == parse(more)  # the user's own word
    with pytest.raises(UsageError, match=f"--{name}: the most that this user allows is {users} .{name} in "):
        asked(more)


def test_two_files_of_a_project_cannot_raise_a_limit_together(load: Load, tmp_path: Path) -> None:
    (tmp_path / "config/autotune.toml").write_text('budget = "5m"\n')
    (tmp_path / "work/autotune.toml").write_text('budget = "1m"\n')
    (tmp_path / "work/.env").write_text("AUTOTUNE_BUDGET=3d\n")
    assert load().budget <= 300.0


@pytest.mark.parametrize(("name", "text"), [("planner", "auto"), ("machine", "auto")])
def test_a_project_may_not_undo_what_the_user_tightened(load: Load, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "config/autotune.toml").write_text('planner = "offline"\nmachine = "vm"\n')
    (tmp_path / "work/autotune.toml").write_text(f'{name} = "{text}"\n')
    with pytest.raises(UsageError, match=f"{name} in ./autotune.toml is not taken from a project .but for"):
        load()


def test_in_the_users_own_configuration_directory_the_file_is_the_users(tmp_path: Path) -> None:
    (tmp_path / "autotune.toml").write_text('planner = "claude"\n')
    assert config.load({}, cwd=tmp_path, environ={}, config_dir=tmp_path).planner == "claude"


@pytest.mark.parametrize("environ", [{"XDG_CONFIG_HOME": "."}, {"XDG_CONFIG_HOME": "sub"}, {"HOME": "."}, {}])
def test_a_configuration_directory_that_depends_on_where_one_stands_does_not_count(environ: dict[str, str]) -> None:
    assert config.default_config_dir(environ) == Path("/.config/autotune")


@pytest.mark.parametrize("text", ["bin", "./bin", "/opt/a:bin"])
def test_directories_must_not_depend_on_where_one_stands(load: Load, text: str) -> None:
    with pytest.raises(UsageError, match=r"AUTOTUNE_SCHEDULER_DIRS: .*bin' is not an absolute path"):
        load({"AUTOTUNE_SCHEDULER_DIRS": text})


def test_settings_without_a_flag_are_not_repeated_as_flags(load: Load) -> None:
    assert config.as_flags(load({"AUTOTUNE_SCHEDULER_DIRS": "/opt/a"})) == []


# --- files that are no files ---


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def linked_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


ODD = [endless, pipe, linked_pipe, listening]


@pytest.mark.parametrize("make", ODD)
def test_a_dotenv_that_is_no_file_is_left_alone(load: Load, tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "work/.env")
    assert load() == config.Settings()


@pytest.mark.parametrize("place", ["work", "config"])
@pytest.mark.parametrize("make", ODD)
def test_a_settings_file_that_is_no_file_is_refused(
    load: Load, tmp_path: Path, make: Callable[[Path], None], place: str
) -> None:
    make(tmp_path / place / "autotune.toml")
    with pytest.raises(UsageError, match=r"autotune\.toml cannot be read: it is not a regular file"):
        load()


def test_a_file_larger_than_its_bound_is_refused_unread(load: Load, tmp_path: Path) -> None:
    huge = tmp_path / "work/.env"
    huge.write_text("AUTOTUNE_CPUS=2\n")
    os.truncate(huge, 8 << 30)  # a hole: reading it whole would take 8 GiB of memory
    with pytest.raises(UsageError, match=r"^\.env cannot be read: it is larger than 1 MiB"):
        load()
    huge.rename(tmp_path / "work/autotune.toml")
    with pytest.raises(UsageError, match=r"^\./autotune\.toml cannot be read: it is larger than 1 MiB"):
        load()


@pytest.mark.parametrize("content", ["a = " + "[" * 100_000, "cpus = 0x" + "f" * 5000])
def test_settings_that_python_cannot_hold_are_an_error_of_the_file(load: Load, tmp_path: Path, content: str) -> None:
    (tmp_path / "work/autotune.toml").write_text(content + "\n")
    with pytest.raises(UsageError, match=r"\./autotune\.toml"):
        load()


# --- the user's own server -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:11434/v1",
        "http://127.0.0.1:8080",
        "http://[::1]:8000/v1",
        "http://192.168.1.7/v1",
        "http://10.0.0.2:1",
        "https://models.example.com/v1",
    ],
)
def test_an_address_is_near_or_encrypted(load: Load, address: str) -> None:
    assert load(model_url=address).model_url == address


@pytest.mark.parametrize(
    "address",
    [
        "http://models.example.com/v1",
        "http://8.8.8.8/v1",
        "http://localhost.example.com",
        "http://10.0.0.2.example.com",
        "localhost:11434",
        "ftp://localhost",
        "https://",
        "https://user:sesame-1234@example.com",
        "https://example.com/v1?key=sesame-1234",
        "https://example.com/#sesame-1234",
        "https://example.com:99999",
        "https://exa mple.com",
        "https://[::1",
        "file:///etc/passwd",
    ],
)
def test_another_address_is_refused_without_being_shown(load: Load, address: str) -> None:
    with pytest.raises(UsageError, match="--model-url") as caught:
        load(model_url=address)
    assert "sesame" not in f"{caught.value.message} {caught.value.hint}"


def test_the_key_for_it_is_no_setting_and_not_read_from_a_project(load: Load, tmp_path: Path) -> None:
    (tmp_path / "work/.env").write_text("AUTOTUNE_MODEL_KEY=sesame-1234\n")
    assert load({"AUTOTUNE_MODEL_KEY": "sesame-1234"}) == config.Settings()
