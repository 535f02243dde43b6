"""Print the requirements of a dependency group of pyproject.toml, one a line.

``python scripts/requirements_of.py test``; for pip before 25.1, which has no
``--group``.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirements(groups: dict[str, list[Any]], name: str) -> Iterator[str]:
    """Yield a group's requirements, those of the groups it includes among them."""
    for entry in groups[name]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from requirements(groups, entry["include-group"])


def main() -> None:
    """Print the groups that the arguments name."""
    groups = tomllib.loads(PROJECT.read_text("utf-8"))["dependency-groups"]
    for name in sys.argv[1:]:
        print("\n".join(requirements(groups, name)))


if __name__ == "__main__":
    main()
