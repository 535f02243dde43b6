"""Every event in plain words: in a history, as it comes, and told to newcomers."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from orchestration.cli.facts import WORDS, facts_of
from orchestration.cli.follow import line_of
from orchestration.cli.narrator import Narrator
from orchestration.cli.output import THEME
from orchestration.cli.views import HistoryRow, history_table, saga_view
from orchestration.core.saga.events import EventType
from tests.cli import plays
from tests.cli.plays import PLAYS, Play
from tests.cli.sagas import line_with, text_of


def history(play: Play) -> str:
    rows = [HistoryRow(event, "worker@host", "c0ffee00") for event in play.events]
    return text_of(history_table(rows), columns=160)


def narrated(play: Play) -> str:
    out = Console(file=StringIO(), width=100, highlight=False, theme=THEME)
    with out.capture() as captured:
        Narrator(out).tell(play.events)
    return captured.get()


def test_the_plays_have_every_type_of_event():
    assert {event.type for play in PLAYS for event in play().events} == {*EventType}


def test_every_type_of_event_has_words_that_fit_their_column():
    assert {*WORDS} == {*EventType}
    assert max(len(words) for words in WORDS.values()) <= 16


@pytest.mark.parametrize("play", PLAYS)
def test_every_event_is_told_everywhere(play):
    told = play()
    first = told.events[0]
    text = history(told)
    for event in told.events:
        assert WORDS[event.type] in text
        assert WORDS[event.type] in line_of(event, first)
    shown = saga_view(told.status, told.events, now=told.now, columns=100)
    assert "order" in text_of(shown)


def test_history_says_of_each_act_who_asked_for_it_and_why():
    text = history(plays.settled_by_people())
    asked = {
        "outcome resolved": "it took effect · by ann@desk: seen at the bank",
        "saga rewound": "from pay, undoing pay · by ann@desk: wrong account",
        "saga cancelled": "by ann@desk: no truck to be had",
        "undone by hand": "by ann@desk: released by phone",
        "undo repeated": "order: pay → reserve · by ann@desk: the bank lost it",
    }
    for words, says in asked.items():
        assert says in line_with(text, words)


def test_history_says_what_the_saga_did_by_itself_and_why():
    text = history(plays.everything())
    assert line_with(text, "locks acquired", "stock (7)")
    assert "wants_gift does not hold" in line_with(text, "step passed over")
    assert "2 items" in line_with(text, "once per item")
    assert "it took effect" in line_with(text, "probe answered")
    late = line_with(text, "late result")
    assert "attempt 1 had been given up, and took effect" in late
    assert history(plays.settled_by_people()).count("ship: NoTruck: no truck") == 2


def test_history_says_which_agent_was_chosen():
    text = history(plays.by_capability())
    assert line_with(text, "agent chosen", "agent-a, for attempt 1")
    assert line_with(text, "agent chosen", "agent-b, for attempt 2")


def test_the_first_event_says_where_the_saga_comes_from():
    play = plays.completed_dag()
    data = {
        **play.events[0].data,
        "forked_from": "6e9a4f8e-3a0d-4d53-8f0a-d0b1f2f6c111",
    }
    data |= {"by": "ann@desk", "why": "wrong prices"}
    data |= {"definition": {**data["definition"], "template": "order@1.2.0"}}
    first = plays.told(EventType.SAGA_STARTED, **data)
    assert facts_of(first).startswith("order, 6 steps, definition ")
    assert facts_of(first).endswith(
        "template order@1.2.0, forked from 6e9a4f8e · by ann@desk: wrong prices"
    )
    parent = {"parent": {"saga_id": "order-7", "step": "collect"}}
    child = plays.told(EventType.SAGA_STARTED, **(dict(play.events[0].data) | parent))
    assert facts_of(child).endswith(", for step collect of saga order-7")


@pytest.mark.parametrize("play", PLAYS)
def test_the_narrator_tells_all_but_beginnings(play):
    told = play()
    lines = [line for line in narrated(told).splitlines() if line.strip()]
    silent = {
        EventType.SAGA_STARTED,
        EventType.COMPENSATION_STARTED,
        EventType.STEP_STARTED,
        EventType.STEP_COMPENSATION_STARTED,
        EventType.STEP_PROBE_STARTED,
    }
    assert len(lines) >= sum(event.type not in silent for event in told.events)


def test_the_narrator_tells_a_new_round_from_a_new_attempt():
    text = narrated(plays.everything())
    assert "pack[0]" in line_with(text, "attempt 2, with the same idempotency key")
    assert " pay " in line_with(text, "once more, with a new idempotency key")
