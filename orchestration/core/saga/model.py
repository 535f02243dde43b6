"""What a saga is: steps, their order, how they are retried and undone."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self, TypeVar
from uuid import uuid4

from orchestration.core.saga.shape import POLICY, STEP, TRANSACTION, shape_faults

__all__ = [
    "CompensationStrategy",
    "Direction",
    "OnCompensationFailure",
    "RetryPolicy",
    "SagaState",
    "SagaStep",
    "SagaTransaction",
    "UnknownPolicy",
    "definition_hash",
]


class SagaState(StrEnum):
    """Where a saga stands; DESIGN and docs/sagas.md draw the transitions."""

    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"
    COMPENSATION_FAILED = "COMPENSATION_FAILED"
    PAUSED = "PAUSED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Whether only an operator can move the saga on from here."""
        return self not in _MOVING

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen to the saga any more."""
        return self in _OVER


_OVER = {SagaState.COMPLETED, SagaState.COMPENSATED}
_MOVING = {SagaState.RUNNING, SagaState.WAITING, SagaState.COMPENSATING}


class CompensationStrategy(StrEnum):
    """In which order completed steps are undone."""

    BACKWARD = "BACKWARD"
    FORWARD = "FORWARD"
    PARALLEL = "PARALLEL"
    SELECTIVE = "SELECTIVE"
    CASCADE = "CASCADE"


class Direction(StrEnum):
    """Whether a step is done or undone."""

    DO = "do"
    UNDO = "undo"


class UnknownPolicy(StrEnum):
    """What follows when nobody can tell whether a step took effect.

    RETRY tries again under the same idempotency key, at most ``max_recoveries``
    times, and then acts as COMPENSATE. COMPENSATE treats the step as done and
    undoes it. ESCALATE pauses the saga for a person; a pivot may have no other.
    """

    RETRY = "RETRY"
    COMPENSATE = "COMPENSATE"
    ESCALATE = "ESCALATE"


class OnCompensationFailure(StrEnum):
    """Whether the other undos still run when one has failed for good."""

    HALT = "HALT"
    CONTINUE = "CONTINUE"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon a failed attempt is tried again.

    Attributes:
        max_attempts: Attempts in all, the first included; at least 1.
        backoff_ms: Wait before the second attempt, milliseconds.
        multiplier: Factor from one wait to the next; at least 1.0.
        max_backoff_ms: Longest wait, milliseconds.
        jitter: Share of the wait that varies, 0.0 (none) to 1.0, so that many
            failing sagas do not come back in step.
        non_retryable: Names of exception classes that end the step at once.
    """

    max_attempts: int = 3
    backoff_ms: int = 500
    multiplier: float = 2.0
    max_backoff_ms: int = 60_000
    jitter: float = 0.1
    non_retryable: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "non_retryable", _names(self.non_retryable))

    @classmethod
    def of(cls, value: RetryPolicy | Mapping[str, Any] | None) -> RetryPolicy:
        """Return ``value`` as a policy; a mapping may name any of the fields.

        Raises:
            ValueError: It is no mapping, or has a key that is no field.
        """
        if isinstance(value, RetryPolicy):
            return value
        if value is not None and not isinstance(value, Mapping):
            raise ValueError(
                f"a retry policy is {reprlib.repr(value)}: give it an object"
            )
        given = dict(value or {})
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(map(str, given)) - known):
            msg = (
                f"a retry policy has no {', '.join(unknown)}; it has "
                f"{', '.join(sorted(known))}"
            )
            raise ValueError(msg)
        return cls(**given)


def _names(value: Sequence[str]) -> Sequence[str]:
    """Return names as a tuple; one name in place of a list is a common slip.

    What is neither stays as it is: ``checks`` tells of it, with all other faults.
    """
    if isinstance(value, str):
        return (value,)
    return tuple(value) if _is_list(value) else value


def _is_list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | Mapping)


