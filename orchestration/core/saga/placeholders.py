"""The ``${name}`` in a template's texts: where they stand, and what takes their place.

A text that is one placeholder and nothing else becomes the value, whatever its type. In
a longer text the value's own text is put in. ``$${`` is a ``${`` that is meant as such.
Values are put in as they are: a ``${`` in a value is no placeholder.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

__all__ = ["Placeholder", "filled", "placeholders"]

Json: TypeAlias = Any  # whatever JSON can hold

_MARK: Final = re.compile(r"\$\$\{|\$\{([^{}$]*)(\}?)")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One placeholder of a template.

    Attributes:
        name: Of the parameter, or whatever stands between the brackets.
        where: The place of the text, as ``saga['steps'][0]['name']``.
        is_whole: Whether the text is this placeholder and nothing else.
        is_closed: Whether its bracket is closed.
        is_in_key: Whether the text is an object's key.
    """

    name: str
    where: str
    is_whole: bool
    is_closed: bool
    is_in_key: bool = False


def placeholders(value: Json, where: str) -> Iterator[Placeholder]:
    """Yield the placeholders in all texts of a JSON value, in order.

    Args:
        value: JSON, by its very types.
        where: Its own place.
    """
    match value:
        case str():
            yield from _in_text(value, where)
        case Mapping():
            for key, item in value.items():
                place = f"{where}[{key!r}]"
                for found in _in_text(key, place):
                    yield replace(found, is_in_key=True)
                yield from placeholders(item, place)
        case list() | tuple():
            for at, item in enumerate(value):
                yield from placeholders(item, f"{where}[{at}]")


def filled(value: Json, parameters: Mapping[str, Json]) -> Json:
    """Return a copy of a JSON value with each placeholder replaced.

    Args:
        value: Its placeholders are sound, and all of them name a parameter.
        parameters: The values; a list or an object only for texts that are whole.
    """
    match value:
        case str():
            whole = _MARK.fullmatch(value)
            if whole and whole[1] is not None:
                return copy.deepcopy(parameters[whole[1]])
            return _MARK.sub(
                lambda mark: "${" if mark[1] is None else _text(parameters[mark[1]]),
                value,
            )
        case Mapping():
            return {key: filled(item, parameters) for key, item in value.items()}
        case list() | tuple():
            return [filled(item, parameters) for item in value]
    return value


def _in_text(text: str, where: str) -> Iterator[Placeholder]:
    for mark in _MARK.finditer(text):
        if mark[1] is not None:
            yield Placeholder(
                mark[1], where, is_whole=mark[0] == text, is_closed=bool(mark[2])
            )


def _text(value: Json) -> str:
    # As JSON writes it: true, not True.
    return value if isinstance(value, str) else json.dumps(value)
