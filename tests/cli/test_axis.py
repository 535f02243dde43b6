"""The time axis of a picture: broken where a wait would leave the steps no room."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from orchestration.cli.axis import Scale, breaks_of
from orchestration.cli.course import course_of
from orchestration.cli.picture import picture
from tests.cli import plays
from tests.cli.plays import PLAYS, Play, signal_step, step
from tests.cli.test_picture import bars, texts, tips

MONTH_S = 30 * 86_400


def scale_of(play: Play) -> Scale:
    return Scale(course_of("play-1", play.events, now=play.now), 100.0, 600.0)


def test_steps_of_milliseconds_beside_a_month_have_room() -> None:
    play = plays.a_month_of_waiting()
    course = course_of("play-1", play.events, now=play.now)
    root = ET.fromstring(picture(course, play.status))
    widths = [float(b.get("width", "")) for c in ("do", "undo") for b in bars(root, c)]
    assert len(widths) == 4 + 2  # one of each colour is in the legend
    assert min(widths) > 10


def test_each_break_says_how_long_it_was() -> None:
    play = plays.a_month_of_waiting()
    course = course_of("play-1", play.events, now=play.now)
    root = ET.fromstring(picture(course, play.status))
    for length in ("30 d 00 h", "11 h 06 min"):
        assert f"{length} in which no agent was at work" in tips(root)
        assert length in texts(root)
    assert "cut out: no agent was at work" in texts(root)
    assert [text for text in texts(root) if text.startswith("+")]


@pytest.mark.parametrize(
    "play", [p for p in PLAYS if p is not plays.a_month_of_waiting]
)
def test_where_all_has_room_the_axis_is_whole_and_even(play) -> None:
    scale = scale_of(play())
    assert scale.breaks == ()
    course = scale.course
    middle = course.began + (course.until - course.began) / 2
    places = [scale.x(at) for at in (course.began, middle, course.until)]
    assert places == pytest.approx([100, 350, 600])


@pytest.mark.parametrize("play", PLAYS)
def test_places_keep_the_order_of_times_and_stay_inside(play) -> None:
    scale = scale_of(play())
    course = scale.course
    times = [course.began + (course.until - course.began) * n / 997 for n in range(998)]
    times += [at for event in play().events for at in [event.recorded_at]]
    places = [scale.x(at) for at in sorted(times)]
    assert all(a <= b + 1e-9 for a, b in pairwise(places))
    assert min(places) >= 100
    assert max(places) <= 600 + 1e-9


def test_a_time_in_which_an_agent_was_at_work_is_never_cut_out() -> None:
    play = Play(step("reserve"), step("pay", "reserve"), timeout_ms=40 * 86_400_000)
    play.do(0.01, 0.02, "reserve").do(0.03, MONTH_S, "pay")
    assert breaks_of(course_of("play-1", play.events, now=play.now)) == ()


def test_a_saga_that_only_waits_has_nothing_to_make_room_for() -> None:
    play = Play(signal_step("approval", wait_for="go"), timeout_ms=40 * 86_400_000)
    play.look(0.01).at(MONTH_S)
    assert breaks_of(course_of("play-1", play.events, now=play.now)) == ()


def test_many_equal_waits_are_all_cut_out() -> None:
    names = [f"s{n}" for n in range(6)]
    steps = [step(name, *names[max(0, n - 1) : n]) for n, name in enumerate(names)]
    play = Play(*steps, timeout_ms=400 * 86_400_000)
    for n, name in enumerate(names):
        play.do(n * MONTH_S + 0.1, n * MONTH_S + 0.2, name)
    assert len(scale_of(play).breaks) == 5