_E = TypeVar("_E", bound=StrEnum)


def _member(kind: type[_E], value: str | None) -> _E | None:
    """Return the enum's member of that name; members and plain names are equal."""
    if value is None:
        return None
    try:
        return kind[str(value).upper()]
    except KeyError:
        names = ", ".join(kind.__members__)
        raise ValueError(f"{value!r} is no {kind.__name__}: use {names}") from None


@dataclass(frozen=True, slots=True)
class SagaStep:
    """One step of a saga: an action of an agent, and how to undo it.

    Attributes:
        name: Unique in the saga.
        agent_id: Which agent does it; letters, digits, ``_`` and ``-``.
        action: Name of the agent's action; None: the step's name.
        compensation: Name of the agent's action that undoes it.
        depends_on: Names of the steps that must be completed first.
        timeout_ms: Time for one attempt, milliseconds.
        retry_policy: For the action; a mapping of its fields is accepted.
        compensation_retry_policy: For the compensation.
        is_pivot: The point of no return: once it is completed nothing is undone.
        read_only: The step has no effect, so there is nothing to undo.
        on_unknown: None: RETRY, for a pivot ESCALATE.
        max_recoveries: Attempts after an unknown outcome, beyond ``max_attempts``.
        metadata: JSON handed to the action as ``context.metadata``.
    """

    name: str
    agent_id: str
    action: str | None = field(default=None, kw_only=True)
    compensation: str | None = field(default=None, kw_only=True)
    depends_on: Sequence[str] = field(default=(), kw_only=True)
    timeout_ms: int = field(default=300_000, kw_only=True)
    retry_policy: RetryPolicy | Mapping[str, Any] | None = field(
        default=None, kw_only=True
    )
    compensation_retry_policy: RetryPolicy | Mapping[str, Any] | None = field(
        default=None, kw_only=True
    )
    is_pivot: bool = field(default=False, kw_only=True)
    read_only: bool = field(default=False, kw_only=True)
    on_unknown: UnknownPolicy | str | None = field(default=None, kw_only=True)
    max_recoveries: int = field(default=3, kw_only=True)
    metadata: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "depends_on", _names(self.depends_on))
        put(self, "on_unknown", _member(UnknownPolicy, self.on_unknown))
        if isinstance(self.metadata, Mapping):
            put(self, "metadata", dict(self.metadata))

    @property
    def action_name(self) -> str:
        """The action to call: ``action``, or the step's name."""
        return self.action or self.name

    @property
    def unknown_policy(self) -> UnknownPolicy:
        """``on_unknown`` with its default filled in."""
        if self.on_unknown is not None:
            return UnknownPolicy(self.on_unknown)
        return UnknownPolicy.ESCALATE if self.is_pivot else UnknownPolicy.RETRY

    def policy(self, direction: Direction) -> RetryPolicy:
        """Return the retry policy of the action or of the compensation."""
        if direction is Direction.DO:
            return RetryPolicy.of(self.retry_policy)
        return RetryPolicy.of(self.compensation_retry_policy)

    def target(self, direction: Direction) -> str | None:
        """Return the name of the agent's action for that direction."""
        return self.action_name if direction is Direction.DO else self.compensation

    def to_json(self) -> dict[str, Any]:
        """Return the step as JSON; ``from_json`` reads it back."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        out["depends_on"] = list(self.depends_on)
        for key, direction in _POLICIES.items():
            policy = self.policy(direction)
            out[key] = {f.name: getattr(policy, f.name) for f in fields(policy)}
            out[key]["non_retryable"] = list(policy.non_retryable)
        return out

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a step from JSON.

        Raises:
            ValueError: A key is no field, ``name`` or ``agent_id`` is missing, or a
                value is of the wrong type.
        """
        step = cls(**_known(cls, value, required=("name", "agent_id")))
        faults = [*shape_faults(STEP, step).values()]
        for key, direction in _POLICIES.items():
            policy = step.policy(direction)
            faults += (f"{key}.{f}" for f in shape_faults(POLICY, policy).values())
        _refuse(f"step {step.name!r}", faults)
        return step


