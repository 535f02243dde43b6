"""A fitness whose values hang on the environment, as none should; and a slow one."""

from __future__ import annotations

import os
import time

import numpy as np

from orchestration.agents import fitness


@fitness("moody")
def moody(positions):
    mood = float(os.environ.get("MOOD", "0"))
    return np.square(positions - mood).sum(axis=1)


@fitness("lasting")
def lasting(positions):
    time.sleep(0.05)
    return moody(positions)
