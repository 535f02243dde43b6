"""What a compiled condition may do with the values it is given.

Values are taken as JSON would write them. Each one that a condition touches is a text,
number, true, false, null, list or dict by its very type; a subclass of a text or a
number (a member of a ``StrEnum``, say) is read as its plain content, and anything else
ends the evaluation. So no method of a foreign class is ever called: neither ``__eq__``
nor ``__contains__``, ``__hash__``, ``__bool__`` or ``__len__``. Two things are trusted:
the mapping of names itself, which the caller has made, and that the keys of a dict are
text, since looking all of them over would make each lookup as slow as the dict is
large.

What is compared as a whole (a list, or two values that both come from the data) is
looked through before, and each value in it is paid for from the evaluation's budget.
Nothing here changes what it is given, and what is over the budget is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, Final, TypeAlias

__all__ = ["FUNCTIONS", "MAX_DATA_DEPTH", "MAX_WORK", "Unfit"]

MAX_WORK: Final = 10_000
"""Values looked at in one evaluation; 64 bytes of a text count as one more."""

MAX_DATA_DEPTH: Final = 50
"""How deep a value may be nested that is compared as a whole."""

Value: TypeAlias = Any  # JSON, or what else the caller has put there
Budget: TypeAlias = list[int]  # one number: what is left

_BYTES_A_VALUE: Final = 6  # as a shift: 64 bytes searched take as long as one value
_BYTES_A_MATCH: Final = 12  # 4,096 bytes compared, likewise
_SCALARS: Final = frozenset({str, int, float, bool, NoneType})
_JSON: Final = _SCALARS | {list, dict}
_PLAIN: Final = ((str, str.__str__), (int, int.__int__), (float, float.__float__))
_NOTHING: Final = object()
_TOO_DEEP: Final = f"a value is nested more than {MAX_DATA_DEPTH} deep"


class Unfit(Exception):
    """A value is not what the condition needs; the text says in which way."""


def _read(value: Value, budget: Budget) -> Value:
    """Return a scalar as JSON would write it.

    Raises:
        Unfit: It is something else, or too long.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    for plain, convert in _PLAIN:
        if issubclass(kind, plain):
            _pay(budget, plain.__sizeof__(value) >> _BYTES_A_VALUE)
            return convert(value)
    # repr(kind) could run code of a foreign metaclass.
    raise Unfit(f"{type.__repr__(kind)} is no JSON value")


def _name(values: Mapping[str, Value], name: str, budget: Budget) -> Value:
    value = values.get(name, _NOTHING)  # [name] would fill a defaultdict
    if value is _NOTHING:
        raise Unfit(f"there is no {name!r}")
    return value if type(value) in _JSON else _read(value, budget)


def _get(holder: Value, key: Value, default: Value, budget: Budget) -> Value:
    if type(holder) is not dict:
        raise Unfit(f".get is for objects, not for {type(holder).__name__}")
    value = holder.get(key, default)
    return value if type(value) in _JSON else _read(value, budget)


def _item(holder: Value, key: Value, budget: Budget) -> Value:
    try:
        value = holder[key]
    except KeyError:
        # Keys may be long, and may be secrets where they are not in the text.
        raise Unfit("there is no such key") from None
    return value if type(value) in _JSON else _read(value, budget)


def _whole(value: Value, budget: Budget) -> Value:
    """Return ``value``, of which all is plain JSON now and paid for."""
    if type(value) in _SCALARS:
        # __sizeof__ of a plain text or number: its bytes, without looking at them.
        _pay(budget, 1 + (value.__sizeof__() >> _BYTES_A_VALUE))
        return value
    level = [value]
    for _ in range(MAX_DATA_DEPTH + 1):
        inner: list[Value] = []
        for item in level:
            kind = type(item)
            if kind is list:
                _pay(budget, len(item))
                inner += item
            elif kind is dict:
                _pay(budget, 2 * len(item))
                inner += item
                inner += item.values()
            elif kind is str or kind is int:
                _pay(budget, item.__sizeof__() >> _BYTES_A_VALUE)
            elif kind not in _SCALARS:
                return _plain_copy(value, budget)
        if not inner:
            return value
        level = inner
    raise Unfit(_TOO_DEEP)


def _plain_copy(value: Value, budget: Budget, depth: int = 0) -> Value:
    """Return a copy of a value in which something is JSON by its content only."""
    _pay(budget, 1)
    if depth > MAX_DATA_DEPTH:
        raise Unfit(_TOO_DEEP)
    if type(value) is list:
        return [_plain_copy(item, budget, depth + 1) for item in value]
    if type(value) is dict:
        return {
            _whole(_read(key, budget), budget): _plain_copy(item, budget, depth + 1)
            for key, item in value.items()
        }
    return _whole(_read(value, budget), budget)


def _contains(item: Value, holder: Value, budget: Budget) -> bool:
    """Tell whether ``item``, which is plain, is in a value of the data."""
    kind = type(holder)
    if kind is str:
        _pay(budget, holder.__sizeof__() >> _BYTES_A_VALUE)
    elif kind is list:
        _pay(budget, len(holder) * (1 + (item.__sizeof__() >> _BYTES_A_MATCH)))
        # A text or number is never equal to a list or dict: no need to look inside.
        if type(item) not in _SCALARS or not _JSON.issuperset(map(type, holder)):
            return item in _whole(holder, budget)
    return item in holder


def _starts(text: Value, part: Value) -> bool:
    return _text(text, "startswith").startswith(part)


def _ends(text: Value, part: Value) -> bool:
    return _text(text, "endswith").endswith(part)


def _text(value: Value, method: str) -> str:
    if type(value) is not str:
        raise Unfit(f".{method} is for texts, not for {type(value).__name__}")
    return value


def _pay(budget: Budget, cost: int) -> None:
    budget[0] -= cost
    if budget[0] < 0:
        raise Unfit(f"more than {MAX_WORK} values would have to be looked at")


FUNCTIONS: Final[Mapping[str, Any]] = {
    "name": _name,
    "get": _get,
    "item": _item,
    "whole": _whole,
    "contains": _contains,
    "starts": _starts,
    "ends": _ends,
    "size": len,
}
"""All that the code of a condition can call; it has no builtins."""
