"""The labels of a time axis: where they stand, and what they say. Pure."""

from __future__ import annotations

__all__ = ["ticks"]

_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
_STEPS_S = (
    *(base * power for power in (0.001, 0.01, 0.1) for base in (1.0, 2.0, 5.0)),
    *(base * unit for unit in (1.0, _MINUTE) for base in (1, 2, 5, 10, 15, 30)),
    *(base * _HOUR for base in (1, 2, 3, 6, 12)),
    *(base * power * _DAY for power in (1, 10, 100, 1_000) for base in (1, 2, 5)),
)


def ticks(seconds: float, *, at_most: int) -> tuple[tuple[float, str], ...]:
    """Return times from 0 on at round distances, seconds, each with its label.

    Args:
        seconds: How far the axis goes.
        at_most: How many labels there is room for beside the first.
    """
    wanted = seconds / max(1, at_most)
    step = next((one for one in _STEPS_S if one >= wanted), _STEPS_S[-1])
    count = int(seconds / step + 1e-9)
    times = [step * number for number in range(1, count + 1)]
    return ((0.0, "0"), *((at, _label(at, step)) for at in times))


def _label(seconds: float, step: float) -> str:
    """Return a time with as many digits as its step needs."""
    if step < 1:
        return f"{seconds * 1_000:.0f}ms" if seconds < 1 else f"{seconds:.3g}s"
    for unit, sign in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if step >= unit:
            return f"{seconds / unit:.0f}{sign}"
    return f"{seconds:.0f}s"
