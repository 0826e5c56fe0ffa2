# SPDX-License-Identifier: MIT
"""Our frozen records behave as the standard library's do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from dataclasses import field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune import events, frozen, records


class Plain:
    """A record of each kind of field."""

    number: int
    text: str = ""
    many: tuple[int, ...] = ()
    named: dict[str, int] = field(default_factory=dict)
    aside: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.number < -1000:
            raise ValueError(self.number)

    @property
    def double(self) -> int:
        return 2 * self.number


class WithEq:
    """A class that compares by itself."""

    number: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WithEq) and self.number % 2 == other.number % 2


def both(template: type[Any]) -> tuple[Any, Any]:
    """A class of each decorator, of the same text and name."""
    body = {name: value for name, value in vars(template).items() if name not in ("__dict__", "__weakref__")}
    standard: Any = dataclasses.dataclass(frozen=True)
    ours: Any = frozen.dataclass(frozen=True)
    return standard(type(template.__name__, (), dict(body))), ours(type(template.__name__, (), dict(body)))


STANDARD, OURS = both(Plain)
VALUES: Any = st.tuples(
    st.integers(-3, 3), st.sampled_from(["", "a"]), st.tuples(st.integers(0, 1)), st.just({}), st.text()
)


@given(VALUES, VALUES)
def test_it_shows_compares_and_hashes_as_the_standard_one(one: Any, other: Any) -> None:
    theirs, ours = (STANDARD(*one), STANDARD(*other)), (OURS(*one), OURS(*other))
    assert repr(ours[0]) == repr(theirs[0])
    assert (ours[0] == ours[1], ours[0] != ours[1]) == (theirs[0] == theirs[1], theirs[0] != theirs[1])
    assert ours[0] != theirs[0]
    assert ours[0] != one
    assert dataclasses.asdict(ours[0]) == dataclasses.asdict(theirs[0])
    changed = dataclasses.replace(ours[0], number=7)
    assert (changed.number, changed.text, changed.double) == (7, one[1], 14)


@given(st.integers(), st.integers())
def test_equal_ones_have_one_hash(one: int, other: int) -> None:
    identity = records.Identity(one, other, (one,))
    assert hash(identity) == hash(records.Identity(one, other, (one,)))
    assert len({identity, records.Identity(one, other, (one,))}) == 1


def test_what_compares_by_itself_keeps_that_and_its_hash_is_of_the_fields() -> None:
    theirs, ours = both(WithEq)
    assert ours.__eq__ is theirs.__eq__ is WithEq.__eq__
    assert hash(ours(3)) == hash(theirs(3))


def test_nothing_can_be_changed_added_or_deleted() -> None:
    for record in (OURS(1), STANDARD(1), records.Identity(1, 2)):
        for name in (*record.__dataclass_fields__, "new", "__class__"):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(record, name, 5)
            with pytest.raises(dataclasses.FrozenInstanceError):
                delattr(record, name)


def test_arguments_that_do_not_fit_are_refused_as_ever() -> None:
    for made in (STANDARD, OURS):
        for arguments, names in (((), {}), ((1, "", (), {}, "", 6), {}), ((1,), {"nonsense": 2})):
            with pytest.raises(TypeError):
                made(*arguments, **names)
        with pytest.raises(ValueError, match="-1001"):
            made(-1001)


def test_a_copy_and_a_pickle_are_equal_and_frozen() -> None:
    record = records.Guard("memory", "max", 1.25, relative=True)
    for again in (copy.copy(record), copy.deepcopy(record), pickle.loads(pickle.dumps(record))):
        assert again == record
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(again, "limit", 2.0)  # noqa: B010


def test_a_class_may_descend_from_a_record_by_the_standard_decorator() -> None:
    descendant: Any = dataclasses.dataclass(frozen=True)(
        type("Of", (OURS,), {"__annotations__": {"more": "int"}, "more": 0})
    )
    assert descendant(1, more=2) == descendant(1, more=2) != descendant(1, more=3)


def test_all_frozen_classes_of_the_package_are_such() -> None:
    """A standard one costs a start three times as much, and there are hundreds."""
    found = {path: path.read_text() for path in Path(frozen.__file__).parent.rglob("*.py")}
    using = [text for path, text in found.items() if path.name != "frozen.py" and "dataclass(frozen=True)" in text]
    assert len(using) > 100
    standard = re.compile(r"^from dataclasses import .*\bdataclass\b", re.M)
    made = "@frozen.dataclass(frozen=True)"
    assert not [text for text in using if standard.search(text) and "@dataclass(frozen=True)" in text.replace(made, "")]
    assert hasattr(records.Identity, "__compared__")
    assert hasattr(events.Warned, "__compared__")
