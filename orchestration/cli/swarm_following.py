"""A swarm as it goes on: looked at again and again until it is over."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.live import Live

from orchestration.cli.output import console, emit_json, plain
from orchestration.cli.swarm_plot import Window
from orchestration.cli.swarm_views import frame_view, progress_line, swarm_view
from orchestration.core.swarm.motions import TUNING
from orchestration.core.swarm.run import RUN
from orchestration.errors import SwarmNotFound

if TYPE_CHECKING:
    from rich.console import Console

    from orchestration.swarm import SwarmFrame, SwarmOrchestrator, SwarmReport

__all__ = ["followed", "meant", "told", "watched"]

_LOOK_EVERY_S: Final = 0.1
_TELL_EVERY_S: Final = 1.0
_MIN_PREFIX: Final = 4
_SEARCHED: Final = 1_000


async def meant(swarms: SwarmOrchestrator, wanted: str | None) -> str:
    """Return the id that someone means: whole, its beginning, or the newest.

    Raises:
        SwarmNotFound: None fits, or several do; the text says how to list them.
    """
    ids = [one.swarm_id for one in await swarms.list(limit=_SEARCHED)]
    if wanted is None:
        if not ids:
            raise SwarmNotFound("there are no swarms yet: start one", "")
        return ids[0]
    fits = [one for one in ids if one.startswith(wanted)]
    if wanted in ids or (fits and len(fits) == 1 and len(wanted) >= _MIN_PREFIX):
        return wanted if wanted in ids else fits[0]
    if len(fits) > 1 or not await _exists(swarms, wanted):
        why = f"{len(fits)} swarms begin with" if fits else "there is no swarm"
        raise SwarmNotFound(
            f"{why} {wanted}: `orchestration swarm list` shows ids", wanted
        )
    return wanted


async def followed(
    swarms: SwarmOrchestrator, swarm_id: str, *, as_json: bool
) -> SwarmReport:
    """Show a swarm until it is over, and how it ended; return that."""
    out = console()
    if as_json or not out.is_terminal:
        report = await _in_lines(swarms, swarm_id, None if as_json else out)
        told(report, as_json=as_json)
        return report
    best: list[float | None] = []
    with Live(console=out, auto_refresh=False) as live:
        async for report in _looks(swarms, swarm_id):
            best.append(report.best)
            view = swarm_view(report, now=datetime.now(UTC), best=best)
            live.update(view, refresh=True)
    return report


def told(report: SwarmReport, *, as_json: bool) -> None:
    """Say how a swarm stands."""
    if as_json:
        emit_json(report)
    else:
        console().print(swarm_view(report, now=datetime.now(UTC)))


async def watched(
    swarms: SwarmOrchestrator,
    swarm_id: str,
    *,
    every_ms: int,
    as_json: bool,
    positions: bool,
) -> None:
    """Show where a swarm's agents are until it is over.

    Args:
        swarms: Where it is.
        swarm_id: Which one.
        every_ms: At most one frame in this time.
        as_json: Print each frame as a line of JSON.
        positions: Say in it where each agent is.
    """
    report = await swarms.status(swarm_id)
    out = console()
    if report.kind != RUN:  # it has no places to be at
        await followed(swarms, swarm_id, as_json=as_json)
        return
    frames = swarms.watch(swarm_id, every_ms=every_ms)
    if as_json or not out.is_terminal:
        async for frame in frames:
            line = _json_line(frame, positions=positions) if as_json else _line(frame)
            out.file.write(line + "\n")
            out.file.flush()
        return
    window = await _window(swarms, swarm_id)
    best: list[float | None] = []
    with Live(console=out, auto_refresh=False, screen=True) as live:
        async for frame in frames:
            best.append(frame.best)
            here = window or Window.around(frame.positions)
            window = here.with_all(frame.positions) if window is None else window
            size = out.size
            view = frame_view(
                frame, report, here, best, columns=size.width, rows=size.height
            )
            live.update(view, refresh=True)
    told(await swarms.status(swarm_id), as_json=False)


async def _window(swarms: SwarmOrchestrator, swarm_id: str) -> Window | None:
    """Return the window on a search's space; None: it is not there that agents are."""
    motion = (await swarms.events(swarm_id))[0].data["spec"]["motion"]
    if "lower" not in motion or motion["kind"] == TUNING:
        return None
    return Window.of([*zip(motion["lower"], motion["upper"], strict=True)])


async def _looks(
    swarms: SwarmOrchestrator, swarm_id: str
) -> AsyncIterator[SwarmReport]:
    """Yield how a swarm stands at each look; the last one is its end."""
    while True:
        report = await swarms.status(swarm_id)
        yield report
        if report.status.is_over:
            return
        await asyncio.sleep(_LOOK_EVERY_S)


async def _in_lines(
    swarms: SwarmOrchestrator, swarm_id: str, out: Console | None
) -> SwarmReport:
    """Wait for a swarm's end, and print a line now and then."""
    due = time.monotonic() + _TELL_EVERY_S
    async for report in _looks(swarms, swarm_id):
        if out is not None and time.monotonic() >= due:
            due = time.monotonic() + _TELL_EVERY_S
            out.print(progress_line(report), markup=False, soft_wrap=True)
    return report


async def _exists(swarms: SwarmOrchestrator, swarm_id: str) -> bool:
    try:
        await swarms.status(swarm_id)
    except SwarmNotFound:
        return False
    return True


def _line(frame: SwarmFrame) -> str:
    best = "" if frame.best is None else f"  best {frame.best:.6g}"
    return (
        f"{frame.status}  iteration {frame.iteration:,}  "
        f"converged {frame.convergence:.1%}{best}"
    )


def _json_line(frame: SwarmFrame, *, positions: bool) -> str:
    said = {
        "iteration": frame.iteration,
        "best": frame.best,
        "convergence": frame.convergence,
        "status": frame.status,
    }
    if positions:
        said["positions"] = frame.positions.tolist()
    return json.dumps(plain(said))
