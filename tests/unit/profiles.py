"""How long laws are searched: ``HYPOTHESIS_PROFILE=deep`` searches longer, and anew.

They are searched the same way everywhere, and never by the clock.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

__all__ = ["PROFILE", "examples"]

PROFILE: Final = os.environ.get("HYPOTHESIS_PROFILE", "unit")

settings.register_profile(
    "unit",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
# Each run draws other examples: for searches by hand, or by night.
settings.register_profile(
    "deep", settings.get_profile("unit"), derandomize=False, max_examples=2_000
)


def examples(count: int, **more: int) -> settings:
    """Return the settings for so many examples; twenty times as many in depth."""
    return settings(max_examples=count * (20 if PROFILE == "deep" else 1), **more)
