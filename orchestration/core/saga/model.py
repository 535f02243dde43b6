"""What a saga is: steps, their order, how they are retried and undone."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, Final, Self
from uuid import uuid4

from orchestration.core.saga.retry import RetryPolicy, is_list, names_of
from orchestration.core.saga.shape import POLICY, STEP, TRANSACTION, shape_faults
from orchestration.core.saga.words import (
    CompensationStrategy,
    Direction,
    OnCompensationFailure,
    OnFailure,
    SagaState,
    Teamwork,
    UnknownPolicy,
)
from orchestration.core.words import member

__all__ = [
    "CELERY_ACTION",
    "CompensationStrategy",
    "Direction",
    "OnCompensationFailure",
    "OnFailure",
    "RetryPolicy",
    "SagaState",
    "SagaStep",
    "SagaTransaction",
    "Teamwork",
    "UnknownPolicy",
    "definition_hash",
]

CELERY_ACTION: Final = "celery:"
"""What an action's name begins with if it is a Celery task of the same app."""

_ACTION_TIMEOUT_MS = 300_000


@dataclass(frozen=True, slots=True)
class SagaStep:
    """One step of a saga: an action of an agent, and how to undo it.

    A step does one of four things: it has an agent act, it waits for a signal
    (``wait_for``), or it runs a saga of its own (``saga``), or a swarm (``swarm``).
    Its agent is named, or chosen when the step begins (``capability``, ``choose``);
    with ``agents`` there are several.

    Attributes:
        name: Unique in the saga.
        agent_id: Which agent does it; letters, digits, ``_`` and ``-``.
        agents: Each of these does it, as ``teamwork`` says; with a ``map``, its items
            are dealt out among them in turn.
        teamwork: How these agents go about it; None: AT_ONCE.
        capability: It is done by an agent that has this capability; which one is
            chosen, and recorded, for each attempt.
        choose: Pairs of an agent and a condition over the step's data: the first whose
            condition holds does it; if none does, the step is passed over.
        action: Name of the agent's action; None: the step's name. With ``celery:``
            before it, the name of a Celery task.
        compensation: Name of the agent's action that undoes it.
        depends_on: Names of the steps that must be completed first.
        timeout_ms: Time for one attempt, milliseconds; None: five minutes, and as
            long as the saga has for a step that waits for a signal or a saga.
        retry_policy: For the action; a mapping of its fields is accepted.
        compensation_retry_policy: For the compensation.
        is_pivot: The point of no return: once it is completed nothing is undone.
        read_only: The step has no effect, so there is nothing to undo.
        on_unknown: None: RETRY, for a pivot ESCALATE, with a ``probe`` PROBE.
        probe: Name of the agent's action that tells whether an attempt of unknown
            outcome took effect.
        max_recoveries: Attempts after an unknown outcome, beyond ``max_attempts``.
        when: A condition over the step's data; if it does not hold the step is
            passed over. See ``orchestration.core.conditions``.
        map: Key of a list in the step's data: the step is done once per item.
        wait_for: Name of the signal that completes the step.
        saga: The definition of a saga that the step runs.
        swarm: What makes up a swarm that the step runs.
        metadata: JSON handed to the action as ``context.metadata``.
    """

    name: str
    agent_id: str = ""
    agents: Sequence[str] = field(default=(), kw_only=True)
    teamwork: Teamwork | str | None = field(default=None, kw_only=True)
    capability: str | None = field(default=None, kw_only=True)
    choose: Sequence[Sequence[str]] = field(default=(), kw_only=True)
    action: str | None = field(default=None, kw_only=True)
    compensation: str | None = field(default=None, kw_only=True)
    depends_on: Sequence[str] = field(default=(), kw_only=True)
    timeout_ms: int | None = field(default=None, kw_only=True)
    retry_policy: RetryPolicy | Mapping[str, Any] | None = field(
        default=None, kw_only=True
    )
    compensation_retry_policy: RetryPolicy | Mapping[str, Any] | None = field(
        default=None, kw_only=True
    )
    is_pivot: bool = field(default=False, kw_only=True)
    read_only: bool = field(default=False, kw_only=True)
    on_unknown: UnknownPolicy | str | None = field(default=None, kw_only=True)
    probe: str | None = field(default=None, kw_only=True)
    max_recoveries: int = field(default=3, kw_only=True)
    when: str | None = field(default=None, kw_only=True)
    map: str | None = field(default=None, kw_only=True)
    wait_for: str | None = field(default=None, kw_only=True)
    saga: SagaTransaction | Mapping[str, Any] | None = field(default=None, kw_only=True)
    swarm: Mapping[str, Any] | None = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "depends_on", names_of(self.depends_on))
        put(self, "agents", names_of(self.agents))
        put(self, "teamwork", member(Teamwork, self.teamwork))
        if self.choose and is_list(self.choose):
            put(self, "choose", tuple(names_of(pair) for pair in self.choose))
        put(self, "on_unknown", member(UnknownPolicy, self.on_unknown))
        if isinstance(self.metadata, Mapping):
            put(self, "metadata", dict(self.metadata))
        if isinstance(self.saga, SagaTransaction):
            put(self, "saga", self.saga.to_json())
        if self.timeout_ms is None and not self.is_waiting:
            put(self, "timeout_ms", _ACTION_TIMEOUT_MS)

    @property
    def is_waiting(self) -> bool:
        """Whether it is done by others than an agent: a signal, a saga, a swarm."""
        return any(
            other is not None for other in (self.wait_for, self.saga, self.swarm)
        )

    @property
    def is_open(self) -> bool:
        """Whether its agent is not named, but chosen when it begins."""
        return self.capability is not None or bool(self.choose)

    @property
    def can_be_undone(self) -> bool:
        """Whether there is a way to undo it: a compensation, or a saga's own."""
        return bool(self.compensation) or self.saga is not None

    @property
    def action_name(self) -> str:
        """The action to call: ``action``, or the step's name."""
        return self.action or self.name

    @property
    def unknown_policy(self) -> UnknownPolicy:
        """``on_unknown`` with its default filled in."""
        if self.on_unknown is not None:
            return UnknownPolicy(self.on_unknown)
        if self.probe:
            return UnknownPolicy.PROBE
        return UnknownPolicy.ESCALATE if self.is_pivot else UnknownPolicy.RETRY

    def policy(self, direction: Direction) -> RetryPolicy:
        """Return the retry policy of the action or of the compensation."""
        if direction is Direction.UNDO:
            return RetryPolicy.of(self.compensation_retry_policy)
        return RetryPolicy.of(self.retry_policy)

    def target(self, direction: Direction) -> str | None:
        """Return the name of the agent's action for that direction, if there is one."""
        match direction:
            case Direction.DO:
                return None if self.is_waiting else self.action_name
            case Direction.UNDO:
                return self.compensation
            case Direction.PROBE:
                return self.probe

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of all actions that it may call."""
        named = (self.target(direction) for direction in Direction)
        return tuple(name for name in named if name)

    def to_json(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON; ``from_json`` reads it.

        Defaults are left out, so that a definition keeps its hash when a later
        version of this package knows of more fields.
        """
        out = _differing(self)
        if out.get("timeout_ms") == _ACTION_TIMEOUT_MS and not self.is_waiting:
            del out["timeout_ms"]
        for key in {"depends_on", "agents"} & out.keys():
            out[key] = list(out[key])
        if "choose" in out:
            out["choose"] = [list(pair) for pair in self.choose]
        for key, direction in _POLICIES.items():
            out.pop(key, None)
            if policy := self.policy(direction).to_json():
                out[key] = policy
        return out

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a step from JSON.

        Raises:
            ValueError: A key is no field, ``name`` is missing, or a value is of the
                wrong type.
        """
        step = cls(**_known(cls, value, required=("name",)))
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
        on_failure: Whether a saga that gives up is undone or halts as it stands.
        on_compensation_failure: Whether a failed undo stops the others.
        locks: Names of locks that the saga holds while it is open; ``{key}`` in one
            stands for a value of the initial data.
        search_attributes: Text and numbers to find the saga by; no part of the
            definition's hash.
        template: Name and version of the template it was made from, if it was.
        transaction_id: The saga's id, made at construction unless given.
    """

    name: str
    steps: Sequence[SagaStep]
    compensation_strategy: CompensationStrategy | str = field(
        default=CompensationStrategy.BACKWARD, kw_only=True
    )
    timeout_ms: int = field(default=3_600_000, kw_only=True)
    on_failure: OnFailure | str = field(default=OnFailure.COMPENSATE, kw_only=True)
    on_compensation_failure: OnCompensationFailure | str = field(
        default=OnCompensationFailure.HALT, kw_only=True
    )
    locks: Sequence[str] = field(default=(), kw_only=True)
    search_attributes: Mapping[str, str | float] = field(
        default_factory=dict, kw_only=True
    )
    template: str = field(default="", kw_only=True)
    # The one place of the core that draws an id: the contract has the definition
    # carry it from birth, so that a caller can look the saga up after a crash.
    transaction_id: str = field(default_factory=lambda: str(uuid4()), kw_only=True)

    def __post_init__(self) -> None:
        put = object.__setattr__
        if is_list(self.steps):
            put(self, "steps", tuple(self.steps))
        strategy = member(CompensationStrategy, self.compensation_strategy)
        put(self, "compensation_strategy", strategy)
        put(self, "on_failure", member(OnFailure, self.on_failure))
        on_failure = member(OnCompensationFailure, self.on_compensation_failure)
        put(self, "on_compensation_failure", on_failure)
        put(self, "locks", names_of(self.locks))

    def to_json(self) -> dict[str, Any]:
        """Return the definition as JSON, without its id and search attributes."""
        out = _differing(self)
        del out["transaction_id"]
        out.pop("search_attributes", None)
        out["steps"] = [step.to_json() for step in self.steps]
        if "locks" in out:
            out["locks"] = list(self.locks)
        return out

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
        for step in given["steps"] if is_list(given["steps"]) else ():
            try:
                steps.append(SagaStep.from_json(step))
            except ValueError as exc:
                faults.append(str(exc))
        _refuse(f"saga {transaction.name!r}", faults)
        return replace(transaction, steps=steps)


def _differing(value: SagaStep | SagaTransaction) -> dict[str, Any]:
    """Return the fields whose values are not their defaults."""
    return {
        f.name: held
        for f in fields(value)
        if (held := getattr(value, f.name)) != _default(f)
    }


def _default(given: Field[Any]) -> object:
    if given.default_factory is dict:
        return {}
    return given.default  # MISSING, where there is none: equal to nothing


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
