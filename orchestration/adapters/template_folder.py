"""A folder of saga templates: one JSON or TOML file each.

What a file is called does not matter: a template's name and version stand in it. Files
of other kinds, hidden ones and folders are passed over.
"""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from orchestration.core.saga.template import SagaTemplate
from orchestration.core.semver import is_prerelease, precedence
from orchestration.errors import InvalidTemplate, TemplateNotFound

__all__ = ["FoundTemplate", "TemplateFolder"]

MAX_BYTES: Final = 1_048_576
_READERS: Final = {".json": json.loads, ".toml": tomllib.loads}


@dataclass(frozen=True, slots=True)
class FoundTemplate:
    """One file of the folder.

    Attributes:
        path: The file.
        template: None if the file does not hold a sound one.
        faults: Why it cannot be loaded; empty if it can.
    """

    path: Path
    template: SagaTemplate | None
    faults: tuple[str, ...] = ()


class TemplateFolder:
    """Reads templates from a folder, anew at each call.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def list(self) -> tuple[FoundTemplate, ...]:
        """Return what the files hold, the broken ones with their faults.

        Ordered by name and version, the oldest first; broken ones come last. Two files
        with one name and version are both faulty: nobody can tell which is meant.

        Raises:
            TemplateNotFound: There is no such folder.
        """
        try:
            paths = sorted(self.path.iterdir())
        except OSError as exc:
            raise TemplateNotFound(
                f"the folder of templates {self.path} cannot be read: {exc.strerror}; "
                "name one that is there"
            ) from exc
        wanted = (p for p in paths if p.suffix in _READERS and p.name[0] != ".")
        found = [_read(path) for path in wanted if path.is_file()]
        return tuple(sorted(_without_rivals(found), key=_place))

    def load(self, name: str, version: str | None = None) -> SagaTemplate:
        """Return a template.

        Args:
            name: The template's name.
            version: None: the newest release, or the newest prerelease if there is no
                release of it.

        Raises:
            TemplateNotFound: There is none of that name, or not in that version; the
                error lists those that are there, and the broken files.
        """
        found = self.list()
        sound = [f.template for f in found if f.template and not f.faults]
        named = [t for t in sound if t.name == name and version in (None, t.version)]
        # Sorted by now, and the last one is the newest.
        releases = [t for t in named if not is_prerelease(t.version)]
        if chosen := releases or named:
            return chosen[-1]
        asked = name if version is None else f"{name}@{version}"
        known = ", ".join(t.label for t in sound) or "none"
        broken = "".join(f"; {f.path.name}: {f.faults[0]}" for f in found if f.faults)
        raise TemplateNotFound(
            f"there is no template {asked!r} in {self.path}: it has {known}{broken}"
        )


def _read(path: Path) -> FoundTemplate:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            return FoundTemplate(path, None, (f"it has more than {MAX_BYTES} bytes",))
        value = _READERS[path.suffix](content.decode())
        return FoundTemplate(path, SagaTemplate.from_json(value))
    except InvalidTemplate as exc:
        return FoundTemplate(path, None, exc.faults)
    except RecursionError:
        return FoundTemplate(path, None, ("it is nested too deep: flatten it",))
    except (OSError, ValueError) as exc:  # JSON's, TOML's and UTF-8's are ValueErrors
        kind = path.suffix[1:].upper()
        return FoundTemplate(path, None, (f"it cannot be read as {kind}: {exc}",))


def _without_rivals(found: Sequence[FoundTemplate]) -> Iterator[FoundTemplate]:
    """Yield the files, with a fault for those that claim one name and version."""
    claims: defaultdict[str, list[str]] = defaultdict(list)
    for each in found:
        if each.template:
            claims[each.template.label].append(each.path.name)
    for each in found:
        names = claims[each.template.label] if each.template else []
        if each.template and len(names) > 1:
            fault = f"each of {', '.join(names)} is {each.template.label}: keep one"
            yield replace(each, faults=(fault,))
        else:
            yield each


def _place(each: FoundTemplate) -> tuple[object, ...]:
    if each.template is None:
        return (True, each.path.name)
    return (
        False,
        each.template.name,
        precedence(each.template.version),
        each.path.name,
    )
