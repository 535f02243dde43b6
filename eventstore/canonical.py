"""Canonical JSON: the same value gives the same bytes, always and everywhere.

The bytes are those of RFC 8785 (sorted keys, shortest numbers, UTF-8), so other
programs can make and check them. They are made once, when an event is appended;
from then on the stored bytes are what is hashed and read.

Beyond what RFC 8785 can say:

* integers outside ±(2**53 - 1) and every ``Decimal`` become strings
  (``Decimal("1.50")`` is ``"1.50"``): a reader in JavaScript would round them;
* NaN, infinities, NUL characters, lone surrogates, keys that are no strings and
  types that JSON does not know are refused, each named with its place;
* more than 1 MiB of JSON is refused.
"""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias, TypeVar

import rfc8785

from eventstore.errors import NotCanonical, PayloadTooLarge

MAX_BYTES: Final = 1_048_576

_MAX_INT: Final = 2**53 - 1

# In C, for what needs neither the number format of ES6 nor the key order of UTF-16.
# The walk has found circles already.
_ENCODER: Final = json.JSONEncoder(
    check_circular=False, sort_keys=True, ensure_ascii=False, separators=(",", ":")
)

_N = TypeVar("_N", float, Decimal)
_Json: TypeAlias = Any  # anything; what it is, is what the walk finds out


def canonical_bytes(value: object) -> bytes:
    """Encode a JSON-like value as canonical JSON in UTF-8.

    Raises:
        NotCanonical: The value, or something in it, has no canonical form; the
            error says where and what to pass instead.
        PayloadTooLarge: The result is over 1 MiB.
    """
    if type(value) is dict and not value:
        return b"{}"  # most metadata
    walk = _Walk()
    try:
        plain = walk.plain(value)
    except _Refused as refused:
        path = "".join(reversed(refused.steps))
        raise NotCanonical(refused.reason, path=f"${path}") from None
    except RecursionError:
        reason = "nested too deep, or within itself; flatten the value"
        raise NotCanonical(reason) from None
    encoded = rfc8785.dumps(plain) if walk.special else _ENCODER.encode(plain).encode()
    if len(encoded) > MAX_BYTES:
        raise PayloadTooLarge(size_bytes=len(encoded), limit_bytes=MAX_BYTES)
    return encoded


class _Refused(Exception):
    """Carries the reason up to the top and collects the way there."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []


class _Walk:
    """Turns a value into plain dicts, lists, strings and numbers.

    Attributes:
        special: Whether a float or a non-ASCII key was met, for which the
            standard library's encoder differs from RFC 8785.
    """

    __slots__ = ("special",)

    def __init__(self) -> None:
        self.special = False

    def plain(self, value: _Json) -> _Json:
        """Check and copy one value. Exact types first: they are the rule."""
        kind = type(value)
        if kind is str:
            return value if value.isascii() and "\0" not in value else _text(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if -_MAX_INT <= value <= _MAX_INT else str(value)
        if kind is dict:
            return self._object(value)
        if kind is list or kind is tuple:
            return self._array(value)
        return self._other(value)

    def _other(self, value: _Json) -> _Json:
        """Floats, decimals, and subclasses such as enums."""
        if isinstance(value, float):
            self.special = True
            return _finite(float(value))
        if isinstance(value, Decimal):
            return str(_finite(value))
        if isinstance(value, str):
            return _text(str.__str__(value))
        if isinstance(value, int):
            return self.plain(int(value))
        if isinstance(value, Mapping):
            return self._object(value)
        if isinstance(value, (list, tuple)):
            return self._array(value)
        raise _Refused(
            f"a {type(value).__name__} is no JSON value; pass a string, a number, "
            "a list or a mapping (a time as isoformat(), an id as str())"
        )

    def _object(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        result = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise _Refused(f"the key {key!r} is no string; use str(key)")
            try:
                name = self.plain(key)
                result[name] = self.plain(item)
            except _Refused as refused:
                refused.steps.append(f".{key}")
                raise
            if not name.isascii():
                self.special = True
        return result

    def _array(self, value: list[Any] | tuple[Any, ...]) -> list[Any]:
        result = []
        for index, item in enumerate(value):
            try:
                result.append(self.plain(item))
            except _Refused as refused:
                refused.steps.append(f"[{index}]")
                raise
        return result


def _text(value: str) -> str:
    """Refuse what UTF-8 or Postgres cannot hold."""
    if "\0" in value:
        raise _Refused("the string holds a NUL character, which jsonb rejects")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Refused(
            "the string holds a lone surrogate, which UTF-8 cannot write; decode it "
            "properly or use errors='replace'"
        ) from None
    return value


def _finite(value: _N) -> _N:
    """Refuse NaN and infinities."""
    if not math.isfinite(value):
        raise _Refused(f"{value} is no JSON number; use None, or a string")
    return value
