"""How everything here looks in a terminal: one console, few colours, plain JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.theme import Theme

__all__ = [
    "THEME",
    "age",
    "console",
    "emit_json",
    "fail",
    "plain",
    "short_id",
    "span_text",
]

# Where nobody looks at it as a terminal, lines may be longer than 80.
_PIPE_COLUMNS = 132
_UUID_CHARS, _SHORT_CHARS = 36, 8

THEME = Theme(
    {
        "ok": "green",
        "bad": "red",
        "warn": "yellow",
        "undo": "magenta",
        "live": "cyan",
        "faint": "dim",
        "head": "bold",
        "key": "dim",
    }
)


def console(*, stderr: bool = False) -> Console:
    """Return a console for this moment's output; plain where that is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None
    if not stream.isatty() and "COLUMNS" not in os.environ:
        width = _PIPE_COLUMNS
    return Console(stderr=stderr, theme=THEME, highlight=False, width=width)


def fail(message: str) -> None:
    """Say in red, on stderr, what went wrong."""
    console(stderr=True).print(
        f"✗ {message}", style="bad", markup=False, soft_wrap=True
    )


def emit_json(value: object) -> None:
    """Print a value as JSON and nothing else."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a value as JSON types: dataclasses by their fields, times in ISO 8601."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, UUID):
        return str(value)
    return value


def span_text(seconds: float) -> str:
    """Return a duration as a person says it: ``340 ms``, ``4.2 s``, ``3 min 05 s``."""
    if seconds < 0.9995:  # noqa: PLR2004 - what rounds to 1000 ms is a second
        return f"{max(seconds, 0) * 1_000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    if whole < 3_600:  # noqa: PLR2004
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 172_800:  # noqa: PLR2004 - two days
        return f"{whole // 3_600} h {whole % 3_600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600:02} h"


def age(then: datetime, now: datetime) -> str:
    """Return how long ago something was, or its day if that is long ago."""
    gone = now - then
    if gone < timedelta(seconds=1):
        return "now"
    if gone < timedelta(minutes=2):
        return f"{gone.total_seconds():.0f} s ago"
    if gone < timedelta(hours=2):
        return f"{gone.total_seconds() / 60:.0f} min ago"
    if gone < timedelta(days=1):
        return f"{gone.total_seconds() / 3_600:.0f} h ago"
    return f"{then.astimezone():%Y-%m-%d %H:%M}"


def short_id(saga_id: str) -> str:
    """Return as much of an id as people need; commands accept it in its place."""
    if len(saga_id) == _UUID_CHARS and saga_id.count("-") == 4:  # noqa: PLR2004
        return saga_id[:_SHORT_CHARS]
    return saga_id
