"""Under which names a saga holds its locks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["lock_names"]


def lock_names(
    locks: Sequence[str], initial_data: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the locks' names, ``{key}`` filled in from the data; none twice.

    Raises:
        ValueError: The data have no such key, or it is neither text nor a number.
    """
    names = []
    for lock in locks:
        try:
            names.append(lock.format_map(_Plain(initial_data)))
        except KeyError as exc:
            raise ValueError(
                f"lock {lock!r}: the data have no text or number {exc.args[0]!r}"
            ) from None
    return tuple(dict.fromkeys(names))


class _Plain(dict[str, Any]):
    """The values that have one form as text."""

    def __missing__(self, key: str) -> object:
        raise KeyError(key)

    def __getitem__(self, key: str) -> object:
        value = super().__getitem__(key)
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise KeyError(key)
        return value
