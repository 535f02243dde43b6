"""What sagas look like, from literal events."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestration.adapters.announcements import Announced
from orchestration.adapters.saga_index import SagaSummary
from orchestration.cli.health import alive
from orchestration.cli.hosts import agent_table, hosted
from orchestration.cli.output import age, plain, short_id, span_text
from orchestration.cli.views import HistoryRow, history_table, saga_table, saga_view
from orchestration.core.saga.model import SagaStep, SagaTransaction
from tests.cli import plays
from tests.cli.plays import Play
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


def play_view(play: Play) -> str:
    return text_of(saga_view(play.status, play.events, now=play.now, columns=100))


def test_acts_are_listed_by_number_with_who_and_why():
    text = play_view(plays.paused_with_pivot())
    paused = "1 2.2 s  saga paused · by ann@desk: the scanner is being replaced"
    assert paused in text
    assert "3 7.0 s  signal received: approved · by ben@shop" in text


def test_what_the_saga_did_by_itself_is_listed_with_its_reason():
    text = play_view(plays.settled_by_people())
    assert "‖ 2.0 s  saga paused: outcome unknown: pay" in text
    assert "✗ 4.0 s  saga halted: ship: NoTruck: no truck" in text


def test_steps_that_were_passed_over_or_left_say_so():
    text = play_view(plays.everything())
    assert "passed over" in line_with(text, "gift", "agent-gift")
    assert "left as it is, 2 tries" in line_with(text, "pack[0]", "agent-pack")
    assert "gift" in line_with(text, "passed over", "│")
    assert "pack[0]" in line_with(text, "not undone", "│")


def test_steps_that_wait_say_for_what():
    waiting = plays.signal_step("approve", wait_for="approved")
    assert "waits for a signal" in play_view(Play(waiting).look(1))
    child = SagaTransaction("pick", [plays.step("take")], transaction_id="")
    play = Play(SagaStep("collect", saga=child)).look(1)
    saga_id = play.status.child_ids["collect"]
    assert f"waits for saga {saga_id[:8]}" in play_view(play)
    play = Play(SagaStep("count", swarm={"objective": "count"})).look(1)
    swarm_id = play.status.child_ids["count"]
    assert f"waits for swarm {swarm_id[:8]}" in play_view(play)


def test_probes_and_late_results_are_among_what_went_wrong():
    assert "probe of pay, attempt 1: NoTruck" in play_view(plays.silent_probe())
    text = play_view(plays.everything())
    assert "! 8.5 s  late result: pay: attempt 1 had been given up" in text


def test_many_problems_are_counted_and_not_all_listed():
    play = Play(plays.step("pack", map="items"), data={"items": list(range(30))})
    for item in range(30):
        play.start(1, f"pack[{item}]")
    for item in range(30):
        play.end(2, f"pack[{item}]", plays.FLAKY)
    text = play_view(play)
    assert text.count("BankAway") == 20
    assert "… and 10 more: `orchestration saga history`" in text


def test_of_many_items_the_remarkable_ones_have_rows_and_the_rest_is_counted():
    play = Play(plays.step("pack", map="items"), data={"items": list(range(40))})
    for item in range(40):
        play.start(1, f"pack[{item}]")
    for item in range(40):
        play.end(2, f"pack[{item}]", plays.FLAKY if item == 33 else plays.OK)
    text = play_view(play)
    assert "waits for its next attempt" in line_with(text, "pack[33]", "agent-pack")
    assert "29 more like the others" in text
    assert text.count("agent-pack") == 12


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
        (172_799, "47 h 59 min"),
        (30 * 86_400 + 3_700, "30 d 01 h"),
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