_POLICIES = {
    "retry_policy": Direction.DO,
    "compensation_retry_policy": Direction.UNDO,
}


@dataclass(frozen=True, slots=True)
class SagaTransaction:
    """A saga's definition: named steps with an order, and how to roll back.

    If no step names ``depends_on``, the steps run in list order; otherwise a step
    without it is a root.

    Attributes:
        name: What the saga is called in lists, metrics and Flower.
        steps: At least one.
        compensation_strategy: The order of undoing.
        timeout_ms: Time for the saga as a whole, milliseconds.
        on_compensation_failure: Whether a failed undo stops the others.
        transaction_id: The saga's id, made at construction unless given.
    """

    name: str
    steps: Sequence[SagaStep]
    compensation_strategy: CompensationStrategy | str = field(
        default=CompensationStrategy.BACKWARD, kw_only=True
    )
    timeout_ms: int = field(default=3_600_000, kw_only=True)
    on_compensation_failure: OnCompensationFailure | str = field(
        default=OnCompensationFailure.HALT, kw_only=True
    )
    # The one place of the core that draws an id: the contract has the definition
    # carry it from birth, so that a caller can look the saga up after a crash.
    transaction_id: str = field(default_factory=lambda: str(uuid4()), kw_only=True)

    def __post_init__(self) -> None:
        put = object.__setattr__
        if _is_list(self.steps):
            put(self, "steps", tuple(self.steps))
        strategy = _member(CompensationStrategy, self.compensation_strategy)
        put(self, "compensation_strategy", strategy)
        on_failure = _member(OnCompensationFailure, self.on_compensation_failure)
        put(self, "on_compensation_failure", on_failure)

    def to_json(self) -> dict[str, Any]:
        """Return the definition as JSON, without its id."""
        return {
            "name": self.name,
            "steps": [step.to_json() for step in self.steps],
            "compensation_strategy": self.compensation_strategy,
            "timeout_ms": self.timeout_ms,
            "on_compensation_failure": self.on_compensation_failure,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, transaction_id: str) -> Self:
        """Read a definition from JSON.

        Raises:
            ValueError: A key is no field, ``name`` or ``steps`` is missing, or a
                value is of the wrong type; the faults of all steps are named.
        """
        given = _known(cls, value, required=("name", "steps"))
        transaction = cls(**given | {"transaction_id": transaction_id})
        faults = [*shape_faults(TRANSACTION, transaction).values()]
        steps: list[SagaStep] = []
        for step in given["steps"] if _is_list(given["steps"]) else ():
            try:
                steps.append(SagaStep.from_json(step))
            except ValueError as exc:
                faults.append(str(exc))
        _refuse(f"saga {transaction.name!r}", faults)
        return replace(transaction, steps=steps)


def _refuse(what: str, faults: Sequence[str]) -> None:
    if faults:
        raise ValueError(f"{what}: {'; '.join(faults)}")


def _known(
    kind: type, value: Mapping[str, Any], *, required: Sequence[str]
) -> dict[str, Any]:
    """Return ``value`` as constructor arguments; name what is unknown or missing."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{kind.__name__} is {reprlib.repr(value)}: give it an object")  # noqa: TRY004  one kind of error for all that JSON can hold
    names = [f.name for f in fields(kind)]
    unknown = [f"{key!r} is no field of it" for key in value if key not in names]
    missing = [f"{key!r} is missing" for key in required if key not in value]
    if unknown or missing:
        msg = f"{kind.__name__}: {', '.join(missing + unknown)}; it has {names}"
        raise ValueError(msg)
    return dict(value)


def definition_hash(definition: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of a definition's JSON, whatever its key order."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
