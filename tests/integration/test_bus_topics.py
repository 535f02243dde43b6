"""Topics: agents get messages of their own, listeners what is published meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from eventstore import EventStore
from orchestration.errors import InvalidTopic
from orchestration.message_bus import Message, MessageType
from tests.support.talking import Talk
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration
ENVIRONMENT = {"ORCHESTRATION_KEY_PREFIX": "odd[*]"}


def test_events_go_to_agents_and_to_whoever_listens(talking: Talk) -> None:
    async def publish_and_hear() -> tuple[Message, list[Message]]:
        heard: list[Message] = []
        async with talking.bus.subscribe("orders.#") as events:
            await talking.bus.publish("elsewhere.orders", {"n": 0})
            published = await talking.bus.publish("orders.eu.created", {"n": 1})
            await talking.bus.publish("orders", {"n": 2})
            async for event in events:
                heard.append(event)
                if len(heard) == 2:
                    break
        return published, heard

    published, heard = talking.run(publish_and_hear())
    assert published.message_type is MessageType.EVENT
    assert heard[0] == published
    assert [event.payload["n"] for event in heard] == [1, 2]

    # One message for each subscription that matches, with no answer awaited.
    def noted() -> list[tuple[str, str]]:
        lines = talking.lines(published)
        return sorted((line["what"], line["agent"]) for line in lines)

    wanted = [
        ("created", "agent-talker"),
        ("order", "agent-quiet"),
        ("order", "agent-talker"),
    ]
    wait_until(lambda: noted() == wanted, "all agents have it")
    assert not any(line["awaited"] for line in talking.lines(published))


def test_one_subscription_fails_without_the_others(talking: Talk) -> None:
    async def publish() -> Message:
        return await talking.bus.publish("orders.eu.created", {"fails": 9})

    published = talking.run(publish())
    talking.await_lines(published, "created", 2)
    [letter] = talking.await_letters(1)
    assert (letter.message_id, letter.agent_id) == (
        published.message_id,
        "agent-talker",
    )
    assert (letter.pattern, letter.reason) == ("orders.*.created", "FAILED")
    assert (letter.attempts, letter.message) == (2, published)
    talking.await_lines(published, "order", 2)
    assert len(talking.lines(published)) == 4

    # It is sent again for that subscription alone.
    talking.run(talking.bus.redrive([letter.letter_id]))
    talking.await_lines(published, "created", 3)
    wait_until(lambda: [one.deaths for one in talking.letters()] == [2], "it is back")
    assert len(talking.lines(published, "order")) == 2


def test_what_a_message_leads_to_names_it_as_its_cause(talking: Talk) -> None:
    async def publish() -> Message:
        return await talking.bus.publish(
            "sagas.start", {"n": 1}, correlation_id="a conversation"
        )

    published = talking.run(publish())
    talking.await_lines(published, f"told a conversation {published.message_id}")
    [saga] = talking.bus.saga_index.find()
    store = EventStore(talking.bus.sagas.db.engine)
    started = store.read_stream(f"saga-{saga.saga_id}")[0]
    assert str(started.causation_id) == published.message_id
    assert started.metadata["conversation"] == "a conversation"
    assert started.metadata["message"] == published.message_id


def test_what_is_no_topic_is_refused(talking: Talk) -> None:
    for topic in ("", "a..b", "a.*", "a b"):
        with pytest.raises(InvalidTopic):
            talking.run(talking.bus.publish(topic))
    for pattern in ("", "a..b", "a b", "a.b*"):
        with pytest.raises(InvalidTopic):
            talking.bus.subscribe(pattern)
    # Nobody listens, and that is fine.
    assert talking.run(talking.bus.publish("nobody.listens")).message_id
    asyncio.run(asyncio.sleep(0))
