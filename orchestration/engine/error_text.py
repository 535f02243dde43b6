"""What is recorded of an error that an agent's code has raised."""

from __future__ import annotations

from typing import Final

__all__ = ["told_error"]

_MAX_CHARS: Final = 2_000


def told_error(exc: BaseException) -> dict[str, str]:
    """Return an error's type and text, as an event can hold them."""
    try:
        text = str(exc)[:_MAX_CHARS]
    except Exception:  # noqa: BLE001  the edge: an action may raise anything
        text = "(its text cannot be read)"
    # What an event cannot hold: bytes of odd file names, and NUL.
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return {"type": type(exc).__name__, "message": text}
