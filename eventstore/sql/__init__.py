"""The store's SQL: queries by name, migrations by number.

``queries.sql`` holds blocks that begin with ``-- name: some_name``; comments of
a block are for readers of the file and are not sent.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_BLOCK = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


@cache
def _queries() -> Mapping[str, str]:
    """Read the file once, when the first query is asked for."""
    text = (Path(__file__).parent / "queries.sql").read_text(encoding="utf-8")
    _, *parts = _BLOCK.split(text)
    bodies = (_COMMENT.sub("", body).strip() for body in parts[1::2])
    return dict(zip(parts[::2], bodies, strict=True))


@cache
def query(name: str) -> str:
    """The text of one named query.

    Raises:
        KeyError: No query of that name is in ``queries.sql``.
    """
    return _queries()[name].rstrip(";")
