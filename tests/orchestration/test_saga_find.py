"""Finding sagas: by state, name, attributes and time, page by page."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from orchestration.errors import InvalidSaga
from orchestration.saga import SagaState, SagaStep, SagaSummary, SagaTransaction
from tests.support.front import Front, linear, step

pytestmark = pytest.mark.integration


def find(front: Front, **options: Any) -> tuple[SagaSummary, ...]:
    return asyncio.run(front.saga.find(**options))


def ids(found: tuple[SagaSummary, ...]) -> list[str]:
    return [one.saga_id for one in found]


def named(name: str, *steps: SagaStep, **options: Any) -> SagaTransaction:
    return SagaTransaction(name, steps or [step("s1")], **options)


def test_sagas_are_found_by_their_search_attributes(front: Front) -> None:
    attributes = {"customer": "c-1", "amount": 12.5}
    first = front.run(named("attributes", search_attributes=attributes)).saga_id
    second = front.run(
        named("attributes", search_attributes={"customer": "c-2", "amount": 12.5})
    ).saga_id
    assert ids(find(front, attributes={"customer": "c-1"})) == [first]
    assert ids(find(front, attributes={"amount": 12.5})) == [second, first]
    both = find(front, attributes={"amount": 12.5, "customer": "c-2"})
    assert ids(both) == [second]
    assert both[0].search_attributes == {"customer": "c-2", "amount": 12.5}
    assert find(front, attributes={"customer": "c-3"}) == ()
    assert front.status(first).search_attributes == attributes


def test_sagas_are_found_by_state_and_name(front: Front) -> None:
    done = front.run(named("by state")).saga_id
    undone = front.run(named("by state", step("s1", fail="for good"))).saga_id
    waiting = front.start(named("by state", SagaStep("s1", wait_for="go")))
    halted = front.run(
        named("by state", step("s1", fail="for good"), on_failure="HALT")
    ).saga_id
    name = "by state"
    assert ids(find(front, name=name)) == [halted, waiting, undone, done]
    assert ids(find(front, name=name, state="COMPLETED")) == [done]
    assert ids(find(front, name=name, state=SagaState.COMPENSATED)) == [undone]
    assert ids(find(front, name=name, state="running")) == [waiting]
    assert ids(find(front, name=name, state="FAILED")) == [halted]
    front.act("pause", waiting)
    [paused] = find(front, name=name, state="PAUSED")
    assert (paused.saga_id, paused.ended_at) == (waiting, None)
    front.act("cancel", waiting)
    assert front.wait(waiting).state is SagaState.COMPENSATED


def test_a_state_that_lists_do_not_know_is_refused(front: Front) -> None:
    with pytest.raises(ValueError, match="'NONSENSE' is no SagaState: use RUNNING"):
        find(front, state="NONSENSE")
    # What a running saga waits for is in its events, not in the lists.
    with pytest.raises(ValueError, match="find it as RUNNING"):
        find(front, state="WAITING")


def test_sagas_are_found_by_time_and_page_by_page(front: Front) -> None:
    started = [front.run(named("pages")).saga_id for _ in range(5)]
    times = [front.status(one).started_at for one in started]
    newest_first = started[::-1]
    pages: list[str] = []
    last: SagaSummary | None = None
    while page := find(front, name="pages", limit=2, after=last):
        pages += ids(page)
        last = page[-1]
    assert pages == newest_first
    since = find(front, name="pages", started_after=times[2])
    assert ids(since) == newest_first[:3]
    before = find(front, name="pages", started_before=times[2])
    assert ids(before) == newest_first[3:]
    later = times[-1] + timedelta(hours=1)
    assert find(front, name="pages", started_after=later) == ()


def test_a_child_is_found_with_its_parent(front: Front) -> None:
    child = SagaStep("child", saga=named("inner", SagaStep("s1", wait_for="go")))
    saga_id = front.start(named("outer", child))
    front.await_event(saga_id, "STEP_WAITING")
    child_id = front.status(saga_id).child_ids["child"]
    front.await_event(child_id, "STEP_WAITING")
    [found] = find(front, name="inner")
    assert (found.saga_id, found.parent_id) == (child_id, saga_id)
    front.act("signal", child_id, "go")
    assert front.wait(saga_id).state is SagaState.COMPLETED


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"a b": "x"}, "search attribute 'a b': use letters"),
        ({"a": True}, "is True: give it text or a number"),
        ({"a": ["x"]}, "give it text or a number"),
        ({"a": "x" * 201}, "at most 200"),
        ({f"a{n}": n for n in range(21)}, "21 search attributes: at most 20"),
    ],
)
def test_attributes_are_few_and_short(
    front: Front, attributes: dict[str, Any], words: str
) -> None:
    transaction = linear(1, search_attributes=attributes)
    with pytest.raises(InvalidSaga, match=words):
        front.start(transaction)
