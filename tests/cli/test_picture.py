"""A saga as a picture: sound XML that says what happened, and no text over another."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import pytest

from orchestration.cli.course import course_of
from orchestration.cli.picture import picture
from orchestration.cli.svg import CHAR_PX, clipped, columns_of, escaped
from orchestration.core.saga import acts
from orchestration.core.saga.outcomes import Failed
from tests.cli import plays
from tests.cli.plays import FOR_GOOD, PLAYS, Play, step

SVG = "{http://www.w3.org/2000/svg}"
NAME_PX = 11.5  # of a letter of the title, on average


def drawn(play: Play) -> ET.Element:
    course = course_of("play-1", play.events, now=play.now)
    return ET.fromstring(picture(course, play.status))


def texts(root: ET.Element) -> list[str]:
    return ["".join(one.itertext()) for one in root.iter(f"{SVG}text")]


def tips(root: ET.Element) -> list[str]:
    return [one.text or "" for one in root.iter(f"{SVG}title")]


def bars(root: ET.Element, colour: str) -> list[ET.Element]:
    """Return the bars of attempts of one colour; the legend has shorter ones."""
    rects = root.iter(f"{SVG}rect")
    return [one for one in rects if one.get("class", "").split()[:1] == [colour]]


@dataclass(frozen=True)
class Box:
    text: str
    left: float
    right: float
    base: float

    def meets(self, other: Box) -> bool:
        apart = self.right <= other.left or other.right <= self.left
        return not apart and abs(self.base - other.base) < 13


def boxes(root: ET.Element) -> Iterator[Box]:
    """Yield the room that each text takes, figures moved into their place."""
    for moved in root.iter():
        at = re.match(r"translate\((\S+) (\S+)\)", moved.get("transform", ""))
        dx, dy = map(float, at.groups()) if at else (0.0, 0.0)
        inside = moved.iter(f"{SVG}text") if at else []
        for one in inside if at else moved.findall(f"{SVG}text"):
            if at is None and is_moved(root, one):
                continue
            yield box(one, dx, dy)


def is_moved(root: ET.Element, wanted: ET.Element) -> bool:
    groups = [one for one in root.iter() if one.get("transform")]
    return any(one is wanted for group in groups for one in group.iter())


def box(one: ET.Element, dx: float, dy: float) -> Box:
    text = "".join(one.itertext())
    letter = NAME_PX if "name" in one.get("class", "") else CHAR_PX
    took = letter * columns_of(text) + 8 * ("dx" in ET.tostring(one, "unicode"))
    left = float(one.get("x", "0")) + dx
    left -= {"middle": took / 2, "end": took}.get(one.get("text-anchor", ""), 0)
    return Box(text, left, left + took, float(one.get("y", "0")) + dy)


def expect_no_overlaps(root: ET.Element) -> None:
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    found = list(boxes(root))
    assert len(found) == len(texts(root))
    for one in found:
        assert one.left >= 0, one
        assert one.right <= width, one
        assert one.base <= height, one
    for one, other in itertools.combinations(found, 2):
        assert not one.meets(other), (one, other)


@pytest.mark.parametrize("play", PLAYS)
def test_picture_is_an_svg_with_its_title_and_no_text_over_another(play):
    root = drawn(play())
    assert root.tag == f"{SVG}svg"
    assert tips(root)[0] == f"Saga order, {play().status.state}"
    assert texts(root)[:1] == ["order"]
    assert texts(root)[1].startswith(str(play().status.state))
    expect_no_overlaps(root)


@pytest.mark.parametrize("count", [5, 12, 30])
@pytest.mark.parametrize("longest", [1, 20, 200])
def test_many_steps_and_long_names_leave_each_other_room(count, longest):
    names = [f"{n}-{'x' * (n * longest // count)}" for n in range(count)]
    steps = [step(name, *names[max(0, n - 1) : n]) for n, name in enumerate(names)]
    play = Play(*steps)
    for n, name in enumerate(names[:-1]):
        play.do(n, n + 0.9, name)
    play.do(count, count + 1, names[-1], FOR_GOOD)
    for n, name in enumerate(reversed(names[:-1])):
        play.undo(count + n + 1, count + n + 1.5, name)
    root = drawn(play)
    assert len(bars(root, "undo")) == count - 1 + 1  # and one in the legend
    expect_no_overlaps(root)


def test_many_acts_have_room_of_their_own_and_are_counted_if_too_many():
    play = Play(step("reserve"), step("pay", "reserve"))
    play.do(0, 1, "reserve")
    for n in range(50):
        play.act(2 + n / 100, acts.pause if n % 2 == 0 else acts.resume, "again " * 40)
    root = drawn(play)
    assert "and 10 more: orchestration saga history" in texts(root)
    expect_no_overlaps(root)


def test_what_was_done_and_what_was_undone_differ_in_colour_and_place():
    root = drawn(plays.undone_with_retries())
    done, undone = bars(root, "do"), bars(root, "undo")
    assert (len(done), len(undone)) == (2 + 1, 2 + 1)  # one of each in the legend
    lowest = max(float(one.get("y", "")) for one in done[:-1])
    assert lowest < min(float(one.get("y", "")) for one in undone[:-1])
    assert "undoing, backward" in texts(root)


def test_attempts_are_bars_with_their_numbers_and_their_ends_say_how_and_why():
    root = drawn(plays.undone_with_retries())
    told = [tip for tip in tips(root) if tip.startswith("pay, ")]
    assert told == [
        "pay, attempt 1: failed after 1.0 s: BankAway: closed [on sundays]",
        "pay, attempt 2: outcome unknown after 900 ms: WorkerLost: not heard of",
        "pay, attempt 3: done after 900 ms",
    ]
    assert {"1", "2", "3"} <= {*texts(root)}
    assert "5.0 s, 3 attempts" in texts(root)
    assert told[0] in texts(root)  # what went wrong is listed too


def test_bars_stand_where_their_times_are():
    root = drawn(plays.completed_dag())
    [charge] = [
        group[1]
        for group in root.iter(f"{SVG}g")
        if group[0].text == "charge, attempt 1: done after 750 ms"
    ]
    by_label = {
        one.text: float(one.get("x", ""))
        for one in root.iter(f"{SVG}text")
        if one.get("text-anchor") == "middle"
    }
    second = by_label["2s"] - by_label["1s"]
    left, width = (float(charge.get(key, "")) for key in ("x", "width"))
    assert left == pytest.approx(by_label["0"] + 1.35 * second, abs=0.3)
    assert width == pytest.approx(0.75 * second, abs=0.3)


def test_pauses_are_shaded_and_the_pivot_is_a_line_through_all_lanes():
    root = drawn(plays.paused_with_pivot())
    shaded = [r for r in root.iter(f"{SVG}rect") if r.get("fill") == "url(#still)"]
    assert len(shaded) == 1 + 1  # and one in the legend
    [pivot] = [one for one in root.iter(f"{SVG}line") if one.get("class") == "ink-line"]
    assert float(pivot.get("y2", "")) - float(pivot.get("y1", "")) > 6 * 20
    assert {"point of no return", "stands still"} <= {*texts(root)}


def test_acts_are_told_with_who_and_why():
    told = texts(drawn(plays.paused_with_pivot()))
    assert "saga paused · by ann@desk: the scanner is being replaced" in told
    assert "signal received: approved · by ben@shop" in told


def test_the_legend_explains_what_there_is_and_nothing_else():
    plain = {*texts(drawn(plays.completed_dag()))}
    assert {"done", "point of no return"} <= plain
    assert not {"failed", "undone", "stands still", "passed over"} & plain
    full = {*texts(drawn(plays.everything()))}
    assert {
        *("done", "undone", "failed", "outcome unknown", "its items are done"),
        *("asks what became of it", "passed over", "result came late"),
        *("left as it is", "stands still"),
    } <= full


def test_a_saga_that_goes_on_is_drawn_until_now():
    play = Play(step("reserve")).start(1, "reserve").at(5)
    assert "reserve, attempt 1: goes on since 4.0 s" in tips(drawn(play))


def test_hostile_words_are_escaped_and_cannot_break_the_picture():
    words = "</svg><script>alert('1')</script> & \x00\x1b[31m \ufffe \U0001f600 段階"
    play = Play(step("pay"))
    play.do(0, 1, "pay", Failed({"type": "X<Y>", "message": words}, retryable=False))
    root = drawn(play)
    assert not list(root.iter(f"{SVG}script"))
    assert any("</svg><script>alert('1')" in text for text in texts(root))
    expect_no_overlaps(root)


def test_it_is_readable_by_day_and_by_night():
    course = course_of("play-1", plays.everything().events, now=plays.T0)
    text = picture(course, plays.everything().status)
    day, night = text.split("@media(prefers-color-scheme:dark)")
    colours = [re.findall(r"\.(\w+)\{fill:(#\w+)\}", part) for part in (day, night)]
    assert [name for name, _ in colours[0]] == [name for name, _ in colours[1]]
    for theme in map(dict, colours):
        for name in ("ink", "faint", "do", "undo", "bad", "warn", "live"):
            for ground in ("page", "block"):
                assert contrast(theme[name], theme[ground]) >= 4.5, (name, ground)


def contrast(one: str, other: str) -> float:
    """Return the ratio of two colours' brightness, as WCAG reckons it."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares
    ]
    return sum(
        c * weight for c, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True)
    )


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("reserve", 7, "reserve"),
        ("reserve", 6, "reser…"),
        ("two\nlines  here", 20, "two lines here"),
        ("段階段階", 5, "段階…"),
        ("e\u0301" * 5, 5, "e\u0301" * 5),
    ],
)
def test_texts_are_cut_to_their_room(text, columns, shown):
    assert clipped(text, columns) == shown
    assert columns_of(shown) <= columns


def test_numbers_are_written_short():
    assert [escaped(1.0), escaped(1.26), escaped(7)] == ["1", "1.3", "7"]
