"""What options of several commands take: times, attributes, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "attributes_of",
    "finding",
    "json_object",
    "json_value",
    "moment",
    "pairs",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Of SagaState, those that are recorded; spelled out, so that --help loads nothing.
_STATES = (
    "RUNNING",
    "COMPENSATING",
    "PAUSED",
    "COMPLETED",
    "COMPENSATED",
    "COMPENSATION_FAILED",
    "FAILED",
)
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)")
_UNITS_S = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}


def moment(_ctx: click.Context, _of: click.Option, text: str | None) -> datetime | None:
    """Read a time: in ISO 8601, local if it names no zone, or so long ago."""
    if text is None:
        return None
    if found := _AGO.fullmatch(text):
        number, unit = found.groups()
        return datetime.now(UTC) - timedelta(seconds=float(number) * _UNITS_S[unit])
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as exc:
        raise click.BadParameter(
            f"{text!r} is no time: give 2026-01-31, 2026-01-31T12:00, or how long "
            "ago, as 90s, 15min, 2h or 3d"
        ) from exc


def json_value(_ctx: click.Context, _of: click.Option, text: str | None) -> object:
    """Read JSON, or the file with JSON that ``@FILE`` names."""
    if text is None:
        return None
    try:
        if text.startswith("@"):
            text = Path(text[1:]).read_text("utf-8")
        return json.loads(text)
    except (OSError, ValueError) as exc:
        raise click.BadParameter(f"it is no JSON: {exc}") from exc


def json_object(
    ctx: click.Context, of: click.Option, text: str | None
) -> dict[str, Any] | None:
    """Read a JSON object, or the file with one that ``@FILE`` names."""
    value = json_value(ctx, of, text)
    if value is not None and not isinstance(value, dict):
        raise click.BadParameter("it is no JSON object")
    return value


def pairs(
    _ctx: click.Context, _of: click.Option, texts: tuple[str, ...]
) -> dict[str, str]:
    """Read any number of ``NAME=VALUE``."""
    read: dict[str, str] = {}
    for text in texts:
        name, is_given, value = text.partition("=")
        if not (name and is_given):
            raise click.BadParameter(f"{text!r} is no NAME=VALUE")
        read[name] = value
    return read


def json_pairs(
    ctx: click.Context, of: click.Option, texts: tuple[str, ...]
) -> dict[str, Any]:
    """Read any number of ``NAME=JSON``; what is no JSON is text."""
    read: dict[str, Any] = {}
    for name, text in pairs(ctx, of, texts).items():
        try:
            read[name] = json.loads(text)
        except ValueError:
            read[name] = text
    return read


def attributes_of(given: Mapping[str, str]) -> dict[str, str | float]:
    """Return search attributes; what reads as a number is one, unless it is quoted."""
    return {name: _attribute(text) for name, text in given.items()}


def _attribute(text: str) -> str | float:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    is_one = isinstance(value, str | int | float) and not isinstance(value, bool)
    return value if is_one else text


def finding(command: _Command) -> _Command:
    """Give a command the options by which sagas are found."""
    for option in (
        click.option(
            "--started-before",
            "--until",
            metavar="TIME",
            callback=moment,
            help="Only those begun earlier.",
        ),
        click.option(
            "--started-after",
            "--since",
            metavar="TIME",
            callback=moment,
            help="Only those begun then or later: a time, or 15min, 2h, 3d ago.",
        ),
        click.option(
            "--attribute",
            "attributes",
            metavar="NAME=VALUE",
            multiple=True,
            callback=pairs,
            help="Only those with this search attribute; may be given again.",
        ),
        click.option("--name", help="Only sagas of this name."),
        click.option(
            "--state",
            metavar="STATE",
            type=click.Choice(_STATES, case_sensitive=False),
            help="Only those in this state, as PAUSED.",
        ),
    ):
        command = option(command)
    return command
