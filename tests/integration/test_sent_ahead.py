"""A chain's next link is sent while the outcome that it follows is being recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from orchestration.adapters.celery_bus import hint_for
from orchestration.adapters.saga_records import Because
from orchestration.contracts import SAGA_STEP, Hint
from orchestration.core.saga.acts import Who
from orchestration.core.saga.decide import Decision, Refusal
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Succeeded
from orchestration.engine.attempts import Claimed, open_attempt
from orchestration.errors import TransportError
from tasks.saga import _Ahead
from tests.support.worker_side import WorkerSide

pytestmark = pytest.mark.integration

DO = Direction.DO
DONE = Succeeded({})


def hint_of(decision: Decision) -> Hint | None:
    view, (line,) = decision.view, decision.lines
    return hint_for(view, line[0], DO, view.started_at)


def ahead_of(
    side: WorkerSide, passed_on: Callable[[Any, Hint | None], None]
) -> tuple[_Ahead, Any]:
    """Return what a step's task sends ahead with, and the task: s2 follows it."""
    link = {"task": SAGA_STEP, "kwargs": {"step": "s2"}}
    task = SimpleNamespace(request=SimpleNamespace(chain=[link]))
    rt = replace(side.rt, sender=SimpleNamespace(pass_on=passed_on))
    return _Ahead(task, rt, DO), task


def test_a_message_that_is_here_before_what_it_follows_waits_for_the_record(
    side: WorkerSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than its receiver has: this host may be busy when the record is due.
    monkeypatch.setattr("orchestration.engine.attempts._NOT_YET_S", [0.01] * 6_000)
    saga_id = side.begin()
    claimed = side.open(saga_id, "s1")
    with ThreadPoolExecutor(1) as pool:

        def send(decision: Decision) -> None:
            early.append(pool.submit(side.open, saga_id, "s2", hint=hint_of(decision)))
            time.sleep(0.03)
            assert not early[0].done()

        early: list[Any] = []
        side.close(claimed, DONE, ahead=send)
        assert isinstance(early[0].result(), Claimed)
    assert side.types(saga_id)[-2:] == ["STEP_COMPLETED", "STEP_STARTED"]


def test_a_message_whose_record_never_comes_begins_nothing(side: WorkerSide) -> None:
    saga_id = side.begin()
    side.open(saga_id, "s1")
    before = side.types(saga_id)
    hint = Hint(version=3, check_at_ms=None)
    message = side.message(saga_id, "s2")
    answer = open_attempt(side.rt.recorder, message, DO, hint, Because())
    assert answer is Refusal.NOT_READY
    assert side.types(saga_id) == before


def test_what_was_sent_ahead_of_what_came_about_is_all_that_is_sent(
    side: WorkerSide,
) -> None:
    claimed = side.open(side.begin(), "s1")
    hints: list[Hint | None] = []
    ahead, _ = ahead_of(side, lambda _, hint: hints.append(hint))
    decision = side.close(claimed, DONE, ahead=ahead.send)
    ahead.sent_at_s += 60.0  # as if it had taken no time, however busy this host is
    assert ahead.is_right(decision)
    assert hints == [hint_of(decision)]


def test_what_came_about_otherwise_is_sent_anew(side: WorkerSide) -> None:
    saga_id = side.begin()
    claimed = side.open(saga_id, "s1")

    def pause_meanwhile(*_: Any) -> None:
        side.rt.desk.pause(saga_id, Who(by="test"))
        side.rt.desk.resume(saga_id, Who(by="test"))

    ahead, _ = ahead_of(side, pause_meanwhile)
    decision = side.close(claimed, DONE, ahead=ahead.send)
    assert not ahead.is_right(decision)
    assert decision.lines == (("s2",),)


def test_what_was_recorded_long_after_is_sent_anew(side: WorkerSide) -> None:
    # Its receiver has waited for the record, and no longer does.
    claimed = side.open(side.begin(), "s1")
    ahead, _ = ahead_of(side, lambda *_: None)
    decision = side.close(claimed, DONE, ahead=ahead.send)
    ahead.sent_at_s -= 0.2
    assert not ahead.is_right(decision)


def test_what_the_broker_did_not_take_ahead_is_sent_once_recorded(
    side: WorkerSide,
) -> None:
    def refuse(*_: Any) -> None:
        raise TransportError("the broker is away")

    claimed = side.open(side.begin(), "s1")
    ahead, _ = ahead_of(side, refuse)
    decision = side.close(claimed, DONE, ahead=ahead.send)
    assert not ahead.is_right(decision)


def test_nothing_is_sent_ahead_of_what_is_no_chain(side: WorkerSide) -> None:
    sent: list[Any] = []
    claimed = side.open(side.begin(count=1), "s1")
    ahead, task = ahead_of(side, lambda *args: sent.append(args))
    decision = side.close(claimed, DONE, ahead=ahead.send)
    assert not ahead.is_right(decision)
    assert sent == []
    assert task.request.chain  # the task's end sees to it
