"""What sagas look like, from literal events."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestration.adapters.announcements import Announced
from orchestration.adapters.saga_index import SagaSummary
from orchestration.cli.health import alive
from orchestration.cli.hosts import agent_table, hosted
from orchestration.cli.output import age, plain, short_id, span_text
from orchestration.cli.spans import Ended, lanes_of, spans_of
from orchestration.cli.timeline import timeline
from orchestration.cli.views import HistoryRow, history_table, saga_table, saga_view
from orchestration.core.saga.model import Direction
from tests.cli.sagas import BEGAN, Story, line_with, text_of, undone

END = BEGAN + timedelta(seconds=8)


def view(story: Story, **options) -> str:
    shown = saga_view(story.status, story.events, now=END, columns=100)
    return text_of(shown, **options)


def test_status_says_state_duration_cause_and_what_was_undone():
    text = view(undone())
    assert "↶ COMPENSATED  after 8.0 s" in text
    assert "ship gave up: NoTruck: no truck" in text
    assert "pay, reserve" in line_with(text, "undone", "│")


def test_steps_show_their_tries_and_undoing():
    text = view(undone())
    assert line_with(text, "agent-bank").split()[:5] == [
        "✓",
        "pay",
        "agent-bank",
        "done",
        "3",
    ]
    assert "undone" in line_with(text, "agent-bank")
    assert "undone" not in line_with(text, "agent-ship", "failed")


def test_every_attempt_that_did_not_succeed_says_why_and_what_came_then():
    text = view(undone())
    closed = "BankAway: closed [on sundays]  → tried again after 500 ms"
    assert closed in line_with(text, "pay, attempt 1")
    lost = "WorkerLost: not heard of  → tried again at once"
    assert lost in line_with(text, "pay, attempt 2")
    assert "tried again" not in line_with(text, "ship, attempt 1")


def test_timeline_gives_each_step_a_lane_and_its_undoing_another():
    lanes = [(step, direction) for step, direction, _ in lanes_of(spans())]
    do, undo = Direction.DO, Direction.UNDO
    assert lanes == [
        ("reserve", do),
        ("pay", do),
        ("ship", do),
        ("pay", undo),
        ("reserve", undo),
    ]


def spans():
    return spans_of(undone().events)


def test_timeline_shows_retries_waits_and_ends_to_scale():
    lines = text_of(
        timeline(spans(), began=BEGAN, until=END, columns=80), columns=80
    ).splitlines()
    start = lines[0].index("0")
    one_second = lines[0].index("2s") // 2 - start // 2
    pay = lines[2]
    marks = [pay.index(sign) for sign in "✗?✓"]
    expected = [start + one_second * second for second in (2, 4, 5)]
    assert marks == pytest.approx(expected, abs=2)
    assert "·" in pay[marks[0] : marks[1]]  # waiting for the second attempt
    assert "3 attempts" in pay
    assert lines[4].index("━") > lines[3].index("━")  # undone after it failed


def test_attempts_within_one_column_keep_both_ends():
    story = Story().attempt("pay", 5, 5.001, "STEP_FAILED", retry_at=5.002)
    story.attempt("pay", 5.002, 5.003, number=2).attempt("ship", 5.1, 8)
    shown = timeline(spans_of(story.events), began=BEGAN, until=END, columns=80)
    assert "✗✓" in text_of(shown)


def test_open_attempt_reaches_to_now():
    story = Story()
    story.happens(2, "STEP_STARTED", step="reserve", attempt=1, round=1, token="t")
    [span] = spans_of(story.events)
    assert span.outcome is Ended.RUNNING
    lane = line_with(view(story), "━▶")
    assert "6.0 s" in lane


def test_late_end_of_an_earlier_attempt_does_not_move_the_later_one():
    story = Story().attempt("pay", 1, 2, "STEP_UNKNOWN", retry_at=2)
    story.happens(2, "STEP_STARTED", step="pay", attempt=2, round=1, token="u")
    story.happens(3, "STEP_COMPLETED", step="pay", attempt=1, round=1, token="t")
    first, second = spans_of(story.events)
    assert first.outcome is Ended.UNKNOWN
    assert second.outcome is Ended.RUNNING


def test_saga_that_has_just_begun_is_shown():
    assert "▶ RUNNING" in view(Story())


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_view_fits_its_terminal(columns):
    shown = saga_view(undone().status, undone().events, now=END, columns=columns)
    widest = max(len(line) for line in text_of(shown, columns=columns).splitlines())
    assert widest <= columns


def test_history_says_what_each_event_is_about():
    rows = [HistoryRow(e, "worker@host", "c0ffee00" * 8) for e in undone().events]
    text = text_of(history_table(rows), columns=140)
    assert "order, 3 steps, definition" in line_with(text, "saga started")
    assert "reservation=R-7" in line_with(text, "reserve", "step completed")
    assert "order: pay → reserve" in line_with(text, "undoing started")
    assert "next attempt in 500 ms" in line_with(text, "BankAway")
    assert line_with(text, "all undone").split()[1] == "8.000"
    assert text.count("c0ffee00") == len(rows)


def test_list_shows_the_beginning_of_an_id_and_what_is_waited_for():
    saga_id = "6e9a4f8e-3a0d-4d53-8f0a-d0b1f2f6c111"
    lines = [
        SagaSummary(
            saga_id=saga_id,
            name="order",
            state="RUNNING",
            started_at=BEGAN,
            ended_at=None,
            waiting_for="a worker",
        )
    ]
    line = line_with(text_of(saga_table(lines, END)), "▶ RUNNING")
    assert "6e9a4f8e " in line
    assert "8.0 s" in line
    assert "a worker" in line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0 ms"),
        (0.34, "340 ms"),
        (0.9996, "1.0 s"),
        (4.24, "4.2 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7260, "2 h 01 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds, text):
    assert span_text(seconds) == text


def test_ages_get_coarser():
    ages = [age(END - timedelta(seconds=s), END) for s in (0, 5, 600, 9000)]
    assert ages == ["now", "5 s ago", "10 min ago", "2 h ago"]


def test_ids_that_people_chose_stay_whole():
    assert short_id("order-2026-000017") == "order-2026-000017"


def test_json_keeps_every_field_of_a_status():
    value = plain(undone().status)
    assert value["started_at"] == "2026-01-02T03:04:05+00:00"
    assert value["steps"][1]["attempts"] == 3


def announced(worker: str, kind: str, name: str, *, live: bool = True) -> Announced:
    return Announced(
        worker=worker,
        kind=kind,
        name=name,
        pool="default",
        is_live=live,
        last_seen=BEGAN,
    )


def test_agents_show_live_workers_or_who_hosted_them_last():
    rows = (
        announced("w1@a", "agent", "agent-x"),
        announced("w1@a", "action", "agent-x/do"),
        announced("w2@a", "agent", "agent-x", live=False),
        announced("w2@a", "agent", "agent-y", live=False),
    )
    both, gone = hosted(rows)
    assert (both.live, both.silent, both.actions) == (("w1@a",), ("w2@a",), ("do",))
    assert gone.live == ()
    assert "none (was: w2@a)" in text_of(agent_table([both, gone]))


@pytest.mark.parametrize(
    ("kind", "nodes"),
    [("worker", ("w@here",)), ("chores", ("c@here",)), ("beat", ("beat@here",))],
)
def test_health_counts_live_processes_of_this_host_and_kind(kind, nodes):
    rows = (
        announced("w@here", "agent", "agent-x"),
        announced("w@here", "queue", "agents.default"),
        announced("w@there", "queue", "agents.default"),
        announced("c@here", "queue", "chores"),
        announced("c@there", "queue", "chores"),
        announced("beat@here", "beat", ""),
        announced("old@here", "queue", "celery", live=False),
        announced("old@here", "queue", "chores", live=False),
    )
    assert alive(rows, kind, "here") == nodes
