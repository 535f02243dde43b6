"""How many answers become one, place by place: their mean, or all that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from orchestration.core.routing.values import Path, canonical, is_number, path_text

__all__ = ["ConflictRule", "Named", "averaged", "merged"]

Named = Sequence[tuple[str, Any]]
"""Answers with who gave them, in the order of the targets."""


class ConflictRule(StrEnum):
    """What counts where answers differ and neither can be reckoned from the others.

    FIRST and LAST go by the order of the targets; COLLECT lists what differs; ERROR
    refuses it.
    """

    ERROR = "ERROR"
    FIRST = "FIRST"
    LAST = "LAST"
    COLLECT = "COLLECT"


def averaged(answers: Named, rule: ConflictRule | None) -> tuple[Any, list[str]]:
    """Return the mean of each number in the answers, and what could not be averaged.

    Numbers are JSON numbers: text is never one, whatever it looks like, for ids and
    versions look like numbers too. Dicts are gone through key by key, lists of one
    length item by item. The mean is that of the exact values, rounded once; it does
    not depend on the order and lies between the smallest and the largest. Of whole
    numbers it is a whole number where it comes out even.

    What is no number stays if all agree. Where they differ, or some lack it, ``rule``
    says what counts; a number that some lack is then the mean of the others. None: of
    texts, true, false and null inside the answers, such as who it was computed by, that
    of the first target counts; all else is a fault, as by ERROR: a number where others
    have none, lists of different lengths, answers that hold nothing to be averaged.

    Returns:
        The combined answer, and one sentence per fault, which only ERROR and None have.
    """
    combining = _Combining(rule, is_mean=True)
    return combining.at((), answers), combining.faults


def merged(answers: Named, rule: ConflictRule) -> tuple[Any, list[str]]:
    """Return all that the answers hold, and where they contradict each other.

    Dicts are merged key by key, to any depth. Anything else, lists too, is a whole:
    where answers differ in it, ``rule`` says what counts. FIRST and LAST go by the
    order of the targets, not of arrival; COLLECT is the list of the different values.
    Merging one answer with itself gives that answer.

    Returns:
        The combined answer, and one sentence per fault, which only ERROR has.
    """
    combining = _Combining(rule, is_mean=False)
    return combining.at((), answers), combining.faults


class _Combining:
    """One pass over the answers; keeps what it could not combine."""

    def __init__(self, rule: ConflictRule | None, *, is_mean: bool) -> None:
        self.faults: list[str] = []
        self._rule = ConflictRule.ERROR if rule is None else rule
        self._is_mean = is_mean
        self._may_labels_differ = is_mean and rule is None

    def at(self, path: Path, named: Named) -> Any:  # noqa: ANN401  JSON
        values = [value for _, value in named]
        if all(isinstance(value, dict) for value in values):
            return self._dicts(path, named)
        if self._is_mean:
            if all(is_number(value) for value in values):
                return _mean(values)
            if _are_lists_of_one_length(values):
                return self._lists(path, named)
        return self._leaf(path, named)

    def _dicts(self, path: Path, named: Named) -> dict[str, Any]:
        combined = {}
        for key in dict.fromkeys(key for _, value in named for key in value):
            having = [(who, value[key]) for who, value in named if key in value]
            if len(having) < len(named) and self._is_mean:
                self._miss((*path, key), having, named)
            combined[key] = self.at((*path, key), having)
        return combined

    def _lists(self, path: Path, named: Named) -> list[Any]:
        return [
            self.at((*path, index), [(who, value[index]) for who, value in named])
            for index in range(len(named[0][1]))
        ]

    def _leaf(self, path: Path, named: Named) -> Any:  # noqa: ANN401  JSON
        different: dict[str, Any] = {}
        by_text: dict[str, list[str]] = {}
        for who, value in named:
            text = canonical(value)
            different.setdefault(text, value)
            by_text.setdefault(text, []).append(who)
        values = list(different.values())
        if len(values) == 1 or (path and self._are_labels(values)):
            return values[0]
        match self._rule:
            case ConflictRule.FIRST:
                return values[0]
            case ConflictRule.LAST:
                return named[-1][1]
            case ConflictRule.COLLECT:
                return values
            case ConflictRule.ERROR:
                camps = " | ".join(
                    f"{', '.join(who)} ({_kind(different[text])})"
                    for text, who in by_text.items()
                )
                self.faults.append(f"{path_text(path)} differs: {camps}")
                return None

    def _miss(self, path: Path, having: Named, named: Named) -> None:
        if self._are_labels([value for _, value in having]):
            return
        if self._rule is ConflictRule.ERROR:
            present = {who for who, _ in having}
            lacking = ", ".join(who for who, _ in named if who not in present)
            self.faults.append(f"{path_text(path)} is not in the answer of {lacking}")

    def _are_labels(self, values: Sequence[Any]) -> bool:
        """Tell whether values stand beside what is averaged, and may differ there."""
        return self._may_labels_differ and not any(
            is_number(value) or isinstance(value, dict | list) for value in values
        )


def _are_lists_of_one_length(values: Sequence[Any]) -> bool:
    lengths = {len(value) if isinstance(value, list) else None for value in values}
    return len(lengths) == 1 and None not in lengths


def _mean(values: Sequence[int | float]) -> int | float:
    """Return the mean of the exact values, rounded once."""
    ratios = [value.as_integer_ratio() for value in values]
    # Denominators of floats are powers of two: the largest is a multiple of each.
    scale = max(denominator for _, denominator in ratios)
    total = sum(above * (scale // below) for above, below in ratios)
    count = scale * len(values)
    if all(isinstance(value, int) for value in values) and total % count == 0:
        return total // count
    try:
        mean: int | float = total / count  # of whole numbers: rounded to the nearest
    except OverflowError:
        mean = total // count  # whole numbers that no float holds
    # Near whole numbers beyond 2^53 the nearest float may lie outside.
    return min(max(mean, min(values)), max(values))


def _kind(value: object) -> str:
    """Return what people call a JSON value; never the value, which may be secret."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "null" if value is None else "a number"
