"""What a scatter asks of whom, and whether that makes sense."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestration.core.routing.aggregate import AggregationStrategy, TieRule
from orchestration.core.routing.combine import ConflictRule
from orchestration.core.words import member
from orchestration.errors import InvalidScatter

__all__ = ["ScatterPlan", "make_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterPlan:
    """What a scatter asks of whom.

    Attributes:
        targets: Whom it asks, each once.
        strategy: How their answers become one.
        timeout_ms: How long all of them have together, milliseconds.
        min_responses: How many must answer.
        on_conflict: What counts where answers differ; None: as the strategy has it.
        on_tie: What counts if votes are equal.
    """

    targets: tuple[str, ...]
    strategy: AggregationStrategy
    timeout_ms: int
    min_responses: int
    on_conflict: ConflictRule | None = None
    on_tie: TieRule = TieRule.ERROR


def make_plan(
    targets: Sequence[str],
    strategy: AggregationStrategy | str,
    *,
    timeout_ms: int,
    min_responses: int | None = None,
    has_aggregator: bool = False,
    on_conflict: ConflictRule | str | None = None,
    on_tie: TieRule | str = TieRule.ERROR,
) -> ScatterPlan:
    """Return the plan of a scatter.

    Args:
        targets: Whom to ask.
        strategy: How their answers become one; a plain name is accepted.
        timeout_ms: How long all of them have together, milliseconds.
        min_responses: How many must answer; None: for FIRST one, for MAJORITY_VOTE
            more than half of the targets, else every target.
        has_aggregator: Whether a function for CUSTOM is given.
        on_conflict: What counts where answers differ; None: as the strategy has it.
        on_tie: What counts if votes are equal.

    Raises:
        InvalidScatter: All that is wrong with it.
    """
    try:
        how = member(AggregationStrategy, strategy)
        rule = member(ConflictRule, on_conflict)
        tie = member(TieRule, on_tie)
    except ValueError as exc:
        raise InvalidScatter([str(exc)]) from None
    least = _least(how, len(targets)) if min_responses is None else min_responses
    faults = [
        *_target_faults(targets),
        *_limit_faults(targets, timeout_ms, least),
        *_aggregator_faults(how, has_aggregator=has_aggregator),
    ]
    if faults:
        raise InvalidScatter(faults)
    return ScatterPlan(
        targets=tuple(targets),
        strategy=how,
        timeout_ms=timeout_ms,
        min_responses=least,
        on_conflict=rule,
        on_tie=tie,
    )


def _least(strategy: AggregationStrategy, targets: int) -> int:
    match strategy:
        case AggregationStrategy.FIRST:
            return 1
        case AggregationStrategy.MAJORITY_VOTE:
            return targets // 2 + 1
        case _:
            return targets


def _target_faults(targets: Sequence[str]) -> Iterator[str]:
    if isinstance(targets, str):
        yield f"target_agents is the text {targets!r}: give a list of ids"
    elif not targets:
        yield "target_agents is empty: name at least one"
    else:
        twice = [target for target, times in Counter(targets).items() if times > 1]
        if twice:
            yield f"target_agents names {', '.join(twice)} twice: each answers once"


def _limit_faults(targets: Sequence[str], timeout_ms: int, least: int) -> Iterator[str]:
    if not timeout_ms > 0:
        yield f"timeout_ms is {timeout_ms}: give it more than 0"
    if targets and not 1 <= least <= len(targets):
        yield f"min_responses is {least}: give it 1 to {len(targets)}, the targets"


def _aggregator_faults(
    strategy: AggregationStrategy, *, has_aggregator: bool
) -> Iterator[str]:
    if (strategy is AggregationStrategy.CUSTOM) is has_aggregator:
        return
    if has_aggregator:
        yield f"an aggregator is given, and {strategy} uses none: ask for CUSTOM"
    else:
        yield "CUSTOM lacks its aggregator: give a function or a registered name"
