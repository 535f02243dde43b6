"""A broadcast reaches every agent once, whatever pool it is in, on both brokers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from orchestration.routing import MessageRouter, RouteRule, RoutingStrategy
from tests.support.choir_agents import CHOIR
from tests.support.stack import Stack
from tests.support.talking import Talk, talk
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration
HOSTING = ("-I", "tests.support.choir_agents", "-Q", "agents.high,agents.low")
TIMES = 3


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, stack: Stack, tmp_path: Path) -> Stack:
    if request.param == "rabbitmq":
        stack.env["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    stack.env["EFFECTS_FILE"] = str(tmp_path / "effects")
    return stack


async def broadcast(talking: Talk) -> list[str]:
    """Send one message to everybody that a rule names; return who that is."""
    rule = RouteRule(
        name="everybody",
        priority=1,
        condition="payload.get('song') == 'all'",
        targets=CHOIR,
        strategy=RoutingStrategy.BROADCAST,
    )
    said = talking.command("choir", song="all")
    async with MessageRouter(talking.bus) as router:
        router.add_route_rule(rule)
        targets = await router.route(said)
        await talking.bus.send_many([said.evolved(recipient_id=one) for one in targets])
    return targets


def test_a_broadcast_reaches_every_agent_once(broker: Stack) -> None:
    broker.worker(*HOSTING, "-c", "2")
    with talk(broker.env) as talking:
        for _ in range(TIMES):
            assert sorted(talking.run(broadcast(talking))) == CHOIR
        wait_until(
            lambda: len(talking.lines(what="heard")) >= TIMES * len(CHOIR),
            "all have heard it",
        )
        heard = Counter(line["agent"] for line in talking.lines())
        assert heard == dict.fromkeys(CHOIR, TIMES)
