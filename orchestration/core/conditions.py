"""The conditions of routing rules and of sagas' steps: a small part of Python.

``payload.get('task_type') == 'carbon_calculation'`` is compiled once, and then asked of
many values. Conditions come from configuration and may be hostile:
``condition_grammar`` says which texts are conditions and writes code for them,
``condition_values`` has the functions that this code may call and bounds what an
evaluation costs.

A text that is no condition raises InvalidCondition. A condition that fails while it is
evaluated, since a name is missing or a number is compared with a text, does not match.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, cast

from orchestration.core.condition_grammar import MAX_CHARACTERS, code_of, refuse
from orchestration.core.condition_values import FUNCTIONS, MAX_WORK
from orchestration.errors import InvalidCondition

__all__ = ["Condition", "compile_condition", "condition_fault"]

_KEPT: Final = 1_024  # compiled conditions that are kept for those who compile again
_KNOWN: Final = 20  # names that an error lists

_Run = Callable[[Mapping[str, Any], list[int]], object]


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition; safe to keep, and to use from many threads.

    Attributes:
        text: As it was written.
        names: The names that it reads from the values.
    """

    text: str
    names: frozenset[str]
    _run: _Run = field(repr=False, compare=False)

    def matches(self, values: Mapping[str, Any]) -> bool:
        """Tell whether the values match; an error in the evaluation is no match."""
        return self.outcome(values)[0]

    def outcome(self, values: Mapping[str, Any]) -> tuple[bool, str | None]:
        """Return whether the values match, and the error's words if there was one.

        Raises nothing and changes nothing, whatever ``values`` holds, and looks at a
        bounded part of it; ``condition_values`` says what counts as a value.
        """
        try:
            return bool(self._run(values, [MAX_WORK])), None
        except Exception as exc:  # noqa: BLE001  a rule must not stop what asks it
            return False, str(exc) or type(exc).__name__


def compile_condition(text: str, *, names: Collection[str] | None = None) -> Condition:
    """Compile a condition; what was compiled before is returned at once.

    Args:
        text: The condition.
        names: Those that it may read; None: any.

    Raises:
        InvalidCondition: The text is not of the language, is over one of its limits,
            or reads another name; the error says where, and what is allowed.
    """
    if type(text) is not str:  # a subclass could be a different text each time
        kind = type.__repr__(type(text))
        raise InvalidCondition(f"a condition is a text, this is {kind}", "", 0)
    # A text over the limit is not even hashed for a look-up.
    compiled = _compiled if len(text) <= MAX_CHARACTERS else _compiled.__wrapped__
    condition, places = compiled(text)
    for name, place in places.items():
        if names is not None and name not in names:
            given = ", ".join(sorted(names)[:_KNOWN]) or "none"
            refuse(text, place, f"{name!r} is not known here; known are {given}")
    return condition


def condition_fault(text: str, *, names: Collection[str] | None = None) -> str | None:
    """Return what is wrong with a condition, for lists of faults; None if nothing."""
    try:
        compile_condition(text, names=names)
    except InvalidCondition as exc:
        return str(exc)
    return None


@lru_cache(maxsize=_KEPT)
def _compiled(text: str) -> tuple[Condition, Mapping[str, int]]:
    """Return the condition, and where each of its names stands first."""
    functions = {"__builtins__": {}, **FUNCTIONS}
    try:
        code, places = code_of(text)
        run = eval(f"lambda v, b: {code}", functions)  # noqa: S307  each word is ours
    except (RecursionError, MemoryError, SystemError) as exc:
        # Its limits are too low for that: the caller's own stack is nearly full.
        refuse(text, 0, f"Python could not compile it here ({type(exc).__name__})")
    return Condition(text, frozenset(places), cast("_Run", run)), places
