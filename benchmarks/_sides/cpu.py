"""How much of the processors' time a run takes, in all the processes that it uses.

On a machine that others use too, it says more than how fast the run was.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

__all__ = ["used_s"]

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
# What follows the command's name in /proc/<pid>/stat, which may hold anything.
_PARENT, _USER, _SYSTEM = 1, 11, 12


def used_s() -> float:
    """Return what this process and all below it have used so far, seconds.

    Servers and workers are below it. 0.0 where there is no /proc.
    """
    children: dict[int, list[int]] = defaultdict(list)
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        pid = int(stat.parent.name)
        children[int(words[_PARENT])].append(pid)
        ticks[pid] = int(words[_USER]) + int(words[_SYSTEM])
    total, below = 0, [os.getpid()]
    while below:
        pid = below.pop()
        total += ticks.get(pid, 0)
        below += children[pid]
    return total / _TICKS_A_SECOND
