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

__all__ = ["Fault", "FaultKind", "InjectedFailure", "inject", "with_faults"]

_KEY: Final = "orchestration.testing.faults"


class FaultKind(StrEnum):
    """What an action does in place of going well, in words that complete a sentence.

    One that fails before its effect raises; one that fails after it raises
    ConnectionError, as when only the answer was lost. One that is killed takes its
    worker along.
    """

    FAILS_BEFORE = "fails before its effect"
    FAILS_AFTER = "fails after its effect"
    KILLED_BEFORE = "is killed before its effect"
    KILLED_AFTER = "is killed after its effect"

    @property
    def has_effect(self) -> bool:
        """Whether the action does its work first."""
        return self in (FaultKind.FAILS_AFTER, FaultKind.KILLED_AFTER)

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


def inject(action: Action, kill: Callable[[], NoReturn]) -> Action:
    """Return the action with the faults that its step's metadata tell of."""

    def act(data: dict[str, Any], context: ActionContext) -> Any:  # noqa: ANN401
        kind = _due(context)
        if kind is None:
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
    told = context.metadata.get(_KEY)
    if told is None:
        return None
    context.metadata = {k: v for k, v in context.metadata.items() if k != _KEY}
    for fault in told:
        is_due = fault["times"] is None or context.attempt <= fault["times"]
        if fault["direction"] == context.direction and is_due:
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
