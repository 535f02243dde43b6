"""How this host and the agents on it fare: what their heartbeats tell.

Processes of a prefork pool do the work, and their parent sends the heartbeats. So the
counts stand in memory that both share, a row for each process, which alone adds to it.
"""

from __future__ import annotations

import inspect
import mmap
import os
import threading
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from billiard import current_process

from orchestration.agents import Action, ActionContext

__all__ = ["Figures", "HostFigures", "count_for", "counted"]

_ROWS: Final = 64
_DONE, _FAILED, _MS = range(3)
_EIGHT: Final = 8  # bytes


class Figures:
    """Counts attempts at actions; made before the processes that count.

    Args:
        agent_ids: Whose actions are counted.
    """

    def __init__(self, agent_ids: Sequence[str]) -> None:
        self._place = {agent_id: at for at, agent_id in enumerate(agent_ids)}
        shape = (_ROWS, max(1, len(agent_ids)), 3)
        shared = mmap.mmap(-1, int(np.prod(shape)) * _EIGHT)
        self._counts = np.frombuffer(shared, np.float64).reshape(shape)
        self._told = np.zeros(shape[1:])
        self._lock = threading.Lock()  # between the threads of one process

    def count(self, agent_id: str, *, took_ms: float, is_failed: bool) -> None:
        """Count an attempt that has ended."""
        at = self._place.get(agent_id)
        if at is None:
            return
        row = self._counts[getattr(current_process(), "index", 0) % _ROWS, at]
        with self._lock:
            row[_DONE] += 1
            row[_FAILED] += is_failed
            row[_MS] += took_ms

    def since(self) -> dict[str, dict[str, float]]:
        """Return error rate and response time since the last call, by agent.

        Of an agent that had nothing to do there is nothing to tell.
        """
        now = self._counts.sum(axis=0)
        moved, self._told = now - self._told, now
        return {
            agent_id: {
                "error_rate": min(1.0, moved[at, _FAILED] / moved[at, _DONE]),
                "response_time_ms": moved[at, _MS] / moved[at, _DONE],
            }
            for agent_id, at in self._place.items()
            if moved[at, _DONE] >= 1
        }


_counting: list[Figures] = []


def count_for(figures: Figures) -> None:
    """Have the attempts of this process, and of those it forks, be counted here."""
    _counting[:] = [figures]


def counted(agent_id: str, action: Action) -> Action:
    """Return an action whose attempts are counted, if they are in this process."""
    if not _counting:
        return action
    figures = _counting[0]

    def ended(began: float, *, is_failed: bool) -> None:
        took_ms = (time.perf_counter() - began) * 1_000
        figures.count(agent_id, took_ms=took_ms, is_failed=is_failed)

    async def finish(awaitable: Awaitable[Any], began: float) -> Any:  # noqa: ANN401  the action's own
        is_failed = True
        try:
            result = await awaitable
            is_failed = False
            return result
        finally:
            ended(began, is_failed=is_failed)

    def act(data: dict[str, Any], context: ActionContext) -> Any:  # noqa: ANN401  the same
        began = time.perf_counter()
        try:
            result = action(data, context)
        except BaseException:
            ended(began, is_failed=True)
            raise
        if inspect.isawaitable(result):
            return finish(result, began)
        ended(began, is_failed=False)
        return result

    return act


class HostFigures:
    """How busy this host is."""

    def __init__(self) -> None:
        self._before = _cpu_ticks()

    def now(self) -> dict[str, float]:
        """Return cpu and memory usage, 0-1; what cannot be found out is left out."""
        found: dict[str, float] = {}
        before, self._before = self._before, _cpu_ticks()
        if self._before is None:
            found["cpu_usage"] = min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        elif before is not None and (total := self._before[1] - before[1]) > 0:
            idle = self._before[0] - before[0]
            found["cpu_usage"] = min(1.0, max(0.0, 1 - idle / total))
        if (used := _memory_used()) is not None:
            found["memory_usage"] = used
        return found


def _cpu_ticks() -> tuple[int, int] | None:
    """Return how long all processors were idle, and altogether; None: not on Linux."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return None
    # user nice system idle iowait irq softirq steal; guests' time is in user already
    ticks = [int(word) for word in first.split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def _memory_used() -> float | None:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    lines = dict(line.split(":", 1) for line in text.splitlines())
    total, free = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return min(1.0, max(0.0, 1 - free / total))
