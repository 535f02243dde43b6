"""Which rule a message falls under: the first that matches, in the order of priority.

Most conditions ask for an equality, as ``payload.get('task_type') == 'x'``, alone or
with more behind an ``and``. Such a rule can match only messages with that value, so
rules are found by the value; what else their condition asks is evaluated, and what has
no such equality is evaluated for every message, all in the order of priority. The
answer is that of evaluating all rules one after the other.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Final, TypeAlias

from orchestration.core.conditions import Condition, compile_condition
from orchestration.core.messaging.model import Message
from orchestration.core.routing.checks import CONDITION_NAMES
from orchestration.core.routing.model import RouteRule

__all__ = ["RuleIndex", "values_of"]

_Place: TypeAlias = tuple[str, str | None, bool]  # name, key in it, whether by .get
_Entry: TypeAlias = tuple[int, Condition | None]  # None: found by value, it matches
_Bucket: TypeAlias = tuple[_Entry, ...]

_SCALARS: Final = frozenset({str, int, float, bool, NoneType})
_OBJECTS: Final = frozenset({"payload", "headers"})
_MISSING: Final = object()
_UNSURE: Final = object()  # only the condition itself knows what to make of the value


def values_of(message: Message) -> dict[str, Any]:
    """Return what conditions read of a message."""
    payload, headers = message.payload, message.headers
    return {
        "payload": payload if type(payload) is dict else dict(payload),
        "sender_id": message.sender_id,
        "recipient_id": message.recipient_id,
        "message_type": message.message_type,
        "priority": message.priority,
        "headers": headers if type(headers) is dict else dict(headers),
    }


class RuleIndex:
    """Rules, found by what their conditions ask for.

    Args:
        rules: In the order of priority; those not enabled are passed over.
        errors: Counts, by rule, evaluations that failed; such a rule does not match.
    """

    def __init__(
        self, rules: Sequence[RouteRule] = (), errors: Counter[str] | None = None
    ) -> None:
        self.errors: Counter[str] = Counter() if errors is None else errors
        self._rules = tuple(rule for rule in rules if rule.enabled)
        self._paths, self._others = _sorted_out(self._rules)

    def match(self, message: Message) -> RouteRule | None:
        """Return the first rule that a message falls under."""
        found: Sequence[_Entry] = self._others
        for path in self._paths:
            value = path.read(message, path.key, path.missing)
            more = path.all if value is _UNSURE else path.buckets.get(value)
            if more:
                found = sorted((*found, *more), key=_position) if found else more
        values: dict[str, Any] | None = None
        for position, condition in found:
            if condition is None:
                return self._rules[position]
            if values is None:
                values = values_of(message)
            matches, error = condition.outcome(values)
            if matches:
                return self._rules[position]
            if error is not None:
                self.errors[self._rules[position].name] += 1
        return None


@dataclass(slots=True)
class _Path:
    """Rules that ask one place of a message for equality."""

    read: Callable[[Message, str, object], Any]
    key: str
    missing: object
    buckets: Mapping[Hashable, _Bucket] = field(default_factory=dict)
    all: _Bucket = ()


def _position(entry: _Entry) -> int:
    return entry[0]


def _sorted_out(rules: Sequence[RouteRule]) -> tuple[tuple[_Path, ...], _Bucket]:
    """Return rules by the places they ask for equality, and all others."""
    others: list[_Entry] = []
    buckets: dict[_Place, dict[Hashable, list[_Entry]]] = {}
    entries: dict[_Place, list[_Entry]] = {}
    for position, rule in enumerate(rules):
        if rule.condition is None:
            others.append((position, None))
            continue
        condition = compile_condition(rule.condition, names=CONDITION_NAMES)
        asked = _equality(rule.condition)
        if asked is None:
            others.append((position, condition))
            continue
        place, constants, is_all = asked
        entries.setdefault(place, []).append((position, condition))
        for constant in constants:
            entry = (position, None if is_all else condition)
            buckets.setdefault(place, {}).setdefault(constant, []).append(entry)
    paths = tuple(
        _Path(
            _reader(place),
            place[1] or place[0],
            None if place[2] else _MISSING,
            {value: tuple(found) for value, found in buckets[place].items()},
            tuple(entries[place]),
        )
        for place in entries
    )
    return paths, tuple(others)


def _equality(text: str) -> tuple[_Place, frozenset[Hashable], bool] | None:
    """Return a place, the values one of which it must have, and if that is all."""
    tree = ast.parse(f"({text}\n)", mode="eval").body
    for asked in _conjuncts(tree):
        found = _equal_to(asked)
        if found is not None:
            return (*found, asked is tree)
    return None


def _conjuncts(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        for part in node.values:
            yield from _conjuncts(part)
    else:
        yield node


def _equal_to(node: ast.expr) -> tuple[_Place, frozenset[Hashable]] | None:
    match node:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            for asked, constant in ((left, right), (right, left)):
                place = _place(asked)
                if place is not None and isinstance(constant, ast.Constant):
                    return place, frozenset({constant.value})
        case ast.Compare(
            left=left,
            ops=[ast.In()],
            comparators=[ast.List(elts=parts) | ast.Tuple(elts=parts)],
        ):
            place = _place(left)
            constants = [part for part in parts if isinstance(part, ast.Constant)]
            if place is not None and len(constants) == len(parts):
                return place, frozenset(part.value for part in constants)
    return None


def _place(node: ast.expr) -> _Place | None:
    match node:
        case ast.Name(id=name) if name not in _OBJECTS:
            return name, None, False
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=name), attr="get"),
            args=[ast.Constant(value=str(key))],
        ) if name in _OBJECTS:
            return name, key, True
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))):
            return (name, key, False) if name in _OBJECTS else None
    return None


def _reader(place: _Place) -> Callable[[Message, str, object], Any]:
    name = place[0]
    if place[1] is None:
        return _attribute
    return _payload if name == "payload" else _headers


def _payload(message: Message, key: str, missing: object) -> Any:  # noqa: ANN401
    payload = message.payload
    if type(payload) is not dict:
        return _UNSURE
    value = payload.get(key, missing)
    return value if type(value) in _SCALARS or value is missing else _UNSURE


def _headers(message: Message, key: str, missing: object) -> Any:  # noqa: ANN401
    headers = message.headers
    if type(headers) is not dict:
        return _UNSURE
    value = headers.get(key, missing)
    return value if type(value) in _SCALARS or value is missing else _UNSURE


def _attribute(message: Message, name: str, missing: object) -> Any:  # noqa: ANN401
    del missing
    value = getattr(message, name)
    if type(value) in _SCALARS:
        return value
    return str.__str__(value) if isinstance(value, str) else _UNSURE
