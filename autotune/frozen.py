# SPDX-License-Identifier: MIT
"""`@dataclass(frozen=True)`, made in a third of the time: for records of which every process defines many.

The standard decorator compiles six methods for each class, which is most of what importing `records` takes, and the
holder, the guest's agent and every command import that. Here only `__init__` is compiled; the other methods are the
same for all classes, and read the fields. Behaviour is the standard one's: see tests/unit/test_frozen.py. Standard
library only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen):
        """Return the decorator. Only frozen classes are made here, with no other option."""
        assert frozen
        return _record


def _record(cls: type[Any]) -> type[Any]:
    own = dict(cls.__dict__)
    made = dataclasses.dataclass(repr=False, eq=False)(cls)
    made.__dataclass_params__.frozen = made.__dataclass_params__.eq = made.__dataclass_params__.repr = True
    assert all(f.init and f.hash is None and f.repr for f in dataclasses.fields(made)), "the standard decorator can"
    made.__compared__ = staticmethod(_getter([f.name for f in dataclasses.fields(made) if f.compare]))
    for name, method in _METHODS.items():
        if name not in own:
            setattr(made, name, method)
    if "__eq__" in own and own.get("__hash__") is None:  # as Python, which sets None beside a class's own __eq__
        setattr(made, "__hash__", _hash)  # noqa: B010 - mypy takes it for a method of this instance
    return made


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__dataclass_fields__)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self.__compared__(self) == self.__compared__(other)


def _hash(self: Any) -> int:
    return hash(self.__compared__(self))


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[object, ...]]:
    """Return what gives the tuple of these fields."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple([getattr(record, name) for name in names])


def _setattr(self: Any, name: str, value: object) -> None:
    """Let `__init__` set each field once."""
    if name in self.__dict__ or name not in self.__dataclass_fields__:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
    self.__dict__[name] = value


def _delattr(_self: Any, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


_METHODS = {"__repr__": _repr, "__eq__": _eq, "__hash__": _hash, "__setattr__": _setattr, "__delattr__": _delattr}
