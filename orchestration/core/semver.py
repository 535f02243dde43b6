"""Semantic versions (2.0.0): which texts are one, and which of two is newer."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_prerelease", "is_semantic", "precedence"]

_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_WORD = r"[0-9]*[a-zA-Z-][0-9a-zA-Z-]*"
_VERSION: Final = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})"
    rf"(?:-((?:{_NUMBER}|{_WORD})(?:\.(?:{_NUMBER}|{_WORD}))*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?"
)
_MAX_CHARACTERS: Final = 100

Precedence = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def is_semantic(version: str) -> bool:
    """Tell whether a text is a version such as 1.4.0 or 2.0.0-rc.1."""
    return len(version) <= _MAX_CHARACTERS and _VERSION.fullmatch(version) is not None


def is_prerelease(version: str) -> bool:
    """Tell whether a version is one before its release, such as 2.0.0-rc.1."""
    return not precedence(version)[1]


def precedence(version: str) -> Precedence:
    """Return what orders versions as the specification does: the newer is greater.

    What follows a ``+`` does not count.

    Raises:
        ValueError: The text is no semantic version.
    """
    found = _VERSION.fullmatch(version) if len(version) <= _MAX_CHARACTERS else None
    if found is None:
        raise ValueError(f"{version!r} is no semantic version: give it one like 1.0.0")
    *numbers, before = found.groups()
    words = before.split(".") if before else ()
    return (
        tuple(map(int, numbers)),
        before is None,
        tuple(
            (False, int(word), "") if word.isdigit() else (True, 0, word)
            for word in words
        ),
    )
