"""Messages that cannot be delivered: why, what is told of them, and what follows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Celery

from eventstore import EventStore
from orchestration.adapters.dead_messages import stream_of_message
from orchestration.engine.retention import retire_ended
from tests.support.stack import Stack
from tests.support.talking import Talk, talk
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(params=["redis", "rabbitmq"])
def talking(
    request: pytest.FixtureRequest, stack: Stack, tmp_path: Path
) -> Iterator[Talk]:
    if request.param == "rabbitmq":
        stack.env["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    stack.env["EFFECTS_FILE"] = str(tmp_path / "effects")
    stack.worker("-I", "tests.support.talking_agents", "-c", "1")
    with talk(stack.env) as talking:
        yield talking


def test_why_messages_die(talking: Talk, stack: Stack, tmp_path: Path) -> None:
    # One that fails is tried again, as often as its handler says.
    fails = talking.command(fails=2)
    talking.send(fails)
    talking.await_lines(fails, "end")
    assert [one["attempt"] for one in talking.lines(fails, "begin")] == [1, 2, 3]
    for_good = talking.command(fails_for_good=True)
    always = talking.command(fails=9)
    talking.send(for_good, always)
    letters = {letter.message_id: letter for letter in talking.await_letters(2)}
    assert letters[for_good.message_id].attempts == 1
    assert letters[always.message_id].attempts == 3
    assert letters[always.message_id].error == {
        "type": "ValueError",
        "message": "attempt 3 fails",
    }
    assert {letter.reason for letter in letters.values()} == {"FAILED"}

    # One that hangs is interrupted.
    gate = tmp_path / "gate"
    hangs = talking.command("agent-hasty", gate=str(gate))
    talking.send(hangs)
    talking.await_lines(hangs, "begin", 2)
    gate.touch()
    talking.await_lines(hangs, "end")

    # One whose deadline passes while others are handled never begins.
    other_gate = tmp_path / "other gate"
    before = talking.command(gate=str(other_gate))
    talking.send(before)
    talking.await_lines(before, "begin")
    now_ms = talking.bus.messages.now_ms
    late = talking.command().evolved(deadline_ms=now_ms() + 6_000)
    talking.send(late)
    wait_until(lambda: now_ms() > (late.deadline_ms or 0) + 1_000, "its time is over")
    other_gate.touch()
    wait_until(lambda: talking.letters(reason="EXPIRED"), "it has expired")
    assert talking.letters(reason="EXPIRED")[0].message_id == late.message_id
    assert talking.lines(late) == []

    # What is no message at all, from a producer without this package.
    bare = Celery(broker=stack.env["CELERY_BROKER_URL"], set_as_current=False)
    queue = talking.bus.messages.sender._app.amqp.queues["agents.default"]
    for given in (
        {"items": "odd"},
        {"items": []},
        {"items": [{"agent_id": "agent-talker", "message": {"x": 1}}]},
        {"message": {"x": 1}},
        {},
    ):
        bare.send_task("agent.message", kwargs=given, queue=queue, priority=0)
    bare.close()
    wait_until(lambda: len(talking.letters(reason="MALFORMED")) == 5, "they are told")
    for letter in talking.letters(reason="MALFORMED"):
        assert letter.message is None
        assert talking.run(talking.bus.redrive([letter.letter_id])) == ()


def test_letters_are_looked_at_sent_again_and_given_up(talking: Talk) -> None:
    sent = [talking.command(fails_for_good=True, n=n) for n in range(5)]
    odd = talking.command(fails_for_good=True).evolved(
        message_id="no uuid: \0 \ud800 <&>"
    )
    talking.send(*sent, odd)
    talking.await_letters(6)

    # Pages, and filters.
    first = talking.run(talking.bus.dead_letters(limit=4))
    rest = talking.run(talking.bus.dead_letters(limit=4, after=first[-1]))
    assert len(first + rest) == 6
    ids = [letter.letter_id for letter in first + rest]
    assert ids == sorted(ids, reverse=True)
    assert talking.letters(agent_id="agent-quiet") == ()
    assert talking.letters(message_type="COMMAND", reason="failed") == first + rest
    [one] = talking.letters(message_id=sent[0].message_id)
    assert one.message == sent[0]
    with pytest.raises(ValueError, match="ODD"):
        talking.letters(reason="ODD")

    # Sent again, it dies again under the same number.
    redriven = talking.run(talking.bus.redrive([one.letter_id], by="ann", why="mended"))
    assert redriven == (one.letter_id,)
    wait_until(lambda: len(talking.letters()) == 6, "it is back")
    [again] = talking.letters(message_id=sent[0].message_id)
    assert (again.letter_id, again.deaths) == (one.letter_id, 2)

    # All that a filter finds; nothing is done twice, or to everything by mistake.
    with pytest.raises(ValueError, match="which letters"):
        talking.run(talking.bus.discard())
    given_up = talking.run(talking.bus.discard(agent_id="agent-talker", why="no use"))
    assert sorted(given_up) == sorted(ids)
    assert talking.run(talking.bus.discard(ids)) == ()
    assert talking.run(talking.bus.redrive(ids)) == ()
    assert len(talking.letters(state=None)) == 6

    # Its stream tells of it, the letter is forgotten.
    store = EventStore(talking.bus.sagas.db.engine)
    events = store.read_stream(stream_of_message(sent[0].message_id))
    assert [event.type for event in events] == [
        "MESSAGE_DEAD_LETTERED",
        "MESSAGE_REDRIVEN",
        "MESSAGE_DEAD_LETTERED",
        "MESSAGE_DISCARDED",
    ]
    assert events[0].data["item"]["message"] == sent[0].to_json()
    assert (events[1].actor, events[1].data["why"]) == ("ann", "mended")
    assert str(events[0].correlation_id) == sent[0].correlation_id
    assert store.read_stream(
        stream_of_message(talking.letters(state=None)[0].message_id)
    )
    assert retire_ended(talking.bus.letters.letters, 3_600) == 0
    time.sleep(0.01)
    assert retire_ended(talking.bus.letters.letters, 0.001) == 6
    assert talking.letters(state=None) == ()


def test_a_message_that_no_worker_of_its_pool_hosts_is_offered_for_a_while(
    talking: Talk, stack: Stack
) -> None:
    # Announced by a worker of another release.
    talking.bus.announcements.db.rows(
        "INSERT INTO orch.announcement (worker, kind, name, pool) VALUES "
        "('old', 'agent', 'agent-gone', 'default'), "
        "('old', 'listener', 'agent-gone/@message', 'default')"
    )
    message = talking.command("agent-gone").evolved(message_id=str(uuid4()))
    talking.send(message)
    worker = stack.started[0]
    wait_until(lambda: worker.log.count("'1 again'") >= 2, "it is offered again")
    assert talking.letters() == ()
