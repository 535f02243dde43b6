"""The pure parts of messaging: topics, priorities, parcels, what follows a failure."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.messaging.delivery import (
    Dead,
    Reason,
    Retry,
    after_failure,
    answer,
    error_answer,
    redriven,
)
from orchestration.core.messaging.model import Message, MessageType, Priority
from orchestration.core.messaging.packing import Way, packed
from orchestration.core.messaging.priority import HIGHEST, STEPS, priority_number
from orchestration.core.messaging.topics import (
    check_pattern,
    check_topic,
    matches,
    redis_glob,
)
from orchestration.errors import InvalidMessage, InvalidTopic

URGENT_FIRST = [Priority.CRITICAL, Priority.HIGH, Priority.NORMAL, Priority.LOW]
words = st.sampled_from(["a", "b", "ab"])
topics = st.lists(words, min_size=1, max_size=5)
patterns = st.lists(words | st.sampled_from(["*", "#"]), min_size=1, max_size=5)


def message(**fields: object) -> Message:
    given = {"sender_id": "a", "recipient_id": "b", "message_type": "REQUEST"}
    return Message(**{**given, **fields})  # type: ignore[arg-type]


def stands_for(pattern: list[str], topic: list[str]) -> bool:
    """Say it by the definition, word by word."""
    if not pattern:
        return not topic
    head, rest = pattern[0], pattern[1:]
    if head == "#":
        return any(stands_for(rest, topic[n:]) for n in range(len(topic) + 1))
    return bool(topic) and head in ("*", topic[0]) and stands_for(rest, topic[1:])


def test_a_message_tells_all_that_is_wrong_with_it_when_it_is_made() -> None:
    with pytest.raises(InvalidMessage) as refused:
        message(
            sender_id=1,
            recipient_id="",
            message_type="SHOUT",
            priority="SOON",
            payload=[1],
            message_id="m",
            causation_id=3,
            deadline_ms="soon",
            headers={"x": 1},
        )
    for fault in (
        "message 'm' is none: ",
        "message_type: 'SHOUT' is no MessageType: use REQUEST",
        "priority: 'SOON' is no Priority: use CRITICAL",
        "sender_id is 1: give a text; it may be empty",
        "recipient_id is '': give a text",
        "causation_id is 3: give a text, or leave it out",
        "payload is a list: give an object",
        "deadline_ms is 'soon': give whole epoch milliseconds",
        "header 'x' is 1: give a text for both",
    ):
        assert fault in str(refused.value)
    assert refused.value.message_id == "m"


@pytest.mark.parametrize(
    "fields",
    [{"message_id": 7}, {"deadline_ms": True}, {"deadline_ms": 1.5}, {"headers": []}],
)
def test_no_field_of_a_message_is_of_another_kind(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidMessage, match=next(iter(fields))):
        message(**fields)


@given(patterns, topics)
def test_a_pattern_stands_for_topics_word_by_word(
    pattern: list[str], topic: list[str]
) -> None:
    text = ".".join(topic)
    assert matches(".".join(pattern), text) == stands_for(pattern, topic)


@given(patterns, topics)
def test_redis_lets_through_all_that_a_pattern_stands_for(
    pattern: list[str], topic: list[str]
) -> None:
    if stands_for(pattern, topic):
        glob, text = redis_glob(".".join(pattern)), ".".join(topic)
        is_open = glob.endswith("*")
        assert text.startswith(glob[:-1]) if is_open else text == glob


@pytest.mark.parametrize("text", ["", ".", "a.", "a..b", "a b", "a.*b", "x" * 256])
def test_what_is_no_topic_is_refused(text: str) -> None:
    for check in (check_topic, check_pattern):
        with pytest.raises(InvalidTopic, match="words"):
            check(text)


def test_a_pattern_is_no_topic() -> None:
    assert check_pattern("a.*.#") == "a.*.#"
    with pytest.raises(InvalidTopic):
        check_topic("a.*")


def test_each_broker_takes_what_is_urgent_first() -> None:
    redis = [priority_number(one, "rediss://x") for one in URGENT_FIRST]
    assert redis == [*STEPS]  # the lowest number first
    rabbitmq = [priority_number(one, "amqp://x") for one in URGENT_FIRST]
    assert all(before > after for before, after in pairwise(rabbitmq))
    assert rabbitmq[0] == HIGHEST


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 100_000)), max_size=600))
def test_parcels_hold_all_in_order_and_not_too_much(
    given_items: list[tuple[int, int]],
) -> None:
    ways = [Way(f"q{n}", Priority.NORMAL) for n in range(3)]
    items = [(ways[n], (n, size), size) for n, size in given_items]
    parcels = list(packed(items))
    for way, n in zip(ways, range(3), strict=True):
        held = [item for one in parcels if one.way == way for item in one.items]
        assert held == [item for item in given_items if item[0] == n]
    for parcel in parcels:
        assert len(parcel.items) <= 200
        sizes = [size for _, size in parcel.items]
        assert len(sizes) == 1 or sum(sizes) <= 131_072


def test_a_failure_is_tried_again_with_growing_waits_and_then_put_aside() -> None:
    command = message(message_type="COMMAND")
    follows = [after_failure(command, n, 3, now_ms=0) for n in (1, 2, 3)]
    assert follows == [Retry(500), Retry(2_000), Dead(Reason.FAILED)]
    assert after_failure(command, 1, 3, 0, is_retryable=False) == Dead(Reason.FAILED)
    assert after_failure(command, 1, 3, 0, wait_ms=7) == Retry(7)
    # No longer than a minute, and not beyond its deadline.
    assert after_failure(command, 9, 99, 0) == Retry(60_000)
    timed = command.evolved(deadline_ms=500)
    assert after_failure(timed, 1, 3, now_ms=0) == Dead(Reason.FAILED)
    assert after_failure(timed, 1, 3, now_ms=-1) == Retry(500)


def test_an_answer_belongs_to_its_request() -> None:
    request = message(correlation_id="c", priority="HIGH")
    reply = answer(request, "b", {"x": 1})
    assert (reply.sender_id, reply.recipient_id) == ("b", "a")
    assert (reply.correlation_id, reply.causation_id) == ("c", request.message_id)
    assert reply.message_type is MessageType.RESPONSE
    assert reply.priority is Priority.HIGH
    # The same for each delivery of the request.
    assert answer(request, "b", {"x": 1}) == reply
    assert answer(request, "b", None).payload == {}
    assert answer(request, "b", [1]).payload == {"result": [1]}
    error = error_answer(request, "b", "ValueError", "no")
    assert error.message_type is MessageType.ERROR
    assert error.payload == {"type": "ValueError", "message": "no"}


def test_what_is_sent_again_has_no_deadline_that_has_passed() -> None:
    late = message(deadline_ms=10)
    assert redriven(late, 10, None).deadline_ms is None
    assert redriven(late, 9, None) == late
    assert redriven(late, 10, 5).deadline_ms == 15
