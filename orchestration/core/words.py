"""Members of enums by the names that people write."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar, overload

__all__ = ["member"]

_E = TypeVar("_E", bound=StrEnum)


@overload
def member(kind: type[_E], value: str) -> _E: ...
@overload
def member(kind: type[_E], value: None) -> None: ...
def member(kind: type[_E], value: str | None) -> _E | None:
    """Return the enum's member of that name; members and plain names are equal.

    Raises:
        ValueError: There is no such member; the text lists those that there are.
    """
    if value is None:
        return None
    try:
        return kind[str(value).upper()]
    except KeyError:
        names = ", ".join(kind.__members__)
        raise ValueError(f"{value!r} is no {kind.__name__}: use {names}") from None
