"""Of what type each field of a definition must be, whoever wrote it.

A definition comes as JSON from any producer, or from Python that no type checker has
seen. Here is told which fields hold something else, before anybody computes with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from orchestration.core.jsonable import is_number, is_whole, shown

__all__ = ["POLICY", "STEP", "TRANSACTION", "shape_faults"]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)


def _is_pairs(value: object) -> bool:
    return isinstance(value, list | tuple) and all(
        _is_texts(pair) and len(pair) == 2  # noqa: PLR2004  two make a pair
        for pair in value
    )


def _optional(is_right: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or is_right(value)


_Type = tuple[Callable[[object], bool], str]
_TEXT: Final[_Type] = _is_text, "give it text"
_MAYBE_TEXT: Final[_Type] = _optional(_is_text), "give it text, or nothing"
_TEXTS: Final[_Type] = _is_texts, "give it a list of names"
_PAIRS: Final[_Type] = _is_pairs, "give it a list of pairs: an agent, a condition"
_WHOLE: Final[_Type] = is_whole, "give it a whole number"
_MAYBE_WHOLE: Final[_Type] = _optional(is_whole), "give it a whole number, or nothing"
_NUMBER: Final[_Type] = is_number, "give it a number"
_FLAG: Final[_Type] = lambda value: isinstance(value, bool), "give it true or false"
_LIST: Final[_Type] = lambda value: isinstance(value, list | tuple), "give it a list"
_OBJECT: Final[_Type] = lambda value: isinstance(value, Mapping), "give it an object"
_MAYBE_OBJECT: Final[_Type] = (
    _optional(lambda value: isinstance(value, Mapping)),
    "give it an object, or nothing",
)

POLICY: Final[Mapping[str, _Type]] = {
    "max_attempts": _WHOLE,
    "backoff_ms": _WHOLE,
    "multiplier": _NUMBER,
    "max_backoff_ms": _WHOLE,
    "jitter": _NUMBER,
    "non_retryable": _TEXTS,
}
STEP: Final[Mapping[str, _Type]] = {
    "name": _TEXT,
    "agent_id": _TEXT,
    "agents": _TEXTS,
    "teamwork": _MAYBE_TEXT,
    "capability": _MAYBE_TEXT,
    "choose": _PAIRS,
    "action": _MAYBE_TEXT,
    "compensation": _MAYBE_TEXT,
    "depends_on": _TEXTS,
    "timeout_ms": _MAYBE_WHOLE,
    "is_pivot": _FLAG,
    "read_only": _FLAG,
    "on_unknown": _MAYBE_TEXT,
    "probe": _MAYBE_TEXT,
    "max_recoveries": _WHOLE,
    "when": _MAYBE_TEXT,
    "map": _MAYBE_TEXT,
    "wait_for": _MAYBE_TEXT,
    "saga": _MAYBE_OBJECT,
    "swarm": _MAYBE_OBJECT,
    "metadata": _OBJECT,
}
TRANSACTION: Final[Mapping[str, _Type]] = {
    "name": _TEXT,
    "steps": _LIST,
    "compensation_strategy": _TEXT,
    "timeout_ms": _WHOLE,
    "on_failure": _TEXT,
    "on_compensation_failure": _TEXT,
    "locks": _TEXTS,
    "search_attributes": _OBJECT,
    "template": _TEXT,
    "transaction_id": _TEXT,
}


def shape_faults(types: Mapping[str, _Type], value: object) -> dict[str, str]:
    """Return each field that holds the wrong type, with a sentence about it.

    Args:
        types: STEP, POLICY or TRANSACTION.
        value: The object that has the fields.
    """
    return {
        name: f"{name} is {shown(held)}: {way_out}"
        for name, (is_right, way_out) in types.items()
        if not is_right(held := getattr(value, name))
    }
