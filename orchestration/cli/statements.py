"""The few statements of the command line's own, out of ``operations.sql``."""

from __future__ import annotations

import re
from importlib.resources import files

__all__ = ["statement"]

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def statement(name: str) -> str:
    """Return a statement by its name."""
    text = (files("orchestration.cli") / "operations.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))[name]
