"""Named statements out of ``.sql`` files: ``-- name: x`` begins the block of x."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

__all__ = ["load_queries"]

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def load_queries(file_name: str) -> Mapping[str, str]:
    """Return the statements of one file of this package's ``sql`` folder by name."""
    text = (files("orchestration.adapters") / "sql" / file_name).read_text("utf-8")
    _, *parts = _NAME.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))
