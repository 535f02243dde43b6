"""What people see of swarms: a list, a status, a frame, a replay. Pure: values in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from orchestration.cli.output import age, short_id, span_text
from orchestration.cli.swarm_plot import Window, bar, plot, spark
from orchestration.core.swarm.fold import SwarmStatus
from orchestration.core.swarm.run import RUN

if TYPE_CHECKING:
    from orchestration.adapters.swarm_log import SwarmSummary
    from orchestration.core.swarm.report import SwarmIsland, SwarmReport
    from orchestration.engine.standing_fields import FieldSummary
    from orchestration.engine.swarm_replaying import SwarmReplay
    from orchestration.engine.swarm_watching import SwarmFrame

__all__ = [
    "fields_table",
    "frame_view",
    "progress_line",
    "replay_view",
    "status_text",
    "swarm_view",
    "swarms_table",
]

_STATUSES: Final[Mapping[SwarmStatus, tuple[str, str]]] = {
    SwarmStatus.RUNNING: ("▶", "live"),
    SwarmStatus.PAUSED: ("‖", "warn"),
    SwarmStatus.COMPLETED: ("✓", "ok"),
    SwarmStatus.STOPPED: ("■", "warn"),
    SwarmStatus.TIMED_OUT: ("…", "warn"),
    SwarmStatus.FAILED: ("✗", "bad"),
    SwarmStatus.NON_DETERMINISTIC: ("≠", "bad"),
}
_BAR_COLUMNS: Final = 30
_SHORT_HASH: Final = 16
_MOST_DIMS: Final = 6
_MOST_LISTED: Final = 20
_SIDE_COLUMNS: Final = 34
_MOST_GROUPS: Final = 5
_EVIDENCE_COLUMNS: Final = 10


def status_text(status: str) -> Text:
    """Return a status with its sign, in its colour."""
    sign, style = _STATUSES[SwarmStatus(status)]
    return Text(f"{sign} {status}", style=style)


def swarms_table(lines: Iterable[SwarmSummary], now: datetime) -> Table:
    """Return the list of swarms."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    for title in ("state", "swarm", "id", "started", "took"):
        table.add_column(title, no_wrap=True)
    for title in ("iterations", "converged", "best"):
        table.add_column(title, no_wrap=True, justify="right")
    table.add_column("waits for")
    for line in lines:
        took = ((line.ended_at or now) - line.started_at).total_seconds()
        table.add_row(
            status_text(line.state),
            escape(line.name),
            Text(short_id(line.swarm_id), style="head"),
            age(line.started_at, now),
            Text(span_text(took), style="" if line.ended_at else "live"),
            f"{line.iteration:,}",
            f"{line.convergence:.1%}",
            _number(line.best),
            escape(line.waiting_for or ""),
        )
    return table


def fields_table(lines: Iterable[FieldSummary], now: datetime) -> Table:
    """Return the list of standing fields."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    table.add_column("handler")
    for title in ("groups", "laid", "evidence left"):
        table.add_column(title, no_wrap=True)
    table.add_column("most work")
    for line in lines:
        left = line.groups
        evidence = max((one.evidence for one in left.values()), default=0.0)
        both = f"{line.handler} on {line.source}"
        most = sorted(left, key=lambda group: -left[group].work_ms)[:_MOST_GROUPS]
        table.add_row(
            escape(line.handler if line.source == line.handler else both),
            f"{len(left)} known, {line.layout}",
            age(line.laid_at, now),
            f"{bar(evidence, _EVIDENCE_COLUMNS)} {evidence:.1%}",
            ", ".join(map(str, most)),
        )
    return table


def progress_line(report: SwarmReport) -> str:
    """Return how far a swarm is, as one plain line."""
    best = "" if report.best is None else f"  best {_number(report.best)}"
    return (
        f"{report.status}  iteration {report.iterations:,}  "
        f"converged {report.convergence:.1%}{best}"
    )


def swarm_view(
    report: SwarmReport, *, now: datetime, best: Sequence[float | None] = ()
) -> RenderableType:
    """Return how a swarm stands.

    Args:
        report: How it stands.
        now: What time it is.
        best: The best values so far, oldest first, as far as they were seen.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="key", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(report, now, spark(best, _BAR_COLUMNS)):
        grid.add_row(name, value)
    title = Text.assemble(status_text(report.status), "  ", (report.name, "head"))
    parts: list[RenderableType] = [
        Panel(grid, title=title, title_align="left", border_style="faint", expand=False)
    ]
    if rest := list(_work(report.result)):
        results = Table.grid(padding=(0, 2))
        results.add_column(style="key", no_wrap=True)
        results.add_column(overflow="fold")
        for name, value in rest:
            results.add_row(name, value)
        parts.append(Padding(results, (0, 2)))
    return Group(*parts)


