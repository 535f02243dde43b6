"""Keys keep their variants; copies of messages change no answer."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.messaging.model import Message, MessageType
from orchestration.core.routing.split import Mirror, Split, is_mirrored
from orchestration.errors import ConfigurationError

SAME_SPLIT = """
from orchestration.core.routing.split import Split
split = Split(name="checkout", weights={"c": 1, "b": 1, "a": 1})
print("".join(split.variant(f"customer-{n}") for n in range(24)))
"""
KEYS = [f"customer-{n}" for n in range(100_000)]


def test_shares_are_within_one_percent_over_a_hundred_thousand_keys() -> None:
    split = Split(name="checkout", weights={"a": 70, "b": 20, "c": 10, "off": 0})
    counts = Counter(split.variant(key) for key in KEYS)
    assert counts["off"] == 0
    for variant, share in (("a", 0.7), ("b", 0.2), ("c", 0.1)):
        assert abs(counts[variant] / len(KEYS) - share) <= 0.01


def test_a_change_of_weights_moves_only_the_keys_that_must_move() -> None:
    before = Split(name="checkout", weights={"a": 90, "b": 10})
    after = Split(name="checkout", weights={"a": 80, "b": 20})
    keys = KEYS[:20_000]
    moves = Counter((before.variant(key), after.variant(key)) for key in keys)
    assert moves["b", "a"] == 0
    assert abs(moves["a", "b"] / len(keys) - 0.1) <= 0.01


def test_experiments_are_independent_of_each_other() -> None:
    one = Split(name="one", weights={"a": 1, "b": 1})
    other = Split(name="other", weights={"a": 1, "b": 1})
    both = Counter((one.variant(key), other.variant(key)) for key in KEYS[:20_000])
    assert all(abs(count / 20_000 - 0.25) <= 0.02 for count in both.values())


def test_variants_are_the_same_in_every_process_and_version() -> None:
    # A golden mapping: to change it moves the users of every running experiment.
    split = Split(name="checkout", weights={"a": 1, "b": 1, "c": 1})
    found = "".join(split.variant(f"customer-{n}") for n in range(24))
    assert found == "abbacbbbcccbbbbabcbcaaca"
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            SAME_SPLIT,
        ],
        env={"PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == found


@given(
    st.dictionaries(st.text(max_size=5), st.floats(0.1, 10), min_size=1, max_size=5),
    st.text(max_size=10),
    st.floats(0.1, 10),
)
def test_a_grown_weight_takes_keys_and_gives_none_away(
    weights: dict[str, float], key: str, factor: float
) -> None:
    grown = min(weights)
    before = Split(name="x", weights=weights).variant(key)
    after = Split(
        name="x", weights={**weights, grown: weights[grown] * (1 + factor)}
    ).variant(key)
    assert after in {before, grown}


def request(message_id: str, **more: object) -> Message:
    return Message(
        sender_id="agent-1",
        recipient_id="agent-2",
        message_type=MessageType.REQUEST,
        payload={"x": 1},
        message_id=message_id,
        **more,
    )


def test_the_share_of_copied_messages_is_within_one_percent() -> None:
    mirror = Mirror(name="canary", target="agent-9", share=0.2)
    copied = sum(mirror.copy_of(request(key)) is not None for key in KEYS[:30_000])
    assert abs(copied / 30_000 - 0.2) <= 0.01


def test_a_copy_goes_to_the_shadow_in_a_conversation_of_its_own() -> None:
    message = request("m-1", headers={"location": "eu"}, correlation_id="c-1")
    copy = Mirror(name="canary", target="agent-9", share=1.0).copy_of(message)
    assert copy is not None
    assert copy.recipient_id == "agent-9"
    assert copy.payload == message.payload
    assert copy.headers["location"] == "eu"
    assert copy.causation_id == "m-1"
    assert copy.message_id != "m-1"
    assert copy.correlation_id != "c-1"
    assert message == request("m-1", headers={"location": "eu"}, correlation_id="c-1")


def test_mirroring_changes_no_answer_even_if_the_shadow_lies_or_is_faster() -> None:
    mirror = Mirror(name="canary", target="agent-9", share=0.5)

    def answers_with(mirrors: list[Mirror]) -> dict[str | None, object]:
        got: dict[str | None, object] = {}
        for n in range(1_000):
            message = request(f"m-{n}")
            copies = [copy for each in mirrors if (copy := each.copy_of(message))]
            for asked in [*copies, message]:
                shadow = asked.recipient_id == "agent-9"
                answer = Message(
                    sender_id=asked.recipient_id,
                    recipient_id=asked.sender_id,
                    message_type=MessageType.RESPONSE,
                    payload={"answer": "a lie" if shadow else n},
                    correlation_id=asked.correlation_id,
                )
                if not is_mirrored(answer):
                    assert answer.correlation_id not in got
                    got[answer.correlation_id] = answer.payload["answer"]
        return got

    assert answers_with([mirror]) == answers_with([])


def test_a_copy_is_not_copied_again() -> None:
    mirror = Mirror(name="canary", target="agent-9", share=1.0)
    copy = mirror.copy_of(request("m-1"))
    assert copy is not None
    assert mirror.copy_of(copy) is None


def test_a_message_sent_twice_gives_one_copy_by_its_id() -> None:
    mirror = Mirror(name="canary", target="agent-9", share=1.0)
    assert mirror.copy_of(request("m-1")) == mirror.copy_of(request("m-1"))


def test_nothing_is_copied_at_share_zero() -> None:
    mirror = Mirror(name="canary", target="agent-9", share=0.0)
    assert all(mirror.copy_of(request(key)) is None for key in KEYS[:1_000])


@pytest.mark.parametrize(
    "weights", [{}, {"a": 0}, {"a": -1, "b": 1}, {"a": float("nan")}]
)
def test_weights_that_share_nothing_out_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=r"weight"):
        Split(name="checkout", weights=weights)


def test_a_share_beyond_all_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"share is 1\.1"):
        Mirror(name="canary", target="agent-9", share=1.1)
