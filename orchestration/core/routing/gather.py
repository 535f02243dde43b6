"""Where one scatter stands: who has answered, whether that is enough, when it is over.

A scatter asks several targets one thing and has one deadline. The functions here are
told what happens, with the time of it in milliseconds since the scatter began, and
return the next state; they send nothing and wait for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from orchestration.core.routing.aggregate import (
    AggregationStrategy,
    Answer,
    is_settled_vote,
)
from orchestration.core.routing.scatter_plan import ScatterPlan
from orchestration.core.routing.values import canonical, unfit

__all__ = ["Asked", "Failure", "Gather", "Late", "ScatterEnd", "ScatterResult"]


class ScatterEnd(StrEnum):
    """Why a scatter was over.

    DECIDED: what is still to come can change nothing. COMPLETE: everybody has
    answered or failed. DEADLINE: its time was over. HOPELESS: so many have failed that
    ``min_responses`` cannot be reached.
    """

    DECIDED = "DECIDED"
    COMPLETE = "COMPLETE"
    DEADLINE = "DEADLINE"
    HOPELESS = "HOPELESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One copy of the request, on its way.

    Attributes:
        request_id: Its own id; the answer names it.
        place: Which target's answer it is to bring.
        agent_id: To whom it goes: the target, or another agent if it is a hedge.
        at_ms: When it was sent.
        is_hedge: Whether it is a second copy.
    """

    request_id: str
    place: int
    agent_id: str
    at_ms: float = 0.0
    is_hedge: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A copy that will bring no answer.

    Attributes:
        target: Whose answer it was to bring.
        agent_id: Who failed.
        error: Why, in words.
        after_ms: When that was known, milliseconds since the scatter began.
    """

    target: str
    agent_id: str
    error: str
    after_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """An answer, or an error, that came when the scatter was over; it was dropped."""

    target: str
    agent_id: str
    after_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """One scatter as far as it is known; each event makes another.

    Attributes:
        plan: What was asked of whom.
        asked: Every copy that was sent, by its id.
        heard: Ids of the copies that have come back, or never will.
        answers: The answers that count, in the order in which they came.
        votes: Of MAJORITY_VOTE: how many of them have which canonical text.
        having: Places of the targets that have answered.
        lost: Places of the targets all of whose copies have failed.
        failures: The copies that failed.
        late: What came after the end.
        duplicates: Answers to what was answered already.
        ended_at_ms: When it was over; None: it is not.
    """

    plan: ScatterPlan
    asked: Mapping[str, Asked] = field(default_factory=dict)
    heard: frozenset[str] = frozenset()
    answers: tuple[Answer, ...] = ()
    votes: Mapping[str, int] = field(default_factory=dict)
    having: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()
    failures: tuple[Failure, ...] = ()
    late: tuple[Late, ...] = ()
    duplicates: int = 0
    ended_at_ms: float | None = None

    def asking(self, copies: Iterable[Asked]) -> Self:
        """Return it with further copies on their way."""
        more = {one.request_id: one for one in copies}
        again = {one.place for one in more.values()}
        return replace(self, asked={**self.asked, **more}, lost=self.lost - again)

    def answered(self, request_id: str, value: Any, at_ms: float) -> Self:  # noqa: ANN401
        """Return it after an answer; one that is no usable JSON is a failure."""
        copy = self.asked.get(request_id)
        if copy is None:
            return self
        if self._is_told(copy):
            return self._once_more(copy)
        if self._is_late(at_ms):
            return self._too_late(copy, at_ms)
        if fault := unfit(value):
            return self.failed(request_id, f"its answer cannot be used: {fault}", at_ms)
        answer = Answer(
            target=self.plan.targets[copy.place],
            place=copy.place,
            value=value,
            after_ms=at_ms,
            agent_id=copy.agent_id,
        )
        votes = self.votes
        if self.plan.strategy is AggregationStrategy.MAJORITY_VOTE:
            ballot = canonical(value)
            votes = {**votes, ballot: votes.get(ballot, 0) + 1}
        return replace(
            self,
            heard=self.heard | {request_id},
            answers=(*self.answers, answer),
            votes=votes,
            having=self.having | {copy.place},
        )

    def failed(self, request_id: str, error: str, at_ms: float) -> Self:
        """Return it after a copy has come to nothing."""
        copy = self.asked.get(request_id)
        if copy is None:
            return self
        if self._is_told(copy):
            return self._once_more(copy)
        if self._is_late(at_ms):
            return self._too_late(copy, at_ms)
        failure = Failure(
            target=self.plan.targets[copy.place],
            agent_id=copy.agent_id,
            error=error,
            after_ms=at_ms,
        )
        heard = self.heard | {request_id}
        others = any(
            one.place == copy.place and one.request_id not in heard
            for one in self.asked.values()
        )
        return replace(
            self,
            heard=heard,
            failures=(*self.failures, failure),
            lost=self.lost if others else self.lost | {copy.place},
        )

    def ended(self, at_ms: float) -> Self:
        """Return it as over: what comes from now on is late."""
        return replace(self, ended_at_ms=at_ms)

    @property
    def pending(self) -> frozenset[int]:
        """Places of the targets that may still answer, or are still to be asked."""
        return frozenset(range(len(self.plan.targets))) - self.having - self.lost

    @property
    def still_needed(self) -> int:
        """How many more answers ``min_responses`` asks for."""
        return max(0, self.plan.min_responses - len(self.answers))

    def end_at(self, at_ms: float) -> ScatterEnd | None:
        """Return why it is over at that time, or None if it is worth waiting."""
        pending = len(self.plan.targets) - len(self.having) - len(self.lost)
        if self.still_needed > pending:
            return ScatterEnd.HOPELESS
        if pending == 0:
            return ScatterEnd.COMPLETE
        if not self.still_needed and self._is_decided(pending):
            return ScatterEnd.DECIDED
        return ScatterEnd.DEADLINE if at_ms >= self.plan.timeout_ms else None

    def _is_decided(self, pending: int) -> bool:
        match self.plan.strategy:
            case AggregationStrategy.FIRST:
                return True
            case AggregationStrategy.MAJORITY_VOTE:
                return is_settled_vote(self.votes.values(), pending)
            case _:
                return False

    def _is_told(self, copy: Asked) -> bool:
        """Tell whether the copy has come back before, or another in its place has."""
        return copy.request_id in self.heard or copy.place in self.having

    def _is_late(self, at_ms: float) -> bool:
        return self.ended_at_ms is not None or at_ms > self.plan.timeout_ms

    def _once_more(self, copy: Asked) -> Self:
        return replace(
            self,
            heard=self.heard | {copy.request_id},
            duplicates=self.duplicates + 1,
        )

    def _too_late(self, copy: Asked, at_ms: float) -> Self:
        late = Late(
            target=self.plan.targets[copy.place],
            agent_id=copy.agent_id,
            after_ms=at_ms,
        )
        return replace(
            self, heard=self.heard | {copy.request_id}, late=(*self.late, late)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterResult:
    """How a scatter went, as it was known at its end.

    Attributes:
        plan: What was asked of whom.
        value: What the answers came to; None if they were too few.
        end: Why it was over.
        answers: Who answered what, and when, in the order of arrival.
        failures: Who failed, and why.
        missing: The targets that neither answered nor failed.
        late: What came after the deadline, or after the end.
        duplicates: Answers to what was answered already.
        request_ids: The ids of each target's requests, hedges last: its task's too.
        hedges: How many second copies were sent.
        duration_ms: From the beginning to the end.
    """

    plan: ScatterPlan
    value: Any = None
    end: ScatterEnd
    answers: tuple[Answer, ...]
    failures: tuple[Failure, ...]
    missing: tuple[str, ...]
    late: tuple[Late, ...]
    duplicates: int
    request_ids: Mapping[str, tuple[str, ...]]
    hedges: int
    duration_ms: float

    @classmethod
    def of(cls, gather: Gather, end: ScatterEnd, at_ms: float) -> Self:
        """Return how a scatter went that is over at that time."""
        targets = gather.plan.targets
        copies = list(gather.asked.values())
        return cls(
            plan=gather.plan,
            end=end,
            answers=gather.answers,
            failures=gather.failures,
            missing=tuple(targets[place] for place in sorted(gather.pending)),
            late=gather.late,
            duplicates=gather.duplicates,
            request_ids={
                target: tuple(one.request_id for one in copies if one.place == place)
                for place, target in enumerate(targets)
            },
            hedges=sum(one.is_hedge for one in copies),
            duration_ms=at_ms,
        )

    @property
    def is_enough(self) -> bool:
        """Whether at least ``min_responses`` have answered."""
        return len(self.answers) >= self.plan.min_responses

    @property
    def responses(self) -> dict[str, Any]:
        """The answers by target, in the order of the targets."""
        in_order = sorted(self.answers, key=lambda answer: answer.place)
        return {answer.target: answer.value for answer in in_order}

    @property
    def errors(self) -> dict[str, str]:
        """Why targets failed, by target, for those that have no answer."""
        have = {answer.target for answer in self.answers}
        return {
            one.target: one.error for one in self.failures if one.target not in have
        }
