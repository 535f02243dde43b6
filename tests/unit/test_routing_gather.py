"""Where a scatter stands after each thing that happens to it."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.routing.aggregate import AggregationStrategy, aggregate
from orchestration.core.routing.gather import Asked, Gather, ScatterEnd, ScatterResult
from orchestration.core.routing.scatter_plan import ScatterPlan, make_plan
from orchestration.errors import (
    AggregationConflict,
    InsufficientResponses,
    InvalidScatter,
)


def begun(
    strategy: str = "ALL",
    *,
    of: int = 3,
    least: int | None = None,
    timeout_ms: int = 100,
) -> Gather:
    """Return a scatter that has asked a0, a1, … by the requests r0, r1, …"""
    plan = make_plan(
        [f"a{n}" for n in range(of)],
        strategy,
        timeout_ms=timeout_ms,
        min_responses=least,
        has_aggregator=strategy == "CUSTOM",
    )
    copies = [Asked(request_id=f"r{n}", place=n, agent_id=f"a{n}") for n in range(of)]
    return Gather(plan=plan).asking(copies)


def hedged(gather: Gather, place: int, agent_id: str, at_ms: float = 50) -> Gather:
    copy = Asked(
        request_id=f"h{place}",
        place=place,
        agent_id=agent_id,
        at_ms=at_ms,
        is_hedge=True,
    )
    return gather.asking([copy])


# -- when it is over -------------------------------------------------------------------


def test_the_first_answer_decides_first() -> None:
    gather = begun("FIRST").failed("r0", "it is ill", 5)
    assert gather.end_at(6) is None
    gather = gather.answered("r2", "x", 10)
    assert gather.end_at(10) is ScatterEnd.DECIDED


def test_first_waits_for_as_many_as_must_answer() -> None:
    gather = begun("FIRST", least=2).answered("r1", "x", 10)
    assert (gather.end_at(11), gather.still_needed) == (None, 1)
    gather = gather.answered("r0", "y", 20)
    assert gather.end_at(20) is ScatterEnd.DECIDED
    assert aggregate("FIRST", gather.answers) == "x"


def test_a_vote_is_over_when_no_other_value_can_win() -> None:
    gather = begun("MAJORITY_VOTE", of=5, least=1)
    gather = gather.answered("r0", 1, 1).answered("r1", 2, 2).answered("r2", 1.0, 3)
    assert gather.end_at(3) is None  # 2 against 1, and two may come
    gather = gather.answered("r3", 1, 4)
    assert gather.end_at(4) is ScatterEnd.DECIDED  # 3 against 1, and one may come


def test_a_failure_can_decide_a_vote() -> None:
    gather = begun("MAJORITY_VOTE", of=3, least=1).answered("r0", "x", 1)
    assert gather.failed("r1", "it is ill", 2).end_at(2) is None
    gather = gather.failed("r1", "it is ill", 2).failed("r2", "it too", 3)
    assert gather.end_at(3) is ScatterEnd.COMPLETE
    gather = begun("MAJORITY_VOTE", of=4, least=1)
    gather = gather.answered("r0", "x", 1).answered("r1", "x", 2)
    assert gather.end_at(2) is None  # the other two may agree on something else
    assert gather.failed("r2", "it is ill", 3).end_at(3) is ScatterEnd.DECIDED


def test_a_vote_that_is_decided_still_waits_for_its_quorum() -> None:
    gather = begun("MAJORITY_VOTE", of=3, least=3)
    gather = gather.answered("r0", "x", 1).answered("r1", "x", 2)
    assert (gather.end_at(2), gather.still_needed) == (None, 1)


@pytest.mark.parametrize("strategy", ["ALL", "AVERAGE", "MERGE", "CUSTOM"])
def test_other_strategies_wait_for_everybody_or_for_the_deadline(strategy: str) -> None:
    gather = begun(strategy, least=1).answered("r0", 1, 1).answered("r1", 1, 2)
    assert gather.end_at(99.9) is None
    assert gather.end_at(100) is ScatterEnd.DEADLINE
    assert gather.failed("r2", "it is ill", 3).end_at(3) is ScatterEnd.COMPLETE


def test_it_is_over_as_soon_as_too_few_can_answer() -> None:
    gather = begun("AVERAGE", least=2).failed("r0", "it is ill", 1)
    assert gather.end_at(1) is None
    gather = gather.failed("r2", "it too", 2)
    assert gather.end_at(2) is ScatterEnd.HOPELESS


def test_too_few_at_the_deadline_are_too_few() -> None:
    gather = begun("AVERAGE", least=2).answered("r0", 1, 1)
    end = gather.end_at(100)
    assert end is ScatterEnd.DEADLINE
    result = ScatterResult.of(gather.ended(100), end, 100)
    assert not result.is_enough
    assert result.missing == ("a1", "a2")


# -- what comes late, twice, or unusable -----------------------------------------------


def test_what_comes_after_the_end_is_dropped_and_told() -> None:
    gather = begun("FIRST").answered("r0", "x", 10).ended(11)
    gather = gather.answered("r1", "y", 12).failed("r2", "it is ill", 13)
    assert [(late.target, late.after_ms) for late in gather.late] == [
        ("a1", 12),
        ("a2", 13),
    ]
    assert [one.value for one in gather.answers] == ["x"]
    assert gather.failures == ()


def test_what_comes_after_the_deadline_is_late_though_nobody_has_ended_it() -> None:
    gather = begun(least=1).answered("r0", "x", 100).answered("r1", "y", 100.1)
    assert [one.target for one in gather.answers] == ["a0"]
    assert [one.target for one in gather.late] == ["a1"]


def test_an_answer_that_comes_twice_counts_once() -> None:
    gather = begun(of=2).answered("r0", "x", 10).answered("r0", "x", 11)
    gather = gather.failed("r0", "it is ill", 12)
    assert (len(gather.answers), gather.duplicates) == (1, 2)
    assert gather.end_at(12) is None


def test_a_late_answer_that_comes_twice_is_late_once() -> None:
    gather = begun().ended(5).answered("r0", "x", 10).answered("r0", "x", 11)
    assert (len(gather.late), gather.duplicates) == (1, 1)


def test_an_answer_to_nothing_that_was_asked_is_not_ours() -> None:
    gather = begun()
    assert gather.answered("r9", "x", 1) is gather
    assert gather.failed("r9", "it is ill", 1) is gather


@pytest.mark.parametrize("value", [math.nan, {"x": [math.inf]}, {1: 2}, object()])
def test_an_answer_that_is_no_json_is_a_failure_of_its_agent(value: Any) -> None:
    gather = begun("AVERAGE", least=2).answered("r0", value, 1)
    gather = gather.answered("r1", 4, 2).answered("r2", 6, 3)
    end = gather.end_at(3)
    assert end is ScatterEnd.COMPLETE
    assert aggregate("AVERAGE", gather.answers) == 5
    errors = ScatterResult.of(gather, end, 3).errors
    assert errors["a0"].startswith("its answer cannot be used: ")


# -- second copies ---------------------------------------------------------------------


def test_the_copy_that_answers_first_counts() -> None:
    gather = hedged(begun(of=1), 0, "b0").answered("h0", "fast", 60)
    assert gather.end_at(60) is ScatterEnd.COMPLETE
    gather = gather.answered("r0", "slow", 61)
    (answer,) = gather.answers
    assert (answer.target, answer.agent_id, answer.value) == ("a0", "b0", "fast")
    assert gather.duplicates == 1


def test_a_target_fails_when_all_its_copies_have() -> None:
    gather = hedged(begun(of=2, least=2), 1, "b1").failed("r1", "it is ill", 60)
    assert gather.end_at(60) is None
    assert gather.pending == {0, 1}
    gather = gather.failed("h1", "it too", 61)
    assert gather.pending == {0}
    assert gather.end_at(61) is ScatterEnd.HOPELESS


def test_a_failure_that_a_second_copy_made_good_is_told_and_no_error() -> None:
    gather = hedged(begun(of=1), 0, "b0").failed("r0", "it is ill", 60)
    gather = gather.answered("h0", "x", 70)
    result = ScatterResult.of(gather, ScatterEnd.COMPLETE, 70)
    assert [one.error for one in result.failures] == ["it is ill"]
    assert (result.errors, result.hedges) == ({}, 1)


# -- how it went -----------------------------------------------------------------------


def test_the_result_tells_who_did_what() -> None:
    gather = hedged(begun("ALL", of=4, least=2), 2, "b2").answered("r2", "z", 20)
    gather = gather.answered("r0", "x", 30).failed("r1", "it is ill", 40)
    end = gather.end_at(100)
    assert end is not None
    result = ScatterResult.of(gather.ended(100), end, 100.5)
    assert result.responses == {"a0": "x", "a2": "z"}
    assert list(result.responses) == ["a0", "a2"]
    assert [answer.target for answer in result.answers] == ["a2", "a0"]
    assert result.errors == {"a1": "it is ill"}
    assert result.missing == ("a3",)
    assert result.request_ids == {
        "a0": ("r0",),
        "a1": ("r1",),
        "a2": ("r2", "h2"),
        "a3": ("r3",),
    }
    assert (result.end, result.is_enough) == (ScatterEnd.DEADLINE, True)
    assert (result.duration_ms, result.hedges, result.duplicates) == (100.5, 1, 0)


def test_too_few_answers_carry_what_there_is() -> None:
    gather = begun("AVERAGE").answered("r1", 5, 10)
    result = ScatterResult.of(gather, ScatterEnd.DEADLINE, 100)
    error = InsufficientResponses("1 of 3 answered", result)
    again = pickle.loads(pickle.dumps(error))
    for one in (error, again):
        assert str(one) == "1 of 3 answered"
        assert one.responses == {"a1": 5}
        assert one.result == result


# -- what is asked ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "least"),
    [("FIRST", 1), ("MAJORITY_VOTE", 3), ("ALL", 4), ("AVERAGE", 4), ("MERGE", 4)],
)
def test_how_many_must_answer_follows_from_the_strategy(
    strategy: str, least: int
) -> None:
    assert begun(strategy.lower(), of=4).plan.min_responses == least


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(InvalidScatter) as refused:
        make_plan(["a", "b", "a"], "CUSTOM", timeout_ms=0, min_responses=4)
    assert refused.value.faults == (
        "target_agents names a twice: each answers once",
        "timeout_ms is 0: give it more than 0",
        "min_responses is 4: give it 1 to 3, the targets",
        "CUSTOM lacks its aggregator: give a function or a registered name",
    )


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"targets": []}, "target_agents is empty"),
        ({"targets": "agent-1"}, "target_agents is the text 'agent-1'"),
        ({"min_responses": 0}, "min_responses is 0: give it 1 to 2"),
        ({"timeout_ms": -1}, "timeout_ms is -1"),
        ({"has_aggregator": True}, "an aggregator is given, and ALL uses none"),
        ({"strategy": "MEDIAN"}, "'MEDIAN' is no AggregationStrategy: use FIRST"),
        ({"on_conflict": "X"}, "'X' is no ConflictRule: use ERROR, FIRST"),
        ({"on_tie": "X"}, "'X' is no TieRule: use ERROR, FIRST"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], fault: str) -> None:
    given = {"targets": ["a", "b"], "strategy": "ALL", "timeout_ms": 5}
    with pytest.raises(InvalidScatter) as refused:
        make_plan(**(given | changes))
    assert fault in str(refused.value)


# -- laws ------------------------------------------------------------------------------

happenings = st.lists(
    st.tuples(
        st.sampled_from(["answer", "fail"]),
        st.integers(0, 4),
        st.sampled_from([0, 1, 2]),
    ),
    max_size=12,
)
strategies = st.sampled_from(AggregationStrategy)


def after(gather: Gather, *happened: tuple[str, int, int], since: int = 0) -> Gather:
    for at_ms, (what, place, value) in enumerate(happened, since):
        if what == "answer":
            gather = gather.answered(f"r{place}", value, at_ms)
        else:
            gather = gather.failed(f"r{place}", "it is ill", at_ms)
    return gather


def drawn(strategy: AggregationStrategy, least: int) -> Gather:
    plan = ScatterPlan(
        targets=("a0", "a1", "a2", "a3", "a4"),
        strategy=strategy,
        timeout_ms=100,
        min_responses=least,
    )
    return Gather(plan=plan).asking(
        Asked(request_id=f"r{n}", place=n, agent_id=f"a{n}") for n in range(5)
    )


@given(happenings, strategies, st.integers(1, 5))
def test_every_target_is_answered_failed_or_pending(
    happened: list[tuple[str, int, int]], strategy: AggregationStrategy, least: int
) -> None:
    gather = after(drawn(strategy, least), *happened)
    answered = {one.place for one in gather.answers}
    failed = {int(one.target[1]) for one in gather.failures}
    assert sorted([*answered, *failed, *gather.pending]) == [0, 1, 2, 3, 4]
    heard = len(gather.answers) + len(gather.failures) + gather.duplicates
    assert heard == len(happened)


@given(happenings, happenings, strategies, st.integers(1, 5))
def test_an_end_is_never_taken_back_and_what_is_decided_stays(
    before: list[tuple[str, int, int]],
    more: list[tuple[str, int, int]],
    strategy: AggregationStrategy,
    least: int,
) -> None:
    early = after(drawn(strategy, least), *before)
    end = early.end_at(50)
    if end is None:
        return
    later = after(early, *more, since=len(before))
    assert later.end_at(50) is not None
    was_hopeless = end is ScatterEnd.HOPELESS
    assert (later.end_at(50) is ScatterEnd.HOPELESS) is was_hopeless
    if end is ScatterEnd.DECIDED:
        asked = (aggregate(strategy, one.answers) for one in (early, later))
        assert len(set(asked)) == 1


@given(happenings, st.integers(1, 5))
def test_a_vote_is_not_decided_while_another_value_could_still_win(
    happened: list[tuple[str, int, int]], least: int
) -> None:
    """And once nothing could change it, nobody is waited for."""
    gather = after(drawn(AggregationStrategy.MAJORITY_VOTE, least), *happened)
    if gather.still_needed or not gather.pending:
        return
    pending = [("answer", place, "rest") for place in gather.pending]
    outcomes = set()
    for value in (0, 1, 2, "another"):
        final = after(gather, *((what, at, value) for what, at, _ in pending))
        try:
            outcomes.add(aggregate("MAJORITY_VOTE", final.answers))
        except AggregationConflict:
            outcomes.add("tie")
    is_decided = gather.end_at(50) is ScatterEnd.DECIDED
    assert is_decided is (len(outcomes) == 1)


@given(happenings, strategies, st.integers(1, 5))
def test_at_the_deadline_every_scatter_is_over(
    happened: list[tuple[str, int, int]], strategy: AggregationStrategy, least: int
) -> None:
    gather = after(drawn(strategy, least), *happened)
    end = gather.end_at(100)
    assert end is not None
    result = ScatterResult.of(gather.ended(100), end, 100)
    assert result.is_enough is (len(gather.answers) >= least)
    assert replace(result, value=None) == result
