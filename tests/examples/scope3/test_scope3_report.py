"""From events to a course, its charts, its film and the page, on a small run."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.scope3 import charts
from examples.scope3.course import Course, course_of, totals_of
from examples.scope3.emissions import Totals
from examples.scope3.factors import read_factors
from examples.scope3.film import Film
from examples.scope3.plain import plain_total
from examples.scope3.report import Findings, write_report
from examples.scope3.run import result_lines
from examples.scope3.suppliers import SupplierDatabase
from orchestration.core.swarm.events import EventType, SwarmEvent

BEGAN = datetime(2026, 1, 31, 12, tzinfo=UTC)
FACTORS = read_factors()
DATABASE = SupplierDatabase(FACTORS, size=400)
PARTITIONS, AGENTS = 40, 10
RESULT = {
    "status": "COMPLETED",
    "convergence": 1.0,
    "fitness": 0.5793,
    "iterations": 21,
    "duration_ms": 2_776.6,
    "efficiency": 0.94,
    "throughput": 36_000.4,
    "slots": 2,
    "state_hash": "ab" * 32,
    "chain_head": "cd" * 32,
}


def event(seconds: float, kind: str, **data: object) -> SwarmEvent:
    return SwarmEvent(1, EventType(kind), data, BEGAN + timedelta(seconds=seconds))


def events() -> list[SwarmEvent]:
    """A run of two processes: partition p is done at 0.1 (p + 1) s by agent p % 11."""
    spec = {
        "data_partitions": PARTITIONS,
        "agents_required": AGENTS,
        "convergence_threshold": 0.95,
    }
    told = [event(0, "SWARM_STARTED", spec=spec)]
    for p in range(PARTITIONS):
        totals = Totals.of(DATABASE.slice(p, PARTITIONS), FACTORS)
        told.append(
            event(
                0.1 * (p + 1),
                "PARTITION_COMMITTED",
                partition=p,
                agent=p % 11,
                quality=totals.quality,
                value=json.loads(json.dumps(totals.to_json())),
                timing={"busy_ms": 250.0, "worker": f"w{p % 2}"},
            )
        )
    told.append(event(4.2, "SWARM_TICKED", tick=1))
    return told


@pytest.fixture(scope="module")
def course() -> Course:
    return course_of(events())


@pytest.fixture(scope="module")
def findings(course: Course) -> Findings:
    return Findings(
        swarm_id="swarm-1",
        result=RESULT,
        totals=totals_of(events()),
        plain=plain_total(DATABASE),
        course=course,
        factors=FACTORS,
    )


def test_the_course_is_what_the_events_say(course):
    assert (course.partitions, course.agents, course.threshold) == (40, 10, 0.95)
    assert list(course.slots) == ["w0", "w1"]
    assert [piece.partition for piece in course.pieces] == list(range(40))
    assert course.duration_s == pytest.approx(4.0)
    first, third = course.pieces[0], course.pieces[2]
    assert (first.began_s, first.ended_s) == (0.0, pytest.approx(0.1))
    # It was busy for longer than since the one before: the clocks differ.
    assert third.began_s == first.ended_s


def test_the_totals_of_the_events_are_those_of_plain_numpy(findings):
    assert findings.agrees
    assert findings.totals == Totals.of(DATABASE.slice(0, 1), FACTORS)


def test_the_lines_are_those_of_the_usage_example():
    assert "\n".join(result_lines(RESULT)) == (
        "Swarm Results:\n"
        "  Convergence: 100.00%\n"
        "  Fitness: 57.93%\n"
        "  Iterations: 21\n"
        "  Duration: 2777ms\n"
        "  Efficiency: 94.00%"
    )


def test_charts_are_svg_and_the_same_each_time(findings):
    totals, course = findings.totals, findings.course
    for draw in (
        lambda: charts.by_country(totals, FACTORS),
        lambda: charts.by_sector(totals),
        lambda: charts.work(course),
        lambda: charts.progress(course),
    ):
        drawn = draw()
        assert ET.fromstring(drawn).tag.endswith("svg")
        assert drawn == draw()


def test_agents_are_at_their_partitions_while_they_work(course):
    film = Film(course, frames=401)  # one each hundredth of a second
    assert film.paths.shape == (401, 11, 2)
    for piece in course.pieces:
        middle = round(50 * (piece.began_s + piece.ended_s))
        tile = (piece.partition % film.columns, piece.partition // film.columns)
        assert film.paths[middle, piece.agent].tolist() == pytest.approx(tile)
    nest = [(film.columns - 1) / 2, (film.rows - 1) / 2]
    assert film.paths[0, 9].tolist() == pytest.approx(nest)


@pytest.mark.parametrize(
    ("partitions", "tiles"),
    [(1_000, (40, 25)), (100, (13, 8)), (1, (2, 1)), (7, (4, 2))],
)
def test_there_is_a_tile_for_each_partition(partitions, tiles):
    course = Course(
        partitions=partitions, agents=1, threshold=1.0, slots=["w"], pieces=[]
    )
    film = Film(course, frames=2)
    assert (film.columns, film.rows) == tiles
    assert film.columns * film.rows >= partitions


def test_a_still_shows_more_light_later(course, tmp_path: Path):
    film = Film(course, frames=9)
    light = []
    for share in (0.0, 0.5, 1.0):
        film.still(tmp_path / "still.png", share)
        with Image.open(tmp_path / "still.png") as image:
            assert image.size == (960, 540)
            light.append(np.asarray(image).mean())
    assert light == sorted(light)


class _Page(HTMLParser):
    """The text of a page, and what it refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.sources: list[str] = []

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list) -> None:
        del tag
        self.sources += [value for name, value in attrs if name == "src"]


def test_the_report_has_page_film_and_exact_totals(findings, tmp_path: Path):
    page = write_report(tmp_path / "new", findings, frames=6)
    parsed = _Page()
    parsed.feed(page.read_text("utf-8"))
    assert parsed.sources == ["swarm.gif"]
    assert "comes to the same" in parsed.text
    assert "$" not in parsed.text.replace("$schema", "")
    assert page.read_text("utf-8").count("<svg") == 4
    with Image.open(page.parent / "swarm.gif") as film:
        assert film.n_frames > 1
    told = json.loads((page.parent / "totals.json").read_text("utf-8"))
    assert told["agrees_with_plain_numpy"] is True
    assert int(told["all_mg"]) == findings.plain[0]
    by_country = told["by_country"].values()
    assert sum(int(mg) for one in by_country for mg in one.values()) == int(
        told["all_mg"]
    )


def test_a_report_says_when_plain_numpy_has_another_total(findings, tmp_path: Path):
    from dataclasses import replace

    wrong = replace(findings, plain=(findings.plain[0] + 1, findings.plain[1]))
    assert not wrong.agrees
    page = write_report(tmp_path, wrong, frames=2).read_text("utf-8")
    assert "Plain NumPy comes to something else" in page
