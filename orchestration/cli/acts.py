"""``orchestration saga cancel`` and its like: what operators do to sagas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestration.cli.choosing import Choice, choosing
from orchestration.cli.options import json_object, json_value
from orchestration.cli.performing import Act, perform

if TYPE_CHECKING:
    from orchestration.core.saga.execution import SagaExecution
    from orchestration.saga_client import SagaClient

__all__ = ["ACTS"]

_JSON = "JSON|@FILE"
_STANDING = ("PAUSED", "FAILED", "COMPENSATION_FAILED")

_saga_id = click.argument("saga_id", required=False, metavar="[ID]")
_id_and_step = click.argument("words", nargs=-1, required=True, metavar="[ID] STEP")
_from_step = click.option("--from-step", metavar="STEP")


@click.command()
@_saga_id
@choosing
def cancel(*, saga_id: str | None, choice: Choice) -> None:
    """Give up and undo, once what runs has ended.

    Refused after the pivot, whose step is the point of no return.
    """
    act = Act("cancel", "cancelled", ("RUNNING", "PAUSED", "FAILED"))
    perform(act, choice, saga_id, lambda sagas, one: sagas.cancel(one, **_told(choice)))


@click.command()
@_saga_id
@choosing
def pause(*, saga_id: str | None, choice: Choice) -> None:
    """Let what runs end, and begin nothing; timers stand still."""
    act = Act("pause", "paused", ("RUNNING", "COMPENSATING"))
    perform(act, choice, saga_id, lambda sagas, one: sagas.pause(one, **_told(choice)))


@click.command()
@_saga_id
@choosing
def resume(*, saga_id: str | None, choice: Choice) -> None:
    """Go on after a pause."""
    act = Act("resume", "resumed", ("PAUSED",))
    perform(act, choice, saga_id, lambda sagas, one: sagas.resume(one, **_told(choice)))


@click.command()
@_saga_id
@_from_step
@choosing
def retry(*, saga_id: str | None, from_step: str | None, choice: Choice) -> None:
    """Try again what failed.

    Of a failed compensation that is the undos that failed. With --from-step it begins
    anew with that step, which may be done: it and what came after it are undone first.
    """

    def do(sagas: SagaClient, one: str) -> SagaExecution:
        return sagas.retry(one, from_step=from_step, **_told(choice))

    perform(Act("retry", "retried", _STANDING), choice, saga_id, do)


@click.command()
@_id_and_step
@click.option(
    "--happened/--not-happened",
    default=None,
    help="Whether the step, of unknown outcome, took effect.",
)
@click.option(
    "--output",
    metavar=_JSON,
    callback=json_object,
    help="What the step would have returned.",
)
@choosing
def resolve(
    *,
    words: tuple[str, ...],
    happened: bool | None,
    output: dict[str, Any] | None,
    choice: Choice,
) -> None:
    """Say what a person has found out about a step.

    Of a step of unknown outcome: whether it took effect. Of one whose undoing failed,
    without either flag: that it was undone by hand.
    """
    saga_id, step = _id_and(words, choice, "STEP")

    def do(sagas: SagaClient, one: str) -> SagaExecution:
        told = _told(choice)
        return sagas.resolve(one, step, happened=happened, output=output, **told)

    perform(Act("resolve", "resolved", _STANDING), choice, saga_id, do)


@click.command()
@_id_and_step
@choosing
def skip(*, words: tuple[str, ...], choice: Choice) -> None:
    """Leave a step whose undoing failed; undo the rest."""
    saga_id, step = _id_and(words, choice, "STEP")
    act = Act("skip", "skipped", ("COMPENSATION_FAILED",))
    perform(
        act, choice, saga_id, lambda sagas, one: sagas.skip(one, step, **_told(choice))
    )


@click.command()
@_saga_id
@_from_step
@choosing
def replay(*, saga_id: str | None, from_step: str | None, choice: Choice) -> None:
    """Undo once more what was undone.

    Each undo has a new idempotency key. With --from-step what was undone before that
    step is left out.
    """

    def do(sagas: SagaClient, one: str) -> SagaExecution:
        return sagas.replay_compensation(one, from_step=from_step, **_told(choice))

    act = Act("replay", "to be undone once more", _UNDONE)
    perform(act, choice, saga_id, do)


_UNDONE = ("COMPENSATED", "COMPENSATION_FAILED")


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[ID] NAME")
@click.option(
    "--data", metavar=_JSON, callback=json_value, help="What the signal says."
)
@click.option("--signal-id", help="Two signals of one id count once.  [default: new]")
@choosing
def signal(
    *, words: tuple[str, ...], data: object, signal_id: str | None, choice: Choice
) -> None:
    """Hand a signal to the step that waits for it, or will.

    An object becomes the step's output, anything else its value under the step's name.
    """
    saga_id, name = _id_and(words, choice, "NAME")

    def do(sagas: SagaClient, one: str) -> SagaExecution:
        return sagas.signal(one, name, data, signal_id=signal_id, **_told(choice))

    perform(Act("signal", "signalled", ("RUNNING", "PAUSED")), choice, saga_id, do)


@click.command()
@_saga_id
@click.option(
    "--data",
    metavar=_JSON,
    callback=json_object,
    help="Initial data in place of the old saga's.",
)
@click.option("--id", "new_id", help="The new saga's id.  [default: a new one]")
@choosing
def fork(
    *,
    saga_id: str | None,
    data: dict[str, Any] | None,
    new_id: str | None,
    choice: Choice,
) -> None:
    """Begin anew under a new id, whatever became of it."""
    if new_id is not None and choice.all_matching:
        raise click.UsageError("--id is for one saga, not for --all-matching")

    def do(sagas: SagaClient, one: str) -> str:
        told = _told(choice)
        return sagas.fork(one, initial_data=data, transaction_id=new_id, **told)

    perform(Act("fork", "forked", is_begetting=True), choice, saga_id, do)


ACTS = (cancel, pause, resume, retry, fork, signal, resolve, skip, replay)


def _told(choice: Choice) -> dict[str, str]:
    return {"by": choice.by, "why": choice.why}


def _id_and(
    words: tuple[str, ...], choice: Choice, what: str
) -> tuple[str | None, str]:
    """Return the id, if one is to be given, and the word after it."""
    wanted = 1 if choice.all_matching else 2
    if len(words) != wanted:
        given = f"give {what} alone" if choice.all_matching else f"give ID and {what}"
        raise click.UsageError(f"{given}, not {' '.join(words)}")
    return (None if choice.all_matching else words[0]), words[-1]
