"""Elements of an SVG picture as text: escaped, of known width, readable in the dark."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

__all__ = [
    "CHAR_PX",
    "STYLE",
    "clipped",
    "columns_of",
    "escaped",
    "label",
    "line",
    "tag",
    "tip",
]

CHAR_PX: Final = 7.3
"""How wide a character of the picture's text is at most; the fonts are monospaced."""

# What XML 1.0 has no place for, not even escaped.
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_BY_DAY = {
    "ink": "#1f2328",
    "faint": "#646c76",
    "grid": "#dfe3e8",
    "page": "#ffffff",
    "block": "#f6f0fd",
    "do": "#2563eb",
    "undo": "#8b31d6",
    "bad": "#d11f2f",
    "warn": "#a84b06",
    "live": "#0e7490",
}
_BY_NIGHT = {
    "ink": "#e6edf3",
    "faint": "#9aa4af",
    "grid": "#2c333c",
    "page": "#0d1117",
    "block": "#1d1629",
    "do": "#6ea8fe",
    "undo": "#c792ff",
    "bad": "#ff7b72",
    "warn": "#e3b341",
    "live": "#39c5cf",
}


def tag(name: str, *inside: str, **attributes: object) -> str:
    """Return an element; an attribute ``class_`` is ``class``, ``r_x`` is ``r-x``."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if not inside:
        return f"<{name}{given}/>"
    return f"<{name}{given}>{''.join(inside)}</{name}>"


def label(x: float, y: float, words: str, *kinds: str, **attributes: object) -> str:
    """Return a line of text; its letters stand on ``y``."""
    names = " ".join(kinds) or "ink"
    return tag("text", escaped(words), x=x, y=y, class_=names, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> str:
    """Return a straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def tip(words: str) -> str:
    """Return what is shown of an element to those who point at it."""
    return tag("title", escaped(words))


def escaped(value: object) -> str:
    """Return a value as text of an element or of an attribute."""
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return html.escape(_UNFIT.sub("\ufffd", str(value)))


def columns_of(text: str) -> int:
    """Return how many characters' room a text takes."""
    return sum(
        0 if unicodedata.combining(sign) else 1 + (_kind(sign) in ("W", "F"))
        for sign in text
    )


def clipped(text: str, columns: int) -> str:
    """Return as much of a text as has room, on one line."""
    text = " ".join(text.split())
    if columns_of(text) <= columns:
        return text
    while columns_of(text) >= columns:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _kind(sign: str) -> str:
    return unicodedata.east_asian_width(sign)


def _colours(theme: dict[str, str]) -> str:
    fills = "".join(f".{name}{{fill:{colour}}}" for name, colour in theme.items())
    lines = "".join(
        f".{name}-line{{stroke:{colour}}}" for name, colour in theme.items()
    )
    return fills + lines


STYLE: Final = (
    "text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',"
    "monospace}.name{font:bold 18px system-ui,'Segoe UI',Helvetica,Arial,sans-serif}"
    ".strong{font-weight:bold}.part{fill-opacity:.45}.none{fill:none}"
    + _colours(_BY_DAY)
    + "@media(prefers-color-scheme:dark){"
    + _colours(_BY_NIGHT)
    + "}"
)
"""Each colour as a fill (``do``) and as a stroke (``do-line``), by day and by night."""
