"""What a pipeline is: stages, who does them and how."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any, Final, Self

from orchestration.core.saga.model import RetryPolicy, SagaTransaction
from orchestration.core.saga.retry import is_list, names_of
from orchestration.core.words import member

__all__ = ["SWARM_CONFIG", "ExecutionMode", "PipelineDefinition", "PipelineStage"]

SWARM_CONFIG: Final = "swarm_config"
"""The key of a stage's metadata that has a swarm do it."""

_TIMEOUT_MS: Final = 3_600_000


class ExecutionMode(StrEnum):
    """How the agents of a stage go about it.

    SEQUENTIAL: one after the other, each on the outputs of those before. PARALLEL:
    all at once. CONDITIONAL: the stage's condition says whether it is done at all, or
    by which of its agents. MAP: once per item of a list.
    """

    SEQUENTIAL = "SEQUENTIAL"
    PARALLEL = "PARALLEL"
    CONDITIONAL = "CONDITIONAL"
    MAP = "MAP"


@dataclass(frozen=True, slots=True)
class PipelineStage:
    """One stage of a pipeline.

    It is done by ``agents``, by an agent that has a ``capability``, by a ``saga``, or
    by a swarm, if its metadata have a ``swarm_config``. What is given to it, and what
    becomes of its output, docs/pipelines.md tells.

    Attributes:
        name: Unique in the pipeline; letters, digits, ``_`` and ``-``.
        agents: Ids of the agents that do it.
        mode: How they go about it.
        metadata: JSON handed to the action as ``context.metadata``.
        action: Name of the agents' action; None: the stage's name.
        capability: In place of agents: an agent that has it is chosen for each
            attempt, among those that are up; ``name@>=1.2`` asks for a version.
        saga: In place of agents: the definition of a saga.
        condition: Whether it is done: a condition over its input. In mode CONDITIONAL
            also a condition for each agent: the first in the list whose condition
            holds does it; an agent without one does it if nobody before does.
        items: In mode MAP: the key of a list in its input.
        merge: In mode PARALLEL: whether the outputs are overlaid as well; a key on
            which two agents differ fails the stage.
        depends_on: Names of the stages that must be completed first; if no stage has
            any, list order is the order.
        timeout_ms: Time for one attempt, milliseconds; None: five minutes, and as long
            as the pipeline has for a saga or a swarm.
        retry_policy: Of each attempt; a mapping of its fields is accepted.
    """

    name: str
    agents: Sequence[str] = ()
    mode: ExecutionMode | str = field(default=ExecutionMode.SEQUENTIAL, kw_only=True)
    metadata: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    action: str | None = field(default=None, kw_only=True)
    capability: str | None = field(default=None, kw_only=True)
    saga: SagaTransaction | Mapping[str, Any] | None = field(default=None, kw_only=True)
    condition: str | Mapping[str, str] | None = field(default=None, kw_only=True)
    items: str | None = field(default=None, kw_only=True)
    merge: bool = field(default=False, kw_only=True)
    depends_on: Sequence[str] = field(default=(), kw_only=True)
    timeout_ms: int | None = field(default=None, kw_only=True)
    retry_policy: RetryPolicy | Mapping[str, Any] | None = field(
        default=None, kw_only=True
    )

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "mode", member(ExecutionMode, self.mode))
        for names in ("agents", "depends_on"):
            put(self, names, names_of(getattr(self, names)))
        if isinstance(self.saga, SagaTransaction):
            put(self, "saga", self.saga.to_json())

    @property
    def swarm_config(self) -> Any:  # noqa: ANN401  whatever was given, for the checks
        """What the metadata say of a swarm; None: no swarm does the stage."""
        metadata = self.metadata
        return metadata.get(SWARM_CONFIG) if isinstance(metadata, Mapping) else None

    def to_json(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON; ``from_json`` reads it."""
        out: dict[str, Any] = {"name": self.name}
        for one in fields(self):
            default = {} if one.default is MISSING else one.default
            if (held := getattr(self, one.name)) != default:
                out[one.name] = list(held) if isinstance(held, tuple) else held
        if policy := RetryPolicy.of(self.retry_policy).to_json():
            out["retry_policy"] = policy
        return out

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a stage from JSON.

        Raises:
            ValueError: It is no object, a key is no field, or ``name`` is missing.
        """
        return cls(**_known(cls, value, required=("name",)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineDefinition:
    """A pipeline as a value.

    Attributes:
        name: What it is called in lists, metrics and Flower.
        stages: At least one.
        timeout_ms: Time for the pipeline as a whole, milliseconds.
    """

    name: str = "pipeline"
    stages: Sequence[PipelineStage]
    timeout_ms: int = _TIMEOUT_MS

    def __post_init__(self) -> None:
        if is_list(self.stages):
            object.__setattr__(self, "stages", tuple(self.stages))

    def to_json(self) -> dict[str, Any]:
        """Return the pipeline as JSON; ``from_json`` reads it."""
        stages = [stage.to_json() for stage in self.stages]
        return {"name": self.name, "stages": stages, "timeout_ms": self.timeout_ms}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a pipeline from JSON.

        Raises:
            ValueError: A key is no field, ``stages`` is missing, or a stage cannot be
                read; the faults of all stages are named.
        """
        given = _known(cls, value, required=("stages",))
        stages, faults = [], []
        if not is_list(given["stages"]):
            raise ValueError(f"stages is {reprlib.repr(given['stages'])}: give a list")
        for at, stage in enumerate(given["stages"]):
            try:
                stages.append(PipelineStage.from_json(stage))
            except ValueError as exc:
                faults.append(f"stages[{at}]: {exc}")
        if faults:
            raise ValueError("; ".join(faults))
        return cls(**{**given, "stages": stages})


def _known(
    kind: type, value: Mapping[str, Any], *, required: Sequence[str]
) -> dict[str, Any]:
    """Return ``value`` as constructor arguments; name what is unknown or missing."""
    if not isinstance(value, Mapping):
        raise ValueError(f"it is {reprlib.repr(value)}: give it an object")  # noqa: TRY004  one kind of error for all that JSON can hold
    names = [one.name for one in fields(kind)]
    wrong = [f"{key!r} is missing" for key in required if key not in value]
    wrong += [f"{key!r} is no field of it" for key in value if key not in names]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}; it has {', '.join(names)}")
    return dict(value)
