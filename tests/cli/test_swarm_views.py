"""What swarms look like, from literal values."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import numpy as np
import pytest
from rich.cells import cell_len

from orchestration.adapters.swarm_log import SwarmSummary
from orchestration.cli.swarm_plot import Window, bar, plot, spark
from orchestration.cli.swarm_starting import asked
from orchestration.cli.swarm_views import (
    frame_view,
    progress_line,
    replay_view,
    swarm_view,
    swarms_table,
)
from orchestration.core.swarm.fold import SwarmStatus
from orchestration.core.swarm.report import SwarmIsland, SwarmReport
from orchestration.core.swarm.state import SwarmState
from orchestration.engine.swarm_replaying import SwarmReplay
from orchestration.engine.swarm_watching import SwarmFrame
from tests.cli.sagas import line_with, text_of

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SQUARE = Window.of([(-1.0, 1.0), (-1.0, 1.0)])
REPORT = SwarmReport(
    swarm_id="b8a0591b-0000-4000-8000-000000000000",
    name="rastrigin",
    kind="run",
    status=SwarmStatus.RUNNING,
    reason="",
    seed=7,
    agents=100,
    iterations=1_250,
    best=0.25,
    best_position=None,
    convergence=0.5,
    state_hash="ab" * 32,
    chain_head="cd" * 32,
    started_at=NOW - timedelta(seconds=90),
    ended_at=None,
    duration_ms=None,
)


def ended(**changes: object) -> SwarmReport:
    return replace(
        REPORT,
        status=SwarmStatus.COMPLETED,
        ended_at=NOW - timedelta(seconds=80),
        reason="CONVERGED",
        **changes,
    )


def dots(positions: list[tuple[float, float]], **options: object) -> str:
    given = {"columns": 2, "rows": 2} | options
    return plot(np.array(positions), SQUARE, **given).plain


def test_agents_are_dots_where_they_are():
    # Two characters by two, hence four dots by eight.
    assert dots([(-0.9, 0.9)]) == "⠁ \n  "
    assert dots([(0.9, -0.9)]) == "  \n ⢀"
    assert dots([(-0.9, 0.9), (-0.4, 0.9), (-0.9, 0.1)]) == "⡉ \n  "


def test_bounds_belong_to_the_window_and_what_is_beyond_does_not():
    assert dots([(-1.0, 1.0), (1.0, -1.0)]) == "⠁ \n ⢀"
    assert dots([(1.1, 0.0), (0.0, -7.0)]) == "  \n  "


def test_the_best_place_is_marked_above_the_agents():
    assert dots([(-0.9, 0.9)], best=(-0.9, 0.9, 0.3)) == "✕ \n  "


def test_a_swarm_on_a_line_is_drawn_as_a_line():
    line = plot(np.array([[-0.9], [0.9]]), SQUARE, columns=2, rows=1).plain
    assert line == "⠄⠠"


def test_a_window_grows_until_all_are_in_it():
    grown = SQUARE.with_all(np.array([[0.0, 0.0], [3.0, 0.5]]))
    assert grown.lower == (-1.0, -1.0)
    assert grown.upper[0] > 3.0
    assert SQUARE.with_all(np.array([[0.5, 0.5]])) is SQUARE


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([100.0, 10.0, 1.0], "█▅▁"),  # by their logarithms
        ([3.0, 1.0, -1.0], "█▅▁"),
        ([None, float("inf"), 2.0], "▁"),
        ([], ""),
        ([None], ""),
    ],
)
def test_how_values_went_is_a_line_of_bars(values, line):
    assert spark(values, 10) == line


def test_of_many_values_as_many_as_fit_are_shown_and_the_last_one():
    line = spark([float(n) for n in range(999, -1, -1)], 20)
    assert len(line) == 20
    assert (line[0], line[-1]) == ("█", "▁")


@pytest.mark.parametrize("share", [-0.5, 0.0, 0.01, 0.5, 0.99, 1.0, 2.0])
def test_a_bar_is_always_as_wide(share):
    assert cell_len(bar(share, 8)) == 8


def test_bars_show_their_share():
    assert (bar(0, 4), bar(0.5, 4), bar(1, 4)) == ("····", "██··", "████")
    assert bar(0.03125, 4) == "▏···"


def test_swarms_are_listed_with_what_matters():
    line = SwarmSummary(
        swarm_id=REPORT.swarm_id,
        kind="run",
        name="my [odd] fitness",
        state="RUNNING",
        started_at=NOW - timedelta(seconds=90),
        ended_at=None,
        iteration=12_345,
        best=0.000123456789,
        convergence=0.987,
        waiting_for="a worker for pool solvers",
    )
    row = line_with(text_of(swarms_table([line], NOW), columns=132), "odd")
    for word in ("▶ RUNNING", "my [odd] fitness", "b8a0591b ", "90 s ago"):
        assert word in row
    for word in ("12,345", "98.7%", "0.000123457", "a worker for pool solvers"):
        assert word in row


def test_a_swarm_on_its_way_shows_how_far_it_is():
    text = text_of(swarm_view(REPORT, now=NOW, best=[4.0, 1.0, 0.25]))
    assert "▶ RUNNING  rastrigin" in text
    assert "90 s ago, took 1 min 30 s" in line_with(text, "started")
    assert line_with(text, "converged").count("█") == 15
    assert "█▅▁" in text
    assert "at " not in text.replace("rastrigin", "")


def test_one_that_is_over_shows_what_came_of_it():
    found = ended(
        best_position=tuple(float(n) for n in range(8)),
        result={"best": 0.25},
    )
    text = text_of(swarm_view(found, now=NOW))
    assert "took 10 s" in line_with(text, "started")
    assert "(0, 1, 2, 3, 4, 5, … 2 more)" in line_with(text, "at ")
    assert "CONVERGED" in line_with(text, "ended")
    assert text.count("0.25") == 1


def test_a_federation_tells_what_each_island_found():
    islands = [
        SwarmIsland(agents=50, best=best, best_position=None) for best in (0.25, None)
    ]
    text = text_of(swarm_view(ended(islands=islands), now=NOW))
    assert "2 of 50 to 50 agents, best 0.25, none" in line_with(text, "islands")
    many = text_of(swarm_view(ended(islands=20 * islands), now=NOW))
    assert many.count("none") == 10
    assert "…" in many


def test_of_shared_work_it_is_told_what_was_done_and_by_whom():
    result = {
        "partitions": {"done": 1_997, "failed": 3, "pending": 0},
        "failed_partitions": [7, 8, 9],
        "attempts": 2_011,
        "duplicates_suppressed": 2,
        "groups": {"all": 32, "known": 30},
        "fitness": 0.57933,
        "efficiency": 0.8812,
        "efficiency_bound": 0.921,
        "slots": 4,
        "rows": 199_700,
        "throughput": 54_678.9,
        "agent_partitions": {"1": 12, "2": 10, "5": 11},
        "load_balance": 0.98,
        "jain_index": 0.99,
        "births": 4,
        "deaths": 1,
        "replaced": 1,
        "evolution_overflow": 0,
        "energy": {"initial": 20_000, "total": 29_247},
        "state_hash": "ef" * 32,
    }
    found = ended(kind="partitions", best=None, result=result)
    text = text_of(swarm_view(found, now=NOW))
    counts = "1,997 done, 3 failed, 0 pending, 2,011 attempts, 2 twice"
    assert counts in line_with(text, "partitions ", "done")
    assert "7, 8, 9" in line_with(text, "failed   ")
    assert "30 of 32 known from runs before" in line_with(text, "groups")
    assert "57.93%" in line_with(text, "fitness")
    assert "88.12% of 4 slots' time; at best 92.10%" in text
    assert "199,700, 54,679 a second" in line_with(text, "rows")
    assert "3 agents, 10 to 12 partitions each" in line_with(text, "at work")
    assert "initial 20,000, total 29,247" in line_with(text, "energy")
    assert "ef" * 32 in line_with(text, "state")
    assert "chain" not in text


def test_trouble_is_told():
    text = text_of(
        swarm_view(
            replace(REPORT, error="ValueError: NaN", attempts=2, waiting_for="x"),
            now=NOW,
        )
    )
    assert "ValueError: NaN (attempt 2)" in line_with(text, "error")
    assert "x" in line_with(text, "waits for")


def test_progress_is_one_plain_line():
    line = "RUNNING  iteration 1,250  converged 50.0%  best 0.25"
    assert progress_line(REPORT) == line
    assert progress_line(replace(REPORT, best=None)) == line.partition("  best")[0]


def test_a_frame_shows_agents_and_figures_and_fits():
    state = SwarmState.blank(30, 3)
    state.record["position"] = 0.5
    frame = SwarmFrame(
        iteration=7,
        best=0.25,
        convergence=0.5,
        status=SwarmStatus.RUNNING,
        positions=state.record["position"],
        state=state,
    )
    view = frame_view(frame, REPORT, SQUARE, [1.0, 0.25], columns=80, rows=24)
    text = text_of(view)
    assert all(cell_len(line) <= 80 for line in text.splitlines())
    assert len(text.splitlines()) <= 24
    assert "x₁ →, x₂ ↑ of 3 dimensions" in text
    assert "b8a0591b" in line_with(text, "id")
    assert "7" in line_with(text, "iteration")


def test_a_replay_says_that_all_is_equal_or_where_it_differs():
    equal = SwarmReplay(swarm_id="s", iterations=1, is_equal=True, state_hash="ab" * 32)
    assert "✓ 1 iteration done again, every hash" in text_of(replay_view(equal))
    differs = replace(
        equal, iterations=60, is_equal=False, differs_at=41, recorded="aa", found="bb"
    )
    text = text_of(replay_view(differs))
    assert "✗ 60 iterations done again: iteration 41 came out otherwise" in text
    assert "aa" in line_with(text, "on record")
    assert "bb" in line_with(text, "came out   ")


# --- what is started


def test_a_standard_function_needs_no_bounds():
    wanted = asked(None, {"fitness": "rastrigin", "dims": 3, "seed": None, "agents": 9})
    assert wanted.bounds == [(-5.12, 5.12)] * 3
    assert wanted.told == {"agents": 9}


def test_bounds_are_one_for_all_dimensions_or_one_for_each():
    assert asked(None, {"fitness": "f", "bounds": "-1:2.5,0:1e3"}).bounds == [
        (-1.0, 2.5),
        (0.0, 1000.0),
    ]
    assert asked(None, {"fitness": "f", "bounds": "0:1", "dims": 2}).bounds == [
        (0.0, 1.0),
        (0.0, 1.0),
    ]


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_what_is_said_goes_before_what_the_file_says(tmp_path: Path, suffix: str):
    file = tmp_path / f"task.{suffix}"
    told = {"objective": "count", "data_partitions": 12}
    file.write_text(
        json.dumps(told)
        if suffix == "json"
        else 'objective = "count"\ndata_partitions = 12\n'
    )
    wanted = asked(str(file), {"data_partitions": 20, "seed": None})
    assert (wanted.fitness, wanted.told) == (
        "",
        {"objective": "count", "data_partitions": 20},
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "either a fitness"),
        ({"fitness": "f", "objective": "o"}, "either a fitness"),
        ({"objective": "o", "dims": 3}, "dims: that is for a search"),
        ({"fitness": "mine"}, "mine has no usual bounds"),
        ({"fitness": "f", "bounds": "1;2"}, "'1;2' are no bounds"),
        ({"fitness": "f", "bounds": "0:1,0:2", "dims": 2}, "one pair of bounds"),
    ],
)
def test_what_cannot_be_started_is_refused_with_the_way_out(given, said):
    with pytest.raises(click.UsageError, match=said):
        asked(None, given)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.json", "{", "t.json: Expecting"),
        ("t.json", "[1]", "t.json: it is no JSON object"),
        ("t.toml", "a = ", "t.toml: Invalid value"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(click.BadParameter, match=said):
        asked(str(tmp_path / name), {})
    with pytest.raises(click.BadParameter, match="No such file"):
        asked(str(tmp_path / "none.json"), {})
