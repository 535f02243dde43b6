"""Switches guards off: in functions of this process, and in the test's own database.

Each takes out a piece of text that must be there: a guard that is moved or reworded
has its switch adapted, or the test says that there is nothing left to switch off.
The product has no such switches.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pytest

from tests.support.servers import psycopg2_address

__all__ = ["Switches"]

_OURS = ("orchestration.", "tasks.", "tests.")


@dataclass(slots=True)
class Switches:
    """The switches of one test; ``restore`` turns those in the database on again."""

    database_url: str
    monkeypatch: pytest.MonkeyPatch
    _functions: dict[str, str] = field(default_factory=dict)
    _sources: dict[str, str] = field(default_factory=dict)
    _current: dict[str, Any] = field(default_factory=dict)

    def code(self, function: Callable[..., Any], old: str, new: str) -> None:
        """Replace a piece of a function, wherever it has been imported to."""
        name = f"{function.__module__}.{function.__qualname__}"
        source = self._sources.get(name) or _source(function)
        self._sources[name] = _replaced(source, old, new, name)
        made: dict[str, Any] = {}
        exec(self._sources[name], function.__globals__, made)
        self.put(self._current.get(name, function), made[function.__name__])
        self._current[name] = made[function.__name__]

    def method(self, owner: type, name: str, old: str, new: str) -> None:
        """Replace a piece of a method."""
        function = inspect.unwrap(getattr(owner, name))
        made: dict[str, Any] = {}
        text = _replaced(_source(function), old, new, name)
        exec(text, function.__globals__, made)
        self.monkeypatch.setattr(owner, name, made[function.__name__])

    def put(self, function: object, other: object) -> None:
        """Put another function into the place of one, wherever it was imported to."""
        places = [
            (module, key)
            for name, module in list(sys.modules.items())
            if name.startswith(_OURS)
            for key, value in list(vars(module).items())
            if value is function
        ]
        assert places, f"{function} is nowhere"
        for module, key in places:
            self.monkeypatch.setattr(module, key, other)

    def query(
        self, queries: dict[str, str], name: str, old: str, new: str = ""
    ) -> None:
        """Replace a piece of a named statement."""
        text = _replaced(queries[name], old, new, name)
        self.monkeypatch.setitem(queries, name, text)

    def function(self, name: str, old: str, new: str = "", *, times: int = 1) -> None:
        """Replace a piece of a function in the database, e.g. ``orch.saga_record``."""
        with self._sql() as cursor:
            cursor.execute("SELECT pg_get_functiondef(%s::regproc)", (name,))
            (text,) = cursor.fetchone()
            self._functions.setdefault(name, text)
            cursor.execute(_replaced(text, old, new, name, times))

    def restore(self) -> None:
        """Put the database's functions back as they were."""
        with self._sql() as cursor:
            for text in self._functions.values():
                cursor.execute(text)

    def run(self, statement: str) -> None:
        """Run any statement as the database's owner."""
        with self._sql() as cursor:
            cursor.execute(statement)

    def _sql(self) -> Any:
        connection = psycopg2.connect(psycopg2_address(self.database_url))
        connection.autocommit = True
        return _Closing(connection)


@dataclass(slots=True)
class _Closing:
    connection: Any

    def __enter__(self) -> Any:
        return self.connection.cursor()

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def _source(function: Callable[..., Any]) -> str:
    lines = textwrap.dedent(inspect.getsource(function)).splitlines(keepends=True)
    while not lines[0].startswith("def "):  # decorators are at work already
        del lines[0]
    return "from __future__ import annotations\n" + "".join(lines)


def _replaced(text: str, old: str, new: str, where: str, times: int = 1) -> str:
    found = text.count(old)
    assert found == times, f"{where} has {old!r} {found} times, not {times}: adapt this"
    return text.replace(old, new)