def frame_view(
    frame: SwarmFrame,
    report: SwarmReport,
    window: Window,
    best: Sequence[float | None],
    *,
    columns: int,
    rows: int,
) -> RenderableType:
    """Return a swarm at one moment: where its agents are, and how far it is.

    Args:
        frame: The moment.
        report: Which swarm it is.
        window: What is shown of its space.
        best: The best values so far, oldest first.
        columns: How wide all of it may be, in characters.
        rows: How high.
    """
    width = max(20, columns - _SIDE_COLUMNS - 6)
    height = max(6, rows - 4)
    dims = frame.positions.shape[1]
    place = None
    if frame.best is not None:
        place = frame.state.record["best_position"].tolist()
    dots = plot(frame.positions, window, columns=width, rows=height, best=place)
    shown = "x₁ →, x₂ ↑" + (
        f" of {dims} dimensions" if dims > len(window.lower) else ""
    )
    ends = f"{window.lower[0]:g} … {window.upper[0]:g}"
    picture = Panel(
        dots, subtitle=f"{shown}   {ends}", border_style="faint", expand=False
    )
    side = Table.grid(padding=(0, 1))
    side.add_column(style="key", no_wrap=True)
    side.add_column(no_wrap=True)
    side.add_row("", status_text(frame.status))
    side.add_row("swarm", Text(report.name, "head", overflow="ellipsis"))
    side.add_row("id", short_id(report.swarm_id))
    side.add_row("agents", f"{len(frame.positions):,}")
    side.add_row("iteration", f"{frame.iteration:,}")
    side.add_row("converged", f"{frame.convergence:.1%}")
    side.add_row("", Text(bar(frame.convergence, _SIDE_COLUMNS - 14), "live"))
    if frame.best is not None:
        side.add_row("best  ✕", _number(frame.best))
        side.add_row("", Text(spark(best, _SIDE_COLUMNS - 14), "live"))
    both = Table.grid(padding=(0, 2))
    both.add_row(picture, Padding(side, (1, 0)))
    return both


def replay_view(replay: SwarmReplay) -> RenderableType:
    """Return whether a swarm's iterations came out again as they are on record."""
    count = f"{replay.iterations:,} iteration{'s' * (replay.iterations != 1)}"
    if replay.is_equal:
        return Text.assemble(
            ("✓ ", "ok"),
            f"{count} done again, every hash as on record; state ",
            (replay.state_hash, "faint"),
        )
    where = f"iteration {replay.differs_at:,}" if replay.differs_at else "its begin"
    return Text.assemble(
        ("✗ ", "bad"),
        f"{count} done again: {where} came out otherwise\n",
        ("  on record  ", "key"),
        f"{replay.recorded}\n",
        ("  came out   ", "key"),
        replay.found or "none: it had stopped before",
    )


def _setting(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _facts(
    report: SwarmReport, now: datetime, course: str
) -> Iterator[tuple[str, str | Text]]:
    took = ((report.ended_at or now) - report.started_at).total_seconds()
    yield "id", report.swarm_id
    yield "started", f"{age(report.started_at, now)}, took {span_text(took)}"
    yield "agents", f"{report.agents:,}, seed {report.seed}"
    yield "iterations", f"{report.iterations:,}"
    converged = bar(report.convergence, _BAR_COLUMNS)
    yield "converged", Text.assemble((converged, "live"), f"  {report.convergence:.1%}")
    if report.best is not None:
        yield "best", _number(report.best)
        if course:
            yield "", Text(course, "live")
    if report.settings:
        told = (f"{name}={_setting(value)}" for name, value in report.settings.items())
        yield "settings", "  ".join(told)
    elif report.best_position is not None:
        yield "at", _position(report.best_position)
    if report.islands:
        yield "islands", _islands(report.islands)
    if report.waiting_for:
        yield "waits for", Text(report.waiting_for, "warn")
    if report.reason:
        yield "ended", report.reason
    if report.error:
        yield "error", Text(f"{report.error} (attempt {report.attempts})", "bad")
    # Of shared work the hash is of what came of it, in the order of partitions.
    yield "state", Text(report.result.get("state_hash", report.state_hash), "faint")
    if report.kind == RUN:
        yield "chain", Text(report.chain_head, "faint")


def _work(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what came of work in partitions; nothing of a swarm that did none."""
    parts = result.get("partitions")
    if parts is None:
        return
    counts = [f"{parts[name]:,} {name}" for name in ("done", "failed", "pending")]
    tries = f"{result['attempts']:,} attempts"
    twice = result["duplicates_suppressed"]
    yield "partitions", ", ".join((*counts, tries, *([f"{twice} twice"] * (twice > 0))))
    if failed := result["failed_partitions"]:
        more = ", …" if len(failed) > _MOST_LISTED else ""
        yield "failed", ", ".join(map(str, failed[:_MOST_LISTED])) + more
    if groups := result.get("groups"):
        told = f"{groups['known']} of {groups['all']} known from runs before"
        yield "groups", told
    yield "fitness", f"{result['fitness']:.2%}"
    best = f"at best {result['efficiency_bound']:.2%}"
    slots = f"{result['slots']} slots' time"
    yield "efficiency", f"{result['efficiency']:.2%} of {slots}; {best}"
    yield "rows", f"{result['rows']:,}, {result['throughput']:,.0f} a second"
    if shares := [*result["agent_partitions"].values()]:
        each = f"{min(shares)} to {max(shares)} partitions each"
        even = f"balance {result['load_balance']:.2f}, Jain {result['jain_index']:.2f}"
        yield "at work", f"{len(shares)} agents, {each}; {even}"
    lived = ("births", "deaths", "replaced", "evolution_overflow")
    yield "lives", ", ".join(f"{result[one]} {one.split('_')[-1]}" for one in lived)
    energy = result["energy"].items()
    yield "energy", ", ".join(f"{name} {count:,}" for name, count in energy)


def _islands(islands: Sequence[SwarmIsland]) -> str:
    sizes = [one.agents for one in islands]
    found = ", ".join(_number(one.best) or "none" for one in islands[:_MOST_LISTED])
    more = ", …" if len(islands) > _MOST_LISTED else ""
    return f"{len(islands)} of {min(sizes)} to {max(sizes)} agents, best {found}{more}"


def _position(place: Sequence[float]) -> str:
    shown = ", ".join(f"{value:.6g}" for value in place[:_MOST_DIMS])
    more = len(place) - _MOST_DIMS
    return f"({shown}{f', … {more} more' if more > 0 else ''})"


def _number(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
