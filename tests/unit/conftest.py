"""The laws are searched the same way everywhere, and never by the clock."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.unit.profiles import PROFILE

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
settings.load_profile(PROFILE)
