"""Whether the settings of a routing feature make sense: all their faults at once."""

from __future__ import annotations

import math
from typing import TypeGuard

from orchestration.errors import ConfigurationError

__all__ = ["above", "between", "refuse"]


def between(
    name: str, value: object, low: float, high: float = math.inf
) -> tuple[str, ...]:
    """Return the fault of what is no number within its bounds, which are allowed."""
    if _is_number(value) and low <= value <= high:
        return ()
    upper = "" if high == math.inf else f" and at most {high:g}"
    return (f"{name} is {value!r}: give it at least {low:g}{upper}",)


def above(name: str, value: object, low: float = 0.0) -> tuple[str, ...]:
    """Return the fault of what is no number above its bound."""
    if _is_number(value) and value > low:
        return ()
    return (f"{name} is {value!r}: give it more than {low:g}",)


def refuse(settings: object, *faults: tuple[str, ...]) -> None:
    """Raise what is wrong with settings, if anything is.

    Raises:
        ConfigurationError: Names the settings and lists every fault.
    """
    if found := [text for each in faults for text in each]:
        raise ConfigurationError(f"{type(settings).__name__}: {'; '.join(found)}")


def _is_number(value: object) -> TypeGuard[float]:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
