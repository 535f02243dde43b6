"""What is sent once more, and what is not, since it waits its turn in a long queue."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from orchestration.adapters.saga_records import Because
from orchestration.core.saga.model import SagaState
from tests.unit.scripted import saga, step
from tests.unit.shop import Shop, fails, first


@dataclass
class Queues:
    long: bool = True
    asked: list[str] = field(default_factory=list)

    def is_long(self, agent_id: str) -> bool:
        self.asked.append(agent_id)
        return self.long


def look(shop: Shop, queues: Queues) -> int:
    """Let the sweep look at the saga, whatever time it is."""
    return replace(shop.machine.sweeper, queues=queues).look("t", Because())


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.start(saga(step("a")))
    return shop


def test_what_waits_in_a_long_queue_is_not_sent_once_more(shop: Shop) -> None:
    queues = Queues()
    shop.clock.advance(seconds=11)
    assert look(shop, queues) == 0
    assert len(shop.machine.queue.messages) == 1
    assert queues.asked == ["agent"]
    row = shop.machine.log.tables.open["t"]
    assert row.check_at is not None
    assert (row.check_at - row.started_at).total_seconds() == 30  # as ever


def test_where_the_queue_is_short_it_must_be_lost(shop: Shop) -> None:
    shop.clock.advance(seconds=11)
    assert look(shop, Queues(long=False)) == 1
    assert len(shop.machine.queue.messages) == 2


def test_after_five_minutes_nobody_counts_on_the_queue(shop: Shop) -> None:
    queues = Queues()
    shop.clock.advance(seconds=299)
    assert look(shop, queues) == 0
    shop.clock.advance(seconds=1)
    assert look(shop, queues) == 1


def test_nothing_is_asked_of_the_broker_if_nothing_is_late(shop: Shop) -> None:
    queues = Queues()
    shop.clock.advance(seconds=9)
    assert look(shop, queues) == 0
    assert queues.asked == []


def test_the_end_of_a_long_wait_has_no_message_and_is_sent() -> None:
    shop = Shop()
    shop.does["a"] = first(1, fails)
    policy = {"backoff_ms": 60_000, "jitter": 0.0}
    shop.start(saga(step("a", retry_policy=policy), timeout_ms=600_000))
    attempt = shop.machine.workers.deliver(shop.machine.queue.take())
    assert attempt is not None
    shop.machine.workers.perform(attempt)
    shop.machine.workers.close(attempt)
    shop.clock.advance(seconds=63)
    assert look(shop, Queues()) == 1
    shop.run_until_idle()
    assert shop.status("t").state is SagaState.COMPLETED
