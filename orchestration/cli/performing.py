"""Carries out an act upon one saga or many, and says what came of each."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from orchestration.adapters.saga_index import SagaSummary
    from orchestration.cli.choosing import Choice
    from orchestration.core.saga.execution import SagaExecution
    from orchestration.saga_client import SagaClient

__all__ = ["Act", "client", "perform"]

_REFUSED = 1
_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Act:
    """What is done to sagas, in words.

    Attributes:
        name: As in ``cancel 3 sagas``.
        done: As in ``3 cancelled``.
        states: In which states it may fit; empty: in any.
        is_begetting: Whether each begins a saga, whose id is to be told.
    """

    name: str
    done: str
    states: tuple[str, ...] = ()
    is_begetting: bool = False


@dataclass(slots=True)
class _Line:
    """What came of the act for one saga.

    Attributes:
        state: The saga's, after the act if there was one.
        outcome: ``untouched``, ``acted`` or ``refused``.
        reason: Why it was refused.
        new_id: Of the saga that a fork has begun.
    """

    saga_id: str
    name: str
    state: str
    outcome: str = "untouched"
    reason: str | None = None
    new_id: str | None = None


def perform(
    act: Act,
    choice: Choice,
    saga_id: str | None,
    do: Callable[[SagaClient, str], SagaExecution | str],
) -> None:
    """Do it to the saga, or to each that the query finds; say what came of it.

    A refusal does not stop the others; if there was one the exit code is 1.

    Args:
        act: What is done.
        choice: To which sagas, and how.
        saga_id: One saga, or the beginning of its id; None: those of the query.
        do: Does it to one saga; returns its status, or the id of a new saga.
    """
    choice.check(saga_id)
    with client() as sagas:
        if saga_id is None:
            found = choice.find(sagas, act.states)
        else:
            found = (_one(sagas, saga_id),)
        lines = [_Line(one.saga_id, one.name, one.state) for one in found]
        if not choice.dry_run and saga_id is None and not choice.yes and found:
            _confirm(act, found)
        try:
            if not choice.dry_run:
                _each(act, lines, lambda one: do(sagas, one))
        finally:  # also when the database has gone away half-way, or at Ctrl-C
            if choice.as_json:
                _emit(act, choice, lines)
            elif choice.dry_run:
                _preview(act, found)
            else:
                _tell(act, choice, lines)
    if any(line.outcome == "refused" for line in lines):
        raise click.exceptions.Exit(_REFUSED)


@contextlib.contextmanager
def client() -> Iterator[SagaClient]:
    """Connect to the servers that the environment names."""
    from orchestration.cli.session import expect_server
    from orchestration.saga_client import SagaClient
    from orchestration.settings import Settings

    expect_server("DATABASE_URL", Settings.from_env().database_url, 5432)
    with SagaClient() as sagas:
        yield sagas


def _one(sagas: SagaClient, wanted: str) -> SagaSummary:
    from orchestration.adapters.saga_index import SagaSummary
    from orchestration.cli.session import meant
    from orchestration.errors import SagaNotFound

    def exists(saga_id: str) -> bool:
        try:
            return bool(sagas.history(saga_id))
        except SagaNotFound:
            return False

    status = sagas.get_execution_status(meant(wanted, sagas.find, exists))
    return SagaSummary(
        saga_id=status.saga_id,
        name=status.name,
        state=status.state,
        started_at=status.started_at,
        ended_at=status.ended_at,
        waiting_for=status.waiting_for,
        parent_id=status.parent_id,
        search_attributes=status.search_attributes,
    )


def _confirm(act: Act, found: Sequence[SagaSummary]) -> None:
    """Ask before many sagas are acted upon.

    Raises:
        click.UsageError: Nobody is there to be asked.
        click.Abort: The answer was no.
    """
    count = _counted(len(found))
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"{count} would be {act.done}: say --yes, or --dry-run to see which"
        )
    _preview(act, found, stderr=True)
    click.confirm(f"{act.name} {count}?", abort=True, err=True)


def _each(
    act: Act, lines: Sequence[_Line], do: Callable[[str], SagaExecution | str]
) -> None:
    from orchestration.cli.output import console
    from orchestration.errors import OrchestrationError, TransportError

    with console(stderr=True).status("") as progress:
        for at, line in enumerate(lines):
            progress.update(f"{act.name}: {at} of {len(lines)}")
            try:
                came_of_it = do(line.saga_id)
            except TransportError:
                raise  # the others would fare no better
            except OrchestrationError as exc:
                line.outcome, line.reason = "refused", str(exc)
                continue
            line.outcome = "acted"
            if isinstance(came_of_it, str):
                line.new_id = came_of_it
            else:
                line.state = came_of_it.state


def _preview(act: Act, found: Sequence[SagaSummary], *, stderr: bool = False) -> None:
    """Show which sagas would be acted upon."""
    from datetime import UTC, datetime

    from orchestration.cli.output import console
    from orchestration.cli.views import saga_table

    out = console(stderr=stderr)
    if found:
        out.print(saga_table(found[:_SHOWN], datetime.now(UTC)))
    if len(found) > _SHOWN:
        out.print(f"… and {len(found) - _SHOWN} more", style="faint")
    out.print(f"{_counted(len(found))} would be {act.done}")


def _tell(act: Act, choice: Choice, lines: Sequence[_Line]) -> None:
    """Say what was done, and what was refused and why."""
    from orchestration.cli.output import console, short_id

    out = console()
    refused = [line for line in lines if line.outcome == "refused"]
    acted = [line for line in lines if line.outcome == "acted"]
    for line in refused[:_SHOWN]:
        out.print(f"✗ {line.reason}", style="bad", markup=False, soft_wrap=True)
    if len(refused) > _SHOWN:
        out.print(f"… and {len(refused) - _SHOWN} more", style="bad")
    for line in acted if not choice.all_matching or act.is_begetting else ():
        came = f"new saga {line.new_id}" if line.new_id else f"it is {line.state}"
        words = f"✓ {short_id(line.saga_id)} {line.name} {act.done}: {came}"
        out.print(words, markup=False, soft_wrap=True)
    if choice.all_matching:
        left = len(lines) - len(acted) - len(refused)
        told = f"{_counted(len(acted))} {act.done}, {len(refused)} refused"
        out.print(told + (f", {left} not reached" if left else ""))


def _emit(act: Act, choice: Choice, lines: Sequence[_Line]) -> None:
    from orchestration.cli.output import emit_json

    outcomes = [line.outcome for line in lines]
    emit_json(
        {
            "act": act.name,
            "dry_run": choice.dry_run,
            "found": len(lines),
            "acted": outcomes.count("acted"),
            "refused": outcomes.count("refused"),
            "sagas": lines,
        }
    )


def _counted(count: int) -> str:
    return "1 saga" if count == 1 else f"{count} sagas"
