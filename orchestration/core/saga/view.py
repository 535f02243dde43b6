"""A saga's state, as its events tell it: one immutable value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from orchestration.core.saga.compensation import Waves
from orchestration.core.saga.evolve import evolve
from orchestration.core.saga.locks import lock_names
from orchestration.core.saga.model import Direction, SagaState, SagaTransaction
from orchestration.core.saga.plan import Plan

__all__ = ["Parent", "Phase", "PhaseStatus", "SagaView"]


class PhaseStatus(StrEnum):
    """Where the doing, the undoing or the probing of one step stands."""

    IDLE = "IDLE"
    RUNNING = "RUNNING"
    AWAITING = "AWAITING"  # a signal, or the end of another saga or of a swarm
    WAITING = "WAITING"  # for its next attempt, at ``due_at``
    DONE = "DONE"
    SKIPPED = "SKIPPED"  # by its condition; an undo: by an operator
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, kw_only=True)
class Phase:
    """The doing, the undoing or the probing of one step.

    Attributes:
        attempt: Number of the latest attempt; 0 before the first. It never goes back.
        agent_id: The agent that was chosen for it; "" if its agent is named.
        chosen_for: The number of the attempt for which it was.
        failures: Attempts that failed cleanly, of this round.
        recoveries: Attempts whose outcome was unknown, of this round.
        is_doubtful: An attempt of this round may have taken effect unseen.
        token: The delivery that holds, or held, the latest attempt.
        awaits: What an AWAITING step waits for: ``{"signal": name}``,
            ``{"saga": id}`` or ``{"swarm": id}``.
        until: When an AWAITING step gives up.
        is_denied: A person said of an unknown outcome that it did not come about.
        repeats: An undo that has to be done once more when it is through.
        settled_at: Stream version of the event that ended it.
        ended_at: When that was recorded.
    """

    status: PhaseStatus = PhaseStatus.IDLE
    attempt: int = 0
    round: int = 1
    agent_id: str = ""
    chosen_for: int = 0
    failures: int = 0
    recoveries: int = 0
    is_doubtful: bool = False
    token: str = ""
    started_at: datetime | None = None
    due_at: datetime | None = None
    awaits: Mapping[str, str] = field(default_factory=dict)
    until: datetime | None = None
    output: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    is_denied: bool = False
    repeats: bool = False
    settled_at: int = 0
    ended_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody, or something, is at it."""
        return self.status in (PhaseStatus.RUNNING, PhaseStatus.AWAITING)

    def is_ready(self, now: datetime) -> bool:
        """Whether its next attempt may begin, as far as it is concerned."""
        if self.status is PhaseStatus.WAITING:
            return self.due_at is None or self.due_at <= now
        return self.status is PhaseStatus.IDLE

    def anew(self, *, next_round: bool) -> Phase:
        """Return it as before its first attempt; attempts are counted on."""
        return Phase(
            attempt=self.attempt,
            round=self.round + next_round,
            is_doubtful=self.is_doubtful and not next_round,
            output=None if next_round else self.output,
        )


_IDLE = Phase()


@dataclass(frozen=True, slots=True)
class Parent:
    """The step of another saga that a saga runs for."""

    saga_id: str
    step: str


