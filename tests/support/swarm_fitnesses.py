"""Fitnesses that a test can have fail, wait or lie."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from orchestration.agents import fitness
from orchestration.core.swarm.state import Floats


def switch(name: str) -> Path:
    """A file by which a test tells the workers something."""
    return Path(os.environ["SWITCHES"]) / name


@fitness("bowl")
def bowl(positions: Floats) -> Floats:
    return np.einsum("ij,ij->i", positions, positions)


@fitness("fails_while_told_to")
def fails_while_told_to(positions: Floats) -> Floats:
    if switch("fail").exists():
        raise RuntimeError("the simulator is down")
    return bowl(positions)


@fitness("returns_nan")
def returns_nan(positions: Floats) -> Floats:
    values = bowl(positions)
    values[3] = np.nan
    return values


@fitness("returns_too_few")
def returns_too_few(positions: Floats) -> Floats:
    return bowl(positions)[:-1]


@fitness("changes_positions")
def changes_positions(positions: Floats) -> Floats:
    positions -= 1.0
    return bowl(positions)


@fitness("never_the_same")
def never_the_same(positions: Floats) -> Floats:
    return bowl(positions) + time.time_ns() % 1_000_003


@fitness("kills_its_process")
def kills_its_process(positions: Floats) -> Floats:
    os.kill(os.getpid(), signal.SIGKILL)
    return bowl(positions)


@fitness("waits")
def waits(positions: Floats) -> Floats:
    begun, go = switch("begun"), switch("go")
    begun.touch()
    while begun.exists() and not go.exists():  # neither is there once the test is over
        time.sleep(0.01)
    switch("ended").touch()
    return bowl(positions)
