"""A message that the broker does not confirm is not taken for sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.adapters.embedded import EmbeddedServers
from orchestration.errors import TransportError
from tests.conftest import migrate
from tests.support.stack import Stack
from tests.support.talking import talk

pytestmark = pytest.mark.integration


def test_a_message_that_is_not_confirmed_raises(
    stack: Stack, tmp_path: Path, rabbitmq_url: str
) -> None:
    migrate(stack.env)
    stack.env["EFFECTS_FILE"] = str(tmp_path / "effects")
    hosts = (
        "INSERT INTO orch.announcement (worker, kind, name, pool) VALUES "
        "('w', 'agent', 'agent-talker', 'default'), "
        "('w', 'listener', 'agent-talker/@message', 'default')"
    )
    with EmbeddedServers(postgres=False) as servers:
        env = stack.env | {"CELERY_BROKER_URL": servers.redis_url}
        with talk(env) as talking:
            talking.bus.announcements.db.rows(hosts)
            talking.send(talking.command())
            servers.stop()
            with pytest.raises(TransportError, match="same message_id"):
                talking.send(talking.command())
            # A request that did not go is not waited for.
            with pytest.raises(TransportError):
                talking.request(talking.message())
            assert not talking.bus.messages.inbox._waiting
    # RabbitMQ is asked to confirm each.
    with talk(stack.env | {"CELERY_BROKER_URL": rabbitmq_url}) as talking:
        talking.send(talking.command())
        [producer] = talking.bus.messages.sender._publisher._idle
        assert producer.channel._confirm_selected
