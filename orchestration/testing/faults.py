"""Faults on purpose: which step's action fails or dies where, and how often.

They travel in the metadata of the steps, so that any worker that lets them happen
finds them there: a ``SagaWorld``, or a Celery worker that was started with
``-I orchestration.testing.worker``. Elsewhere they mean nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from inspect import isawaitable
from typing import Any, Final, NoReturn

from orchestration.agents import Action, ActionContext
from orchestration.core.saga.model import Direction, SagaStep, SagaTransaction
from orchestration.testing.stand_ins import stand_in

__all__ = ["Fault", "FaultKind", "InjectedFailure", "inject", "stalls", "with_faults"]

_KEY: Final = "orchestration.testing.faults"


class FaultKind(StrEnum):
    """What an action does in place of going well, in words that complete a sentence.

    One that fails before its effect raises; one that fails after it raises
    ConnectionError, as when only the answer was lost. One that is killed takes its
    worker along. One that stalls stands still with its worker until nobody waits for
    it any more, and then goes well.
    """

    FAILS_BEFORE = "fails before its effect"
    FAILS_AFTER = "fails after its effect"
    KILLED_BEFORE = "is killed before its effect"
    KILLED_AFTER = "is killed after its effect"
    STALLS = "takes effect after it was given up"

    @property
    def has_effect(self) -> bool:
        """Whether the action does its work first."""
        return self not in (FaultKind.FAILS_BEFORE, FaultKind.KILLED_BEFORE)

    @property
    def is_death(self) -> bool:
        """Whether the worker ends with it."""
        return self in (FaultKind.KILLED_BEFORE, FaultKind.KILLED_AFTER)


class InjectedFailure(Exception):
    """What an action raises that was told to fail."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One action that does not go well.

    Attributes:
        step: The step's name; of a step of a child saga, with the names of the steps
            that run it before it: ``"book/flight"``.
        direction: Whether its doing, its undoing or its probe goes wrong.
        times: At how many of its attempts, from the first on; None: at all.
    """

    step: str
    kind: FaultKind
    direction: Direction = Direction.DO
    times: int | None = None

    def __str__(self) -> str:
        what = _WORDS[self.direction].format(self.step)
        often = f", {self.times} times" if (self.times or 0) > 1 else ""
        return f"{what} {self.kind}{', once' if self.times == 1 else often}"


_WORDS: Final = {
    Direction.DO: "{}",
    Direction.UNDO: "the undo of {}",
    Direction.PROBE: "the probe of {}",
}


def with_faults(
    transaction: SagaTransaction, faults: Iterable[Fault]
) -> SagaTransaction:
    """Return the definition, under its id, with faults in its steps' metadata.

    Raises:
        ValueError: A fault names a step that there is not.
    """
    told = tuple(faults)
    if not told:
        return transaction
    names = {step.name for step in transaction.steps}
    for fault in told:
        if fault.step.partition("/")[0] not in names:
            raise ValueError(
                f"saga {transaction.name!r} has no step {fault.step!r} to go wrong: "
                f"its steps are {', '.join(sorted(names))}"
            )
    steps = [_with_faults(step, told) for step in transaction.steps]
    return replace(transaction, steps=steps)


def _with_faults(step: SagaStep, faults: Sequence[Fault]) -> SagaStep:
    own = [
        {"kind": f.kind.name, "direction": str(f.direction), "times": f.times}
        for f in faults
        if f.step == step.name
    ]
    if own:
        step = replace(step, metadata={**step.metadata, _KEY: own})
    inner = [
        replace(f, step=f.step.partition("/")[2])
        for f in faults
        if f.step.startswith(f"{step.name}/")
    ]
    if inner and isinstance(step.saga, Mapping):
        child = SagaTransaction.from_json(step.saga, transaction_id="")
        step = replace(step, saga=with_faults(child, inner).to_json())
    return step


def stalls(metadata: Mapping[str, Any], direction: str, attempt: int) -> bool:
    """Whether an attempt is told to stand still before its effect."""
    return _told(metadata, direction, attempt) is FaultKind.STALLS


def inject(
    action: Action,
    kill: Callable[[], NoReturn],
    stall: Callable[[ActionContext], None],
) -> Action:
    """Return the action with what its step's metadata tell of: faults, a stand-in.

    Args:
        action: What is called when all goes well.
        kill: Ends the worker.
        stall: Returns when nobody waits for the attempt any more.
    """

    def act(data: dict[str, Any], context: ActionContext) -> Any:  # noqa: ANN401
        if (output := stand_in(context)) is not None:
            return output
        kind = _due(context)
        if kind is FaultKind.STALLS:
            stall(context)
        if kind in (None, FaultKind.STALLS):
            return action(data, context)
        if not kind.has_effect:
            _strike(kind, context, kill)
        output = action(data, context)
        if isawaitable(output):
            return _strike_later(output, kind, context, kill)
        return _strike(kind, context, kill)

    return act


def _due(context: ActionContext) -> FaultKind | None:
    """Return the fault of this very attempt; hide from the action that there is one."""
    kind = _told(context.metadata, context.direction, context.attempt)
    context.metadata = {k: v for k, v in context.metadata.items() if k != _KEY}
    return kind


def _told(
    metadata: Mapping[str, Any], direction: str, attempt: int
) -> FaultKind | None:
    for fault in metadata.get(_KEY, ()):
        is_due = fault["times"] is None or attempt <= fault["times"]
        if fault["direction"] == direction and is_due:
            return FaultKind[fault["kind"]]
    return None


async def _strike_later(
    output: Awaitable[Any],
    kind: FaultKind,
    context: ActionContext,
    kill: Callable[[], NoReturn],
) -> NoReturn:
    await output
    _strike(kind, context, kill)


def _strike(
    kind: FaultKind, context: ActionContext, kill: Callable[[], NoReturn]
) -> NoReturn:
    if kind.is_death:
        kill()
    what = _WORDS[Direction(context.direction)].format(context.step)
    if kind.has_effect:
        raise ConnectionError(f"{what} was done, and its answer lost, on purpose")
    raise InjectedFailure(f"{what} fails on purpose")
