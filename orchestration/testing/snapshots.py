"""Snapshots of a user's world, and where two of them differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Difference", "differences", "settled"]

_NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where a world is not as it should be.

    Attributes:
        path: The keys that lead there.
    """

    path: tuple[str, ...]
    found: str
    expected: str

    def __str__(self) -> str:
        where = "".join(self.path).lstrip(".") or "the world"
        return f"{where} is {self.found}, should be {self.expected}"

    def is_about(self, other: Difference) -> bool:
        """Whether one of the two places holds the other."""
        return all(
            mine == its for mine, its in zip(self.path, other.path, strict=False)
        )


def settled(value: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401
    """Return a copy that stays as it is, with the ids of sagas replaced by names."""
    match value:
        case str():
            for known, name in names.items():
                value = value.replace(known, name)
            return value
        case Mapping():
            return {settled(k, names): settled(v, names) for k, v in value.items()}
        case list() | tuple():
            return [settled(one, names) for one in value]
        case Set():
            return {settled(one, names) for one in value}
        case _:
            return deepcopy(value)


def differences(found: Any, expected: Any) -> tuple[Difference, ...]:  # noqa: ANN401
    """Return where a world differs from the one that it should be."""
    return tuple(_differences(found, expected, ()))


def _differences(
    found: Any,  # noqa: ANN401
    expected: Any,  # noqa: ANN401
    path: tuple[str, ...],
) -> Iterator[Difference]:
    if found == expected:
        return
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in [*expected, *(key for key in found if key not in expected)]:
            place = (*path, f".{key}")
            if key not in found:
                yield Difference(place, _NOTHING, repr(expected[key]))
            elif key not in expected:
                yield Difference(place, repr(found[key]), _NOTHING)
            else:
                yield from _differences(found[key], expected[key], place)
    elif isinstance(found, set) and isinstance(expected, set):
        for one in sorted(map(repr, found - expected)):
            yield Difference((*path, f"[{one}]"), "there", "absent")
        for one in sorted(map(repr, expected - found)):
            yield Difference((*path, f"[{one}]"), "absent", "there")
    elif _are_of_one_length(found, expected):
        for at, (is_, should_be) in enumerate(zip(found, expected, strict=True)):
            yield from _differences(is_, should_be, (*path, f"[{at}]"))
    else:
        yield Difference(path, repr(found), repr(expected))


def _are_of_one_length(found: object, expected: object) -> bool:
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected)
    return False
