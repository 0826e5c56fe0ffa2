# SPDX-License-Identifier: MIT
"""Records to and from JSON.

Standard library only.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal, TypeVar, Union

R = TypeVar("R")


def to_json(record: Any) -> Any:
    """Turn a record into values that `json.dumps` takes; tuples become lists."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, (list, tuple)):
        return [to_json(item) for item in record]
    if isinstance(record, dict):
        return {str(key): to_json(value) for key, value in record.items()}
    return record


def from_json(cls: type[R], data: Any) -> R:
    """Rebuild the record of class `cls` from what `to_json` made. Raises TypeError, KeyError or ValueError on anything
    else; unknown keys are ignored so that older programs read newer files."""
    return typing.cast(R, _build(cls, data))


def _build(hint: Any, data: Any) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build_record(hint, data)
    origin = typing.get_origin(hint)
    args = typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _build_union(args, data)
    if origin is Literal:
        return _of_kind(tuple({type(arg) for arg in args}), data)
    if origin is tuple:
        _of_kind((list, tuple), data)
        inner = args[:1] * len(data) if len(args) == 2 and args[1] is Ellipsis else args
        return tuple(_build(kind, item) for kind, item in zip(inner, data, strict=True))
    if origin is dict:
        return {key: _build(args[1], value) for key, value in _of_kind((dict,), data).items()}
    if hint is float:
        return float(_of_kind((float, int), data))
    return _of_kind((hint,), data) if hint in (str, int, bool) else data


def _of_kind(kinds: tuple[type, ...], data: Any) -> Any:
    """Return the data when it is of one of these kinds; a truth value is no number. Raises TypeError."""
    if not isinstance(data, kinds) or (isinstance(data, bool) and bool not in kinds):
        raise TypeError(f"{kinds[0].__name__} is wanted, not {type(data).__name__}")
    return data


def _build_union(args: tuple[Any, ...], data: Any) -> Any:
    if data is None:
        return None
    records = [kind for kind in args if dataclasses.is_dataclass(kind)]
    if records:
        return _build(records[0], data)
    others = [kind for kind in args if kind is not type(None)]
    return _build(others[0], data) if len(others) == 1 else data


def _build_record(cls: type[Any], data: Any) -> Any:
    if not isinstance(data, dict):
        raise TypeError(f"{cls.__name__} wants an object, not {type(data).__name__}")
    hints = typing.get_type_hints(cls)
    known = {f.name: _build(hints[f.name], data[f.name]) for f in dataclasses.fields(cls) if f.name in data}
    return cls(**known)
