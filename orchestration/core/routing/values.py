"""When two answers are the same, and which answers cannot be used."""

from __future__ import annotations

import json
import math
from typing import Any, Final, TypeGuard

__all__ = ["MAX_DEPTH", "canonical", "is_number", "path_text", "unfit"]

MAX_DEPTH: Final = 100
"""How deep an answer may be nested: what aggregates goes down into it by recursion."""

_MAX_BITS: Final = 14_000  # Python writes no longer number out, and reads none

Path = tuple[str | int, ...]


def canonical(value: Any) -> str:  # noqa: ANN401  JSON
    """Return the one text of a JSON value: equal values, and only they, share it.

    As in RFC 8785, ``1`` and ``1.0`` are one number, ``true`` is none, and the order
    of keys says nothing. Whole numbers that RFC 8785 has no room for (beyond 2^53) are
    told apart all the same. The text is for comparing and is not stored.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:  # noqa: ANN401  JSON
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether a JSON value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def path_text(path: Path) -> str:
    """Return how people read a place in an answer: ``totals.co2[2]``."""
    text = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in path
    )
    return repr(text.removeprefix(".")) if path else "the whole answer"


def unfit(value: object) -> str | None:
    """Return why an answer cannot be used, or None: it is JSON of finite numbers."""
    return _unfit(value, ())


def _unfit(value: object, path: Path) -> str | None:
    if len(path) > MAX_DEPTH:
        return f"it is nested more than {MAX_DEPTH} deep"
    if isinstance(value, dict):
        if odd := [key for key in value if not isinstance(key, str)]:
            return f"{path_text(path)} has the key {odd[0]!r}, which is no text"
        return _first_unfit(list(value.items()), path)
    if isinstance(value, list):
        return _first_unfit(list(enumerate(value)), path)
    if value is None or isinstance(value, str | bool):
        return None
    if not isinstance(value, int | float):
        return f"{path_text(path)} is a {type(value).__name__}, which is no JSON"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path_text(path)} is {value}, which is no number"
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return f"{path_text(path)} is a number of more than 4,000 digits"
    return None


def _first_unfit(items: list[tuple[Any, Any]], path: Path) -> str | None:
    faults = (_unfit(one, (*path, key)) for key, one in items)
    return next((fault for fault in faults if fault), None)
