"""What many answers to one question come to: six ways to make one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import nlargest
from typing import Any, Final

from orchestration.core.routing.combine import ConflictRule, Named, averaged, merged
from orchestration.core.routing.values import canonical, unfit
from orchestration.core.words import member
from orchestration.errors import AggregationConflict

__all__ = [
    "AggregationStrategy",
    "Aggregator",
    "Answer",
    "ConflictRule",
    "TieRule",
    "aggregate",
    "is_settled_vote",
]

Aggregator = Callable[[Mapping[str, Any]], Any]
"""Takes the answers by target, in the order of the targets; what it returns counts."""


_ON_CONFLICT: Final = "on_conflict may be FIRST, LAST or COLLECT"


class AggregationStrategy(StrEnum):
    """How the answers to one request become one.

    FIRST: that which came first. ALL: the list of them, in the order of the targets.
    MAJORITY_VOTE: that which most gave. AVERAGE: the mean, number by number. MERGE:
    all that they hold. CUSTOM: what a function makes of them.
    """

    FIRST = "FIRST"
    ALL = "ALL"
    MAJORITY_VOTE = "MAJORITY_VOTE"
    AVERAGE = "AVERAGE"
    MERGE = "MERGE"
    CUSTOM = "CUSTOM"


class TieRule(StrEnum):
    """What counts if several answers have the most votes."""

    ERROR = "ERROR"
    FIRST = "FIRST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one target answered.

    Attributes:
        target: Who was asked.
        place: The target's place among those asked, from 0.
        value: JSON.
        after_ms: When it came, milliseconds since the request was sent.
        agent_id: Who answered: the target, or whom a hedge was sent to.
    """

    target: str
    place: int
    value: Any
    after_ms: float
    agent_id: str = ""


def aggregate(
    strategy: AggregationStrategy | str,
    answers: Sequence[Answer],
    *,
    on_conflict: ConflictRule | str | None = None,
    on_tie: TieRule | str = TieRule.ERROR,
    aggregator: Aggregator | None = None,
) -> Any:  # noqa: ANN401  JSON, or what the aggregator returns
    """Return what answers come to; in which order they are given says nothing.

    Args:
        strategy: How; a plain name is accepted.
        answers: At least one; each target has one at most.
        on_conflict: Of AVERAGE and MERGE, see ``averaged`` and ``merged``. None: for
            AVERAGE what is no number may differ, for MERGE it is ERROR.
        on_tie: Of MAJORITY_VOTE: ERROR, or FIRST: of the values with the most votes
            that which the first of the targets gave.
        aggregator: Of CUSTOM; what it raises is not caught.

    Raises:
        AggregationConflict: They contradict each other, none has the most votes, one
            is no JSON of finite numbers, or there are none.
        ValueError: There is no such strategy or rule, or CUSTOM lacks its function.
    """
    how = member(AggregationStrategy, strategy)
    rule, tie = member(ConflictRule, on_conflict), member(TieRule, on_tie)
    in_order = sorted(answers, key=lambda answer: answer.place)
    named: Named = [(answer.target, answer.value) for answer in in_order]
    _refuse_unfit(how, named)
    match how:
        case AggregationStrategy.FIRST:
            return min(in_order, key=lambda one: (one.after_ms, one.place)).value
        case AggregationStrategy.ALL:
            return [value for _, value in named]
        case AggregationStrategy.CUSTOM:
            if aggregator is None:
                raise ValueError("CUSTOM needs an aggregator: name one")
            return aggregator(dict(named))
        case AggregationStrategy.MAJORITY_VOTE:
            result, faults = _voted(named, tie)
            way_out = "on_tie=FIRST takes that of the first target"
        case AggregationStrategy.AVERAGE:
            result, faults = averaged(named, rule)
            way_out = _ON_CONFLICT
        case AggregationStrategy.MERGE:
            result, faults = merged(named, rule or ConflictRule.ERROR)
            way_out = _ON_CONFLICT
    if faults:
        raise _conflict(how, faults, named, f" ({way_out})")
    return result


def is_settled_vote(votes: Iterable[int], pending: int) -> bool:
    """Tell whether no other value can get as many votes as that which leads.

    Args:
        votes: How many each value has so far.
        pending: How many answers may still come.
    """
    lead, second = (*nlargest(2, votes), 0, 0)[:2]
    return lead - second > pending


def _refuse_unfit(strategy: AggregationStrategy, named: Named) -> None:
    faults = [f"{who}: {fault}" for who, value in named if (fault := unfit(value))]
    if not named:
        faults.append("there is no answer")
    if faults:
        raise _conflict(strategy, faults, named)


def _conflict(
    strategy: AggregationStrategy,
    faults: Sequence[str],
    named: Named,
    way_out: str = "",
) -> AggregationConflict:
    text = f"{strategy} of {len(named)} answers: {'; '.join(faults)}{way_out}"
    return AggregationConflict(text, faults, dict(named))


def _voted(named: Named, tie: TieRule) -> tuple[Any, list[str]]:
    """Return the value that most gave; values are equal if JSON says so."""
    voters: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    for who, value in named:
        ballot = canonical(value)
        voters.setdefault(ballot, []).append(who)
        values.setdefault(ballot, value)
    most = max(len(camp) for camp in voters.values())
    leading = [ballot for ballot, camp in voters.items() if len(camp) == most]
    if len(leading) == 1 or tie is TieRule.FIRST:
        return values[leading[0]], []
    camps = " | ".join(", ".join(voters[ballot]) for ballot in leading)
    return None, [f"{len(leading)} values have {most} votes each: {camps}"]