@dataclass(frozen=True, kw_only=True)
class SagaView:
    """A saga's state after ``version`` events.

    Attributes:
        clock_from: From when its ``timeout_ms`` counts.
        ends_by: The latest time that its parent leaves it; None: no parent.
        cause: Why it gave up: ``{"reason", "step", "error"}``; None while it has not.
        waves: The undo plan, once compensation has started.
        turned_at: When it last turned to undoing.
        turned: The stream version of that.
        rewinds: Steps to be done anew once the waves are through.
        late: Attempts (step, direction, number, round) whose result is on record and
            came too late to count.
        signals: Data of signals that no step has taken yet, oldest first, by name.
        heard: Ids of all signals that have come, and of a parent's repeated orders.
        locks: Fencing numbers of the locks it holds; None while it has none.
        paused_because: Why it stands still, if it does.
        paused_by: Who paused it; None: it did itself.
        paused_at: Since when, if an operator paused it: its timers stand still.
        resumes_to: The state it goes on in after an operator's pause.
    """

    saga_id: str
    version: int = 0
    state: SagaState = SagaState.RUNNING
    transaction: SagaTransaction
    plan: Plan
    definition_hash: str = ""
    initial_data: Mapping[str, Any] = field(default_factory=dict)
    parent: Parent | None = None
    started_at: datetime
    clock_from: datetime
    ends_by: datetime | None = None
    ended_at: datetime | None = None
    do: Mapping[str, Phase] = field(default_factory=dict)
    undo: Mapping[str, Phase] = field(default_factory=dict)
    probe: Mapping[str, Phase] = field(default_factory=dict)
    cause: Mapping[str, Any] | None = None
    waves: Waves = ()
    kept: tuple[str, ...] = ()
    turned_at: datetime | None = None
    turned: int = 0
    rewinds: tuple[str, ...] = ()
    late: frozenset[tuple[str, Direction, int, int]] = frozenset()
    signals: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    heard: frozenset[str] = frozenset()
    locks: Mapping[str, int] | None = None
    paused_because: str | None = None
    paused_by: str | None = None
    paused_at: datetime | None = None
    resumes_to: SagaState | None = None

    @property
    def deadline(self) -> datetime:
        """When the saga as a whole has run out of time."""
        own = self.clock_from + timedelta(milliseconds=self.transaction.timeout_ms)
        return own if self.ends_by is None else min(own, self.ends_by)

    @property
    def is_cancelled(self) -> bool:
        """Whether it gave up because somebody asked for it."""
        return self.cause is not None and self.cause.get("reason") == "cancelled"

    @property
    def is_on_hold(self) -> bool:
        """Whether an operator paused it, to go on later."""
        return self.state is SagaState.PAUSED and self.resumes_to is not None

    @property
    def lacks_locks(self) -> bool:
        """Whether it does not hold the locks that its steps and undos need."""
        return bool(self.transaction.locks) and self.locks is None

    @property
    def lock_names(self) -> tuple[str, ...]:
        """Names of the locks that it holds, or has to get."""
        return lock_names(self.transaction.locks, self.initial_data)

    @property
    def completed(self) -> tuple[str, ...]:
        """Names of completed steps, oldest first."""
        return self.settled(PhaseStatus.DONE)

    @property
    def satisfied(self) -> frozenset[str]:
        """Names of steps that nobody has to wait for: completed, or passed over."""
        return frozenset(self.settled(PhaseStatus.DONE, PhaseStatus.SKIPPED))

    @property
    def pivot_committed(self) -> bool:
        """Whether the point of no return is behind."""
        pivot = self.plan.pivot
        return pivot is not None and self.do_of(pivot).status is PhaseStatus.DONE

    def phase(self, name: str, direction: Direction) -> Phase:
        """Return how the step's doing, undoing or probing stands."""
        return self.side(direction).get(name, _IDLE)

    def do_of(self, name: str) -> Phase:
        """Return how the step's doing stands."""
        return self.do.get(name, _IDLE)

    def undo_of(self, name: str) -> Phase:
        """Return how the step's undoing stands."""
        return self.undo.get(name, _IDLE)

    def agent_of(self, name: str) -> str:
        """Return the step's agent: the one it names, or that was chosen; else ""."""
        return self.plan.by_name[name].agent_id or self.do_of(name).agent_id

    def lacks_agent(self, name: str) -> bool:
        """Whether somebody has yet to choose the agent of the step's next attempt."""
        if not self.plan.by_name[name].is_open:
            return False
        phase = self.do_of(name)
        if self.keeps_agent(name):
            return not phase.agent_id
        return phase.chosen_for <= phase.attempt

    def keeps_agent(self, name: str) -> bool:
        """Whether the step's next attempt is for the agent of the one before.

        Of one that was chosen by the step's data, which stay; and of one that may have
        done what only it can undo, or knows by its key.
        """
        step = self.plan.by_name.get(name)
        if step is None or not step.is_open or step.choose:
            return True  # also of a step that only a message which lied told of
        return bool(step.compensation) and self.do_of(name).is_doubtful

    def side(self, direction: Direction) -> Mapping[str, Phase]:
        """Return the phases of one direction, of steps that were touched."""
        match direction:
            case Direction.DO:
                return self.do
            case Direction.UNDO:
                return self.undo
            case Direction.PROBE:
                return self.probe

    def with_phase(self, name: str, direction: Direction, phase: Phase) -> SagaView:
        """Return the saga with one phase changed."""
        side = {**self.side(direction), name: phase}
        match direction:
            case Direction.DO:
                return evolve(self, do=side)
            case Direction.UNDO:
                return evolve(self, undo=side)
            case Direction.PROBE:
                return evolve(self, probe=side)

    def running(self, direction: Direction) -> tuple[str, ...]:
        """Return the names of steps with an attempt in a worker's hands."""
        side = self.side(direction)
        return tuple(n for n, p in side.items() if p.status is PhaseStatus.RUNNING)

    def settled(self, *statuses: PhaseStatus) -> tuple[str, ...]:
        """Return the steps whose doing ended so, in the order in which it did."""
        chosen = [n for n, phase in self.do.items() if phase.status in statuses]
        return tuple(sorted(chosen, key=lambda name: self.do[name].settled_at))
