"""What JSON can hold: numbers, and whole values; and how a fault shows a value."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from typing import Any

__all__ = ["is_number", "is_whole", "json_fault", "shown"]

_MAX_DEPTH = 50
_MAX_WHOLE = 2**53 - 1  # JSON's numbers are exact up to here


def is_whole(value: object) -> bool:
    """Tell whether it is a whole number that JSON keeps exactly."""
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and abs(value) <= _MAX_WHOLE
    )


def is_number(value: object) -> bool:
    """Tell whether it is a number that JSON can hold."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def shown(value: object) -> str:
    """Return a short text of any value, for people."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python writes no numbers of more than 4,300 digits
        return "a number too long to show"


def json_fault(value: object, where: str, depth: int = 0) -> str | None:
    """Return what in ``value`` JSON has no word for, and where; None if nothing."""
    if depth > _MAX_DEPTH:
        return f"{where} is nested more than {_MAX_DEPTH} deep: flatten it"
    inner: list[tuple[str, Any]] = []
    match value:
        case None | bool():
            return None
        case str():
            is_json = _is_text(value)
        case int() | float():
            is_json = is_number(value)
        case Mapping():
            inner = [(f"{where}[{shown(key)}]", item) for key, item in value.items()]
            is_json = all(isinstance(key, str) and _is_text(key) for key in value)
        case list() | tuple():
            inner = [(f"{where}[{at}]", item) for at, item in enumerate(value)]
            is_json = True
        case _:
            is_json = False
    if not is_json:
        return f"{where} is {shown(value)}: use what JSON can hold"
    faults = (json_fault(item, place, depth + 1) for place, item in inner)
    return next((fault for fault in faults if fault), None)


def _is_text(text: str) -> bool:
    """Tell whether no half of a surrogate pair is in it: UTF-8 has no bytes for one."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
