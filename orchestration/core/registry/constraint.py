"""Which versions a ``version_constraint`` allows: ``>=2.0.0``, ``^1.2 || ~3.1``.

| text | allows |
| --- | --- |
| ``>=2.0.0`` ``>1.0`` ``<3`` ``<=1.2`` | by order; numbers that are missing are 0 |
| ``=1.2.3`` ``==1.2`` ``!=1.4`` | that version (``1.2`` is 1.2.0), or any but it |
| ``1`` ``1.2`` ``1.x`` ``1.2.*`` ``*`` | every version that begins so |
| ``=1.x`` ``!=1.2.*`` | the same, and its opposite |
| ``^1.2`` | from 1.2.0, as long as the first number that is not 0 stays |
| ``~1.4`` ``~1.4.2`` | from there, as long as 1.4 stays; ``~1``: as long as 1 stays |
| ``~=1.4`` ``~=1.4.2`` | from there, as long as all but the last number stay |
| ``>=1.2,<2`` ``>=1.2 <2`` | both |
| ``^1.2 || ^3`` | either |

A prerelease is allowed only where an alternative names, other than by ``!=``, a
prerelease of the same numbers: ``>=2.0.0-rc.1`` allows 2.0.0-rc.2 and 2.0.0 and not
2.1.0-beta; ``<2.0.0`` and ``*`` allow none. What follows a ``+`` does not count.

Agents' versions are semantic ones, which no library for ranges takes together with
both families of operators: PEP 440 has no ``^``, ``||`` or ``1.0.0-alpha.beta``, and
npm's ranges have no ``~=``, ``!=`` or ``,``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from orchestration.core.semver import Precedence, is_prerelease, precedence

__all__ = ["Constraint", "compile_constraint", "constraint_fault"]

_MAX_CHARACTERS: Final = 200
_KEPT: Final = 1_024  # compiled constraints, and four times as many versions
_WAY_OUT: Final = "write one like >=2.0.0, ^1.2, 1.x or >=1.2,<2"
_TERM: Final = re.compile(
    r"\s*(?P<operator>\^|~=|~|==|=|!=|>=|<=|>|<)?\s*"
    r"(?P<version>[0-9xX*][0-9a-zA-Z.*+-]*)\s*(?P<comma>,(?!\s*$))?"
)
_NUMBER: Final = r"(?:0|[1-9][0-9]{0,8})"
_PARTIAL: Final = re.compile(rf"{_NUMBER}(?:\.{_NUMBER})?")
_WILD: Final = re.compile(rf"(?:({_NUMBER})\.)?(?:({_NUMBER})\.)?[xX*](?:\.[xX*])*")

_FIRST: Final[Precedence] = ((0, 0, 0), False, ())
"""Before every version: what no lower bound means."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A compiled constraint; safe to keep, and to use from many threads.

    Attributes:
        text: As it was written.
    """

    text: str
    _alternatives: tuple[_Alternative, ...]

    def allows(self, version: str) -> bool:
        """Tell whether a version fits; what is no semantic version never does."""
        try:
            key = _key(version)
        except ValueError:
            return False
        return any(one.allows(key) for one in self._alternatives)


def compile_constraint(text: str) -> Constraint:
    """Compile a constraint; what was compiled before is returned at once.

    Raises:
        ValueError: The text is none; the error says where it goes wrong.
    """
    if not isinstance(text, str):
        raise ValueError(f"a version constraint is {text!r}: {_WAY_OUT}")  # noqa: TRY004  one kind of error for all that JSON can hold
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(
            f"a version constraint of {len(text)} characters is over the limit of "
            f"{_MAX_CHARACTERS}: shorten it"
        )
    return _compiled(text)


def constraint_fault(text: str) -> str | None:
    """Return what is wrong with a constraint, for lists of faults; None if nothing."""
    try:
        compile_constraint(text)
    except ValueError as exc:
        return str(exc)
    return None


@dataclass(frozen=True, slots=True)
class _Span:
    """The versions from ``low`` to ``high``, or with ``outside`` all others."""

    low: Precedence = _FIRST
    has_low: bool = True
    high: Precedence | None = None
    has_high: bool = False
    outside: bool = False

    def allows(self, key: Precedence) -> bool:
        inside = key > self.low or (self.has_low and key == self.low)
        if inside and self.high is not None:
            inside = key < self.high or (self.has_high and key == self.high)
        return inside != self.outside


@dataclass(frozen=True, slots=True)
class _Alternative:
    """What stands between two ``||``: all spans hold.

    Attributes:
        spans: All of them.
        prereleases_of: The numbers whose prereleases may be allowed.
    """

    spans: tuple[_Span, ...]
    prereleases_of: frozenset[tuple[int, ...]]

    def allows(self, key: Precedence) -> bool:
        numbers, is_release, _ = key
        if not is_release and numbers not in self.prereleases_of:
            return False
        return all(span.allows(key) for span in self.spans)


@lru_cache(maxsize=_KEPT)
def _compiled(text: str) -> Constraint:
    parts = text.split("||")
    return Constraint(text, tuple(_alternative(text, part) for part in parts))


@lru_cache(maxsize=4 * _KEPT)
def _key(version: str) -> Precedence:
    return precedence(version)


def _alternative(text: str, part: str) -> _Alternative:
    spans: list[_Span] = []
    prereleases: set[tuple[int, ...]] = set()
    at = 0
    while part[at:].strip() or not spans:
        found = _TERM.match(part, at)
        if found is None:
            what = repr(part[at:].strip()) if part[at:].strip() else "an empty part"
            raise _refused(text, f"{what} is no version or range")
        operator, version = found["operator"] or "", found["version"]
        spans.append(_span(text, operator, version))
        if operator != "!=" and "-" in version and is_prerelease(version):
            prereleases.add(precedence(version)[0])
        at = found.end()
    return _Alternative(tuple(spans), frozenset(prereleases))


def _span(text: str, operator: str, version: str) -> _Span:
    """Return what one operator with its version allows."""
    if (wild := _WILD.fullmatch(version)) is not None:
        given = [int(number) for number in wild.groups() if number is not None]
        return _wild_span(text, operator, version, given)
    low, count = _padded(text, version)
    numbers = low[0]
    match operator:
        case "=" | "==":
            return _Span(low, high=low, has_high=True)
        case "!=":
            return _Span(low, high=low, has_high=True, outside=True)
        case ">=" | ">":
            return _Span(low, has_low=operator == ">=")
        case "<=" | "<":
            return _Span(high=low, has_high=operator == "<=")
        case "^":
            leading = next((i for i in range(count) if numbers[i]), count - 1)
            return _Span(low, high=_after(numbers[: leading + 1]))
        case "~":
            return _Span(low, high=_after(numbers[: min(count, 2)]))
        case "~=":
            if count == 1:
                raise _refused(text, f"~={version} has no number to leave open")
            return _Span(low, high=_after(numbers[: count - 1]))
    # No operator: a whole version is itself, a part of one is all that begin so.
    if count == len(numbers):
        return _Span(low, high=low, has_high=True)
    return _Span(low, high=_after(numbers[:count]))


def _wild_span(text: str, operator: str, version: str, given: list[int]) -> _Span:
    if operator in (">", ">=", "<", "<=", "~="):
        raise _refused(text, f"{operator} does not go with {version!r}")
    if not given:
        return _Span(outside=operator == "!=")
    low = _filled(given)
    if operator == "^":
        return _span(text, operator, ".".join(map(str, given)))
    return _Span(low, high=_after(given), outside=operator == "!=")


def _padded(text: str, version: str) -> tuple[Precedence, int]:
    """Return a version's place in the order, and how many numbers were given."""
    if _PARTIAL.fullmatch(version):
        given = [int(number) for number in version.split(".")]
        return _filled(given), len(given)
    try:
        return precedence(version), 3
    except ValueError:
        raise _refused(text, f"{version!r} is no version or range") from None


def _filled(given: Sequence[int]) -> Precedence:
    return (*given, 0, 0, 0)[:3], True, ()


def _after(numbers: Sequence[int]) -> Precedence:
    """Return what lies before all versions whose numbers are beyond these."""
    return (*numbers[:-1], numbers[-1] + 1, 0, 0)[:3], False, ()


def _refused(text: str, why: str) -> ValueError:
    return ValueError(f"version constraint {text!r}: {why}; {_WAY_OUT}")
