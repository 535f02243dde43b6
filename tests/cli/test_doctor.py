"""What the doctor finds wrong with a stack."""

from __future__ import annotations

import pytest
from redis import Redis

pytestmark = pytest.mark.integration


def test_doctor_names_what_is_missing_and_the_way_out(stack, run, run_json):
    worker = stack.worker("-I", "tests.support.effects_agents", "-c", "1")
    found = {one["subject"]: one for one in run_json("doctor")["findings"]}
    assert worker.poll() is None
    assert found["chores worker"]["verdict"] == "wrong"
    assert "-Q chores" in found["chores worker"]["way_out"]
    assert found["beat"]["verdict"] == "wrong"
    assert found["workers"]["verdict"] == "ok"
    assert run("doctor").returncode == 1


def test_doctor_finds_a_redis_that_drops_messages(stack, run_json, redis_url):
    stack.chores()
    with Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = run_json("doctor")["findings"]
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    [memory] = [one for one in found if one["subject"] == "redis memory"]
    assert memory["verdict"] == "wrong"
