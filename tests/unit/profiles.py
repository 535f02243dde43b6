"""How long laws are searched: ``HYPOTHESIS_PROFILE=deep`` searches longer, and anew."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings

__all__ = ["PROFILE", "examples"]

PROFILE: Final = os.environ.get("HYPOTHESIS_PROFILE", "unit")


def examples(count: int, **more: int) -> settings:
    """Return the settings for so many examples; twenty times as many in depth."""
    return settings(max_examples=count * (20 if PROFILE == "deep" else 1), **more)
