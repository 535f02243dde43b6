"""What settings of a swarm can do: come from JSON, go there, tell their faults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, Final, Self

from orchestration.core.jsonable import is_number, is_whole, shown

__all__ = ["MAX_AGENTS", "Checked", "number", "place", "points", "whole"]

MAX_AGENTS: Final = 100_000
"""More than that no state holds; how many a deployment allows is its own setting."""

_FARTHEST: Final = 1e100  # squares of distances still are numbers


class Checked(ABC):
    """Settings, a frozen dataclass whose ``each_fault`` says what is wrong with it."""

    __slots__ = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the settings that ``to_json`` told of; the rest are the defaults.

        Raises:
            ValueError: It has a key that is no setting.
        """
        known = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # a dataclass
        if unknown := sorted(map(shown, set(value) - set(known))):
            raise ValueError(
                f"{cls.__name__} has no {', '.join(unknown)}: use {', '.join(known)}"
            )
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """Return all settings as JSON."""
        return {
            name: _as_json(value)
            for name, value in asdict(self).items()  # type: ignore[call-overload]  # a dataclass
        }

    def faults(self) -> tuple[str, ...]:
        """Return all that is wrong with them, each with its way out."""
        return tuple(self.each_fault())

    @abstractmethod
    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""


def whole(name: str, value: object, low: int, high: int) -> Iterator[str]:
    """Name the fault of what is no whole number within its bounds."""
    if not is_whole(value) or not low <= value <= high:  # type: ignore[operator]
        yield (f"{name} is {shown(value)}: give it a whole number, {low:,} to {high:,}")


def number(
    name: str,
    value: object,
    low: float = 0.0,
    high: float = _FARTHEST,
    *,
    above: bool = False,
) -> Iterator[str]:
    """Name the fault of what is no number within its bounds.

    Args:
        name: Of the setting.
        value: Of the setting.
        low: The least.
        high: The most.
        above: Whether it must be more than the least.
    """
    if is_number(value) and low <= value <= high and not (above and value == low):  # type: ignore[operator]
        return
    least = f"more than {low:g}" if above else f"at least {low:g}"
    yield f"{name} is {shown(value)}: give it a number, {least} and at most {high:g}"


def place(name: str, value: object, dims: int | None) -> Iterator[str]:
    """Name the fault of what is no place: one number for each dimension."""
    if (
        not isinstance(value, tuple)
        or dims not in (None, len(value))
        or not all(is_number(each) and abs(each) <= _FARTHEST for each in value)
    ):
        count = "one for each dimension" if dims is None else f"{dims} of them"
        yield f"{name} is {shown(value)}: give it a list of numbers, {count}"


def points(value: object) -> Any:  # noqa: ANN401  what is no list is named as a fault
    """Return lists as tuples, however deep; all else as it is."""
    if isinstance(value, list | tuple):
        return tuple(map(points, value))
    return value


def _as_json(value: object) -> object:
    if isinstance(value, tuple):
        return [_as_json(each) for each in value]
    return str(value) if isinstance(value, str) else value
