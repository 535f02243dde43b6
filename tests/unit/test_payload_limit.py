"""The limit of payloads stays below that of the events which hold them."""

from __future__ import annotations

import pytest

from orchestration.errors import ConfigurationError
from orchestration.settings import Settings


def test_a_payload_limit_that_no_event_could_hold_is_refused() -> None:
    urls = {"database_url": "postgresql://h/d", "redis_url": "redis://h/0"}
    with pytest.raises(
        ConfigurationError, match=r"MAX_PAYLOAD_BYTES is 2000000: .*1000000"
    ):
        Settings.from_env(**urls, max_payload_bytes=2_000_000)
    assert Settings.from_env(**urls, max_payload_bytes=1_000_000)
