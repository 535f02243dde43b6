"""A scatter on its way, with agents in memory that answer, fail, or say nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from orchestration.core.messaging.delivery import answer, error_answer
from orchestration.core.messaging.model import Message
from orchestration.errors import (
    AggregationConflict,
    ConfigurationError,
    InsufficientResponses,
    InvalidScatter,
    NoHandler,
    OrchestrationError,
    PayloadTooLarge,
    TransportError,
    UnknownRecipient,
)
from orchestration.scatter import (
    HedgeSettings,
    ScatterEnd,
    ScatterGather,
    ScatterResult,
    aggregator,
)
from tests.support.waiting import wait_until

REQUEST = Message(
    sender_id="test",
    recipient_id="calculator",
    message_type="REQUEST",
    payload={"n": 2},
)
SILENT = object()
ENOUGH_MS = 4_000
"""In which all are asked and have answered, on a host that stands still for seconds."""


class Agents:
    """A desk whose agents are in memory; ``says`` has what each answers.

    A value is its answer, an error its own, ``SILENT`` none until ``reply``.
    """

    def __init__(self, **says: Any) -> None:
        self.says = {name.replace("_", "-"): what for name, what in says.items()}
        self.asked: list[Message] = []
        self.groups: set[str] = set()
        self.open: dict[str, tuple[Message, Future[Message]]] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.announcements = self

    def now_ms(self) -> int:
        return round(1_000 * time.time())

    def ask(
        self, requests: Sequence[Message], *, group_id: str
    ) -> list[Future[Message]]:
        self.gate.wait()
        (request,) = requests
        self.groups.add(group_id)
        self.asked.append(request)
        says = self.says[request.recipient_id]
        if isinstance(says, OrchestrationError):
            raise says
        future: Future[Message] = Future()
        self.open[request.message_id] = (request, future)
        if says is not SILENT:
            self.reply(request, says)
        return [future]

    def reply(self, request: Message, says: Any) -> None:
        _, future = self.open.pop(request.message_id)
        who = request.recipient_id
        if isinstance(says, Exception):
            kind = type(says).__name__
            future.set_result(error_answer(request, who, kind, str(says)))
        else:
            future.set_result(answer(request, who, says))

    def unknown(self, wanted: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        return tuple(
            pair for pair in wanted if pair[0] == "deaf" or pair[0] not in self.says
        )

    def knows(self, agent_id: str) -> bool:
        return agent_id in self.says


def scattering(agents: Agents, hedging: HedgeSettings | None = None) -> ScatterGather:
    bus = SimpleNamespace(messages=agents)
    return ScatterGather(SimpleNamespace(message_bus=bus), hedging=hedging)


def run(agents: Agents, strategy: str = "ALL", **options: Any) -> ScatterResult:
    targets = options.pop("targets", list(agents.says))
    call = scattering(agents).execute_detailed(
        options.pop("request", REQUEST), targets, strategy, **options
    )
    return asyncio.run(call)


def test_each_target_gets_a_copy_of_its_own_with_the_one_deadline() -> None:
    agents = Agents(a_1=1, a_2={"result": 2})
    result = run(agents, timeout_ms=60_000)
    assert result.value == [{"result": 1}, {"result": 2}]
    first, second = agents.asked
    assert (first.recipient_id, second.recipient_id) == ("a-1", "a-2")
    assert first.message_id != second.message_id
    assert result.request_ids == {
        "a-1": (first.message_id,),
        "a-2": (second.message_id,),
    }
    assert {one.correlation_id for one in agents.asked} == {REQUEST.correlation_id}
    assert {one.causation_id for one in agents.asked} == {REQUEST.message_id}
    assert [one.payload for one in agents.asked] == [{"n": 2}, {"n": 2}]
    assert first.deadline_ms is not None
    assert second.deadline_ms == first.deadline_ms
    assert len(agents.groups) == 1


def test_execute_returns_what_the_answers_come_to() -> None:
    scatter = scattering(Agents(a=1, b=2))
    value = asyncio.run(
        scatter.execute(
            request=REQUEST,
            target_agents=["a", "b"],
            aggregation_strategy="AVERAGE",
            timeout_ms=60_000,
            min_responses=2,
        )
    )
    assert value == {"result": 1.5}
    assert scatter.replies == {"ok": 2, "error": 0, "late": 0, "duplicate": 0}


def test_a_silent_agent_is_waited_for_until_the_deadline_only() -> None:
    agents = Agents(a=4, b=SILENT, c=6)
    result = run(agents, "AVERAGE", timeout_ms=ENOUGH_MS, min_responses=2)
    assert (result.value, result.end) == ({"result": 5}, ScatterEnd.DEADLINE)
    assert result.missing == ("b",)


def test_the_first_answer_is_enough_for_first() -> None:
    agents = Agents(a=SILENT, b={"x": 1}, c=SILENT)
    result = run(agents, "FIRST", timeout_ms=60_000)
    assert (result.value, result.end) == ({"x": 1}, ScatterEnd.DECIDED)
    # Nobody is asked any more once it is over.
    assert [one.recipient_id for one in agents.asked] == ["a", "b"]


def test_what_comes_after_the_end_is_dropped_and_counted() -> None:
    agents = Agents(a=SILENT, b={})
    scatter = scattering(agents)
    assert asyncio.run(scatter.execute(REQUEST, ["a", "b"], "FIRST")) == {}
    agents.reply(agents.asked[0], {"late": True})
    assert scatter.replies == {"ok": 1, "error": 0, "late": 1, "duplicate": 0}


def test_too_few_answers_are_an_error_that_carries_them() -> None:
    agents = Agents(a=1, b=ValueError("no factors"), c=SILENT)
    with pytest.raises(InsufficientResponses) as refused:
        run(agents, "AVERAGE", timeout_ms=ENOUGH_MS, min_responses=2)
    assert refused.value.responses == {"a": {"result": 1}}
    assert refused.value.result.errors == {"b": "ValueError: no factors"}
    assert refused.value.result.missing == ("c",)
    text = str(refused.value)
    assert text.startswith("1 of 3 agents answered within ")
    assert text.endswith(
        f"of {ENOUGH_MS} ms, and 2 must: b failed (ValueError: no factors); "
        "nothing was heard of c"
    )


def test_nobody_is_waited_for_once_too_few_can_answer() -> None:
    agents = Agents(a=ValueError(), b=KeyError(1), c=SILENT)
    with pytest.raises(InsufficientResponses) as refused:
        run(agents, timeout_ms=60_000, min_responses=2)
    assert refused.value.result.end is ScatterEnd.HOPELESS
    assert refused.value.result.errors == {"a": "ValueError: ", "b": "KeyError: 1"}


def test_a_request_that_the_broker_does_not_take_is_a_failure_of_its_target() -> None:
    agents = Agents(a=TransportError("the broker is away"), b=3)
    result = run(agents, min_responses=1)
    assert (result.value, result.errors) == (
        [{"result": 3}],
        {"a": "the broker is away"},
    )


def test_a_broker_that_hangs_does_not_move_the_deadline() -> None:
    agents = Agents(a=1, b=2)
    agents.gate.clear()

    async def call() -> None:
        try:
            with pytest.raises(InsufficientResponses) as refused:
                await scattering(agents).execute(
                    REQUEST, ["a", "b"], timeout_ms=ENOUGH_MS
                )
            assert refused.value.result.missing == ("a", "b")
        finally:
            agents.gate.set()  # else the loop waits for the thread at its end

    asyncio.run(call())
    assert len(agents.asked) == 1  # and what was still to be sent is not


def test_targets_that_nobody_knows_are_refused_before_anything_is_sent() -> None:
    agents = Agents(a=1, deaf=1)
    with pytest.raises(UnknownRecipient, match="has ever announced b, c: start one"):
        run(agents, targets=["a", "b", "deaf", "c"])
    with pytest.raises(NoHandler, match=r"deaf cannot take it \(@message\)"):
        run(agents, targets=["a", "deaf"])
    with pytest.raises(UnknownRecipient, match="announced d"):
        run(agents, targets=["a"], hedge_agents=["d"])
    assert agents.asked == []


def test_what_can_be_sent_to_nobody_is_an_error_of_the_call() -> None:
    agents = Agents(a=PayloadTooLarge("message m: 300000 bytes"), b=1)
    with pytest.raises(PayloadTooLarge):
        run(agents, min_responses=1)
    assert len(agents.asked) == 1


def test_a_deadline_of_the_request_cuts_the_time_short() -> None:
    with pytest.raises(InvalidScatter, match="the request's deadline passed"):
        run(Agents(a=1), request=REQUEST.evolved(deadline_ms=1_000))
    late = REQUEST.evolved(deadline_ms=32_503_680_000_000)
    assert run(Agents(a=1), request=late, timeout_ms=7_000).plan.timeout_ms == 7_000


def test_answers_that_contradict_each_other_are_not_lost() -> None:
    with pytest.raises(AggregationConflict) as refused:
        run(Agents(a={"x": "t"}, b={"x": "kg"}), "MERGE")
    assert refused.value.responses == {"a": {"x": "t"}, "b": {"x": "kg"}}
    merged = run(Agents(a={"x": "t"}, b={"x": "kg"}), "MERGE", on_conflict="last")
    assert merged.value == {"x": "kg"}
    vote = run(Agents(a=1, b=2), "MAJORITY_VOTE", on_tie="FIRST")
    assert vote.value == {"result": 1}


def test_a_function_of_ones_own_may_be_given_or_named() -> None:
    name = f"largest-{uuid4()}"

    @aggregator(name)
    def largest(responses: Mapping[str, Any]) -> Any:
        return max(responses, key=lambda who: responses[who]["result"])

    agents = Agents(a=1, b=3, c=2)
    assert run(agents, "CUSTOM", aggregator=name).value == "b"
    assert run(agents, "CUSTOM", aggregator=largest).value == "b"
    with pytest.raises(InvalidScatter, match="there is no aggregator 'smallest'"):
        run(agents, "CUSTOM", aggregator="smallest")
    with pytest.raises(ConfigurationError, match="is defined twice"):
        aggregator(name)(largest)


def test_a_caller_that_goes_away_leaves_late_replies_only() -> None:
    agents = Agents(a=SILENT)
    scatter = scattering(agents)

    async def call() -> None:
        waiting = asyncio.create_task(scatter.execute(REQUEST, ["a"]))
        while not agents.open:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(call())
    agents.reply(agents.asked[0], {})
    assert scatter.replies["late"] == 1


def test_scatters_are_timed_and_their_replies_counted() -> None:
    before = figures()
    run(Agents(a=1, b=ValueError("no")), min_responses=1)
    with pytest.raises(InsufficientResponses):
        run(Agents(a=1, b=ValueError("no")))
    assert [now - then for now, then in zip(figures(), before, strict=True)] == [
        2,
        2,
        2,
    ]


def figures() -> list[float]:
    """Return how many scatters have ended, and how many replies were ok, or errors."""
    told = REGISTRY.get_sample_value
    name = "scatter_gather_replies_total"
    return [
        told("scatter_gather_duration_ms_count") or 0,
        told(name, {"outcome": "ok"}) or 0,
        told(name, {"outcome": "error"}) or 0,
    ]


def test_replies_are_not_heard_of_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.scatter._TRAILS_S", -60.0)
    agents = Agents(a=SILENT, b={})
    scatter = scattering(agents)
    for _ in range(2):
        asyncio.run(scatter.execute(REQUEST, ["a", "b"], "FIRST", 10_000))
    first, _ = (future for _, future in agents.open.values())
    assert first.cancelled()
    assert scatter.replies["late"] == 0


def test_what_a_slow_broker_takes_after_the_end_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orchestration.scatter._TRAILS_S", 0.0)
    agents = Agents(a=SILENT, b={})
    scatter = scattering(agents)
    agents.gate.clear()

    async def call() -> None:
        try:
            with pytest.raises(InsufficientResponses):
                await scatter.execute(REQUEST, ["a"], timeout_ms=ENOUGH_MS)
        finally:
            agents.gate.set()

    asyncio.run(call())
    [(_, answer)] = agents.open.values()

    def is_let_go() -> bool:
        asyncio.run(scatter.execute(REQUEST, ["b"]))
        return answer.cancelled()

    wait_until(is_let_go, "nobody waits for it")


# -- second copies ---------------------------------------------------------------------

EAGER = HedgeSettings(share=1.0, min_samples=2, min_delay_s=ENOUGH_MS / 1_000)


def practised(agents: Agents) -> ScatterGather:
    """Return a scatter that has learned how long these agents take: no time."""
    scatter = scattering(agents, EAGER)
    says, agents.says = agents.says, {name: {} for name in agents.says}
    asyncio.run(scatter.execute(REQUEST, list(agents.says), timeout_ms=60_000))
    agents.says = says
    agents.asked.clear()
    return scatter


def test_who_is_slow_is_asked_again_through_a_spare() -> None:
    agents = Agents(a=1, b=SILENT, c=3, spare={"result": 2})
    scatter = practised(agents)
    call = scatter.execute_detailed(
        REQUEST, ["a", "b", "c"], "AVERAGE", hedge_agents=["spare"]
    )
    result = asyncio.run(call)
    assert (result.value, result.hedges) == ({"result": 2}, 1)
    assert [one.recipient_id for one in agents.asked] == ["a", "b", "c", "spare"]
    by_target = {one.target: one.agent_id for one in result.answers}
    assert by_target == {"a": "a", "b": "spare", "c": "c"}
    agents.reply(agents.asked[1], 7)
    assert scatter.replies["duplicate"] == 1


def test_without_a_spare_another_worker_of_the_target_is_asked() -> None:
    agents = Agents(a=1, b=SILENT)
    scatter = practised(agents)

    async def call() -> ScatterResult:
        waiting = asyncio.create_task(scatter.execute_detailed(REQUEST, ["a", "b"]))
        while len(agents.asked) < 3:
            await asyncio.sleep(0.001)
        agents.reply(agents.asked[2], {"result": 2})
        return await waiting

    result = asyncio.run(call())
    assert result.responses == {"a": {"result": 1}, "b": {"result": 2}}
    assert [one.recipient_id for one in agents.asked] == ["a", "b", "b"]


def test_nobody_is_asked_again_before_it_is_known_how_long_they_take() -> None:
    agents = Agents(a=1, b=SILENT)
    call = scattering(agents, EAGER).execute_detailed(
        REQUEST, ["a", "b"], timeout_ms=ENOUGH_MS, min_responses=1
    )
    result = asyncio.run(call)
    assert (result.hedges, len(agents.asked)) == (0, 2)


def test_no_more_are_asked_again_than_the_budget_has() -> None:
    agents = Agents(a=SILENT, b=SILENT, c=SILENT, d=SILENT)
    frugal = HedgeSettings(share=0.25, min_samples=4, min_delay_s=ENOUGH_MS / 1_000)
    scatter = scattering(agents, frugal)
    agents.says = {name: {} for name in agents.says}
    asyncio.run(scatter.execute(REQUEST, list(agents.says)))
    agents.says = dict.fromkeys(agents.says, SILENT)
    call = scatter.execute(REQUEST, list(agents.says), timeout_ms=2 * ENOUGH_MS)
    with pytest.raises(InsufficientResponses) as refused:
        asyncio.run(call)
    # A quarter of the eight that were sent.
    assert refused.value.result.hedges == 2
