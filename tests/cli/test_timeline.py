"""A saga as lanes over time: what people read off it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestration.cli.course import MANY_ITEMS, Course, course_of
from orchestration.cli.scale import ticks
from orchestration.cli.spans import Ended, Kind, spans_of
from orchestration.cli.timeline import timeline
from orchestration.core.saga import acts
from orchestration.core.saga.model import Direction
from tests.cli import plays
from tests.cli.plays import FLAKY, FOR_GOOD, LOST, UNDO, Play, step
from tests.cli.sagas import BEGAN, Story, line_with, text_of, undone

END = BEGAN + timedelta(seconds=8)


def course(play: Play) -> Course:
    return course_of("play-1", play.events, now=play.now)


def shown(told: Course, *, columns: int = 100) -> str:
    return text_of(timeline(told, columns=columns), columns=columns)


def story_course(story: Story) -> Course:
    return course_of("order-7", story.events, now=END)


def test_undoing_has_a_block_of_lanes_below_those_of_doing():
    told = story_course(undone())
    assert [lane.step for lane in told.forward] == ["reserve", "pay", "ship"]
    assert [lane.step for lane in told.undoing] == ["pay", "reserve"]
    names = [line.split("━")[0].split("┈")[0] for line in shown(told).splitlines()[1:]]
    assert [name.strip() for name in names] == [
        *("reserve", "pay", "ship"),
        *("undoing", "↶ pay", "↶ reserve"),
    ]


def test_undos_that_are_still_to_come_have_lanes_too():
    play = Play(step("reserve"), step("pay", "reserve"), step("ship", "pay"))
    play.do(0, 1, "reserve").do(1, 2, "pay").do(2, 3, "ship", FOR_GOOD)
    play.undo(3, 4, "pay", FOR_GOOD)
    text = shown(course(play))
    assert "not begun" in line_with(text, "↶ reserve")
    assert "not begun" not in line_with(text, "↶ pay")


def test_timeline_shows_retries_waits_and_ends_to_scale():
    lines = shown(story_course(undone()), columns=80).splitlines()
    start = lines[0].index("0")
    one_second = (lines[0].index("2s") - start) / 2
    pay = lines[2]
    marks = [pay.index(sign) for sign in "✗?✓"]
    expected = [start + one_second * second for second in (2, 4, 5)]
    assert marks == pytest.approx(expected, abs=2)
    assert "·" in pay[marks[0] : marks[1]]  # waiting for the second attempt
    assert "3 attempts" in pay
    assert lines[5].index("━") > lines[3].index("━")  # undone after it failed


def test_attempts_within_one_column_keep_both_ends():
    story = Story().attempt("pay", 5, 5.001, "STEP_FAILED", retry_at=5.002)
    story.attempt("pay", 5.002, 5.003, number=2).attempt("ship", 5.1, 8)
    assert "✗✓" in shown(story_course(story), columns=80)


def test_open_attempt_reaches_to_now():
    story = Story()
    story.happens(2, "STEP_STARTED", step="reserve", attempt=1, round=1, token="t")
    [span] = spans_of(story.events)
    assert span.outcome is Ended.RUNNING
    assert "6.0 s" in line_with(shown(story_course(story)), "━▶")


def test_late_end_of_an_earlier_attempt_does_not_move_the_later_one():
    story = Story().attempt("pay", 1, 2, "STEP_UNKNOWN", retry_at=2)
    story.happens(2, "STEP_STARTED", step="pay", attempt=2, round=1, token="u")
    story.happens(3, "STEP_COMPLETED", step="pay", attempt=1, round=1, token="t")
    first, second = spans_of(story.events)
    assert first.outcome is Ended.UNKNOWN
    assert second.outcome is Ended.RUNNING


def test_a_pause_is_shaded_and_who_asked_for_what_and_why_is_numbered():
    told = course(plays.paused_with_pivot())
    assert [(turn.number, turn.text, turn.asked) for turn in told.turns] == [
        (1, "saga paused", "by ann@desk: the scanner is being replaced"),
        (2, "saga resumed", "by ann@desk: new scanner in place"),
        (3, "signal received: approved", "by ben@shop"),
    ]
    row = line_with(shown(told), "the saga")
    assert row.index("1") < row.index("░") < row.index("2") < row.index("3")
    assert "░ stands still" in shown(told)


def test_a_wait_for_a_signal_looks_unlike_work():
    told = course(plays.paused_with_pivot())
    [approve] = [lane for lane in told.forward if lane.step == "approve"]
    assert [span.kind for span in approve.spans] == [Kind.WAIT]
    line = line_with(shown(told), "approve")
    assert "┄✓" in line
    assert "━" not in line
    assert "signal approved" in line


def test_a_wait_that_nobody_waits_for_any_more_ends_when_the_saga_turns():
    play = Play(
        step("reserve"), plays.signal_step("approve", "reserve", wait_for="approved")
    )
    play.do(0, 1, "reserve").act(3, acts.cancel, "too late").undo(3, 5, "reserve")
    [_, wait] = [s for s in spans_of(play.events) if s.direction is Direction.DO]
    assert (wait.step, wait.outcome, wait.ended) == ("approve", Ended.CUT, at(play, 3))
    assert "┄┤" in shown(course(play))


def at(play: Play, seconds: float):
    return play.events[0].recorded_at + timedelta(seconds=seconds)


def test_the_pivot_is_marked_and_when_it_was_committed():
    told = course(plays.paused_with_pivot())
    assert told.committed_at == told.began + timedelta(seconds=8.4)
    assert line_with(shown(told), "charge").startswith(" ◆ charge")
    assert "◆ point of no return" in shown(told)


def test_a_probe_stands_in_its_steps_lane_and_looks_unlike_work():
    line = line_with(shown(course(plays.everything())), " pay", "late result")
    assert "━?╍" in line
    assert "╍✓" in line


def test_what_was_passed_over_left_or_came_late_is_marked():
    told = course(plays.everything())
    text = shown(told)
    assert "○" in line_with(text, " gift", "passed over")
    assert "!" in line_with(text, " pay", "late result")
    assert "○" in line_with(text, "↶ pack[0]")
    assert "left as it is" in [n for lane in told.undoing for n in lane.notes]


def test_another_round_of_undoing_is_told_from_another_attempt():
    told = course(plays.everything())
    notes = {lane.step: lane.notes for lane in told.undoing}
    assert notes["pay"] == ("2 rounds",)
    assert notes["pack[0]"][0] == "2 attempts"
    assert "²━" in line_with(shown(told), "↶ pay")


def test_the_times_in_which_a_person_was_waited_for_are_shaded():
    stands = course(plays.everything()).stands
    began = plays.T0
    times = [
        (s.state, (s.began - began).total_seconds(), (s.ended - began).total_seconds())
        for s in stands
    ]
    assert times == [
        ("COMPENSATION_FAILED", 5.2, 6.0),
        ("COMPENSATION_FAILED", 6.4, 7.0),
        ("COMPENSATED", 7.9, 8.5),
    ]


def test_a_hold_that_goes_on_reaches_to_now():
    play = Play(step("reserve"), step("pay", "reserve"))
    play.do(0, 1, "reserve").act(2, acts.pause).at(9)
    told = course(play)
    assert told.seconds == 9
    assert shown(told).count("░") > 20


def test_each_item_of_a_list_has_a_lane_and_the_gathering_one_above_them():
    told = course(plays.everything())
    names = [lane.step for lane in told.forward if lane.step.startswith("pack")]
    assert names == ["pack", "pack[0]", "pack[1]"]
    assert "┄✓" in line_with(shown(told), " pack ")


def test_of_many_items_the_remarkable_ones_have_lanes_and_the_rest_shares_one():
    count = 100
    play = Play(step("pack", map="items"), data={"items": list(range(count))})
    for item in range(count):
        play.start(1, f"pack[{item}]")
    for item in range(count):
        play.end(2 + item / 100, f"pack[{item}]", FLAKY if item == 77 else plays.OK)
    play.do(5, 6, "pack[77]")
    names = [lane.step for lane in course(play).forward]
    assert "pack[77]" in names
    assert names.count("pack, 89 items") == 1
    assert len(names) == 1 + MANY_ITEMS


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
@pytest.mark.parametrize(
    "play",
    [
        plays.completed_dag,
        plays.undone_with_retries,
        plays.paused_with_pivot,
        plays.everything,
    ],
)
def test_timeline_fits_its_terminal(play, columns):
    lines = shown(course(play()), columns=columns).splitlines()
    assert max(len(line) for line in lines) <= columns
    assert "…" not in lines[1]  # no lane is cut short


def test_a_lost_undo_is_of_unknown_outcome():
    play = Play(step("reserve"), step("pay", "reserve"))
    play.do(0, 1, "reserve").do(1, 2, "pay", FOR_GOOD).undo(2, 3, "reserve", LOST)
    [undo] = [span for span in spans_of(play.events) if span.direction is UNDO]
    assert undo.outcome is Ended.UNKNOWN


def test_what_failed_before_anybody_could_try_is_shown_all_the_same():
    play = Play(step("pack", map="items"), data={"items": "none"}).look(1)
    [span] = spans_of(play.events)
    assert (span.outcome, span.began) == (Ended.FAILED, span.ended)
    assert "✗" in line_with(shown(course(play)), " pack ")


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (0.001, "0 1ms"),
        (0.9, "0 200ms 400ms 600ms 800ms"),
        (3, "0 500ms 1s 1.5s 2s 2.5s 3s"),
        (45, "0 10s 20s 30s 40s"),
        (250, "0 1min 2min 3min 4min"),
        (4_000, "0 15min 30min 45min 60min"),
        (90_000, "0 6h 12h 18h 24h"),
        (864_000, "0 2d 4d 6d 8d 10d"),
    ],
)
def test_labels_of_the_axis_are_round_times(seconds, labels):
    assert " ".join(label for _, label in ticks(seconds, at_most=6)) == labels
