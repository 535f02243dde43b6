"""Routing and scatter-gather on real workers: every strategy, and what fails."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from eventstore.verify import verify
from orchestration.agent_registry import AgentRegistry
from orchestration.core.registry.model import AgentStatus
from orchestration.errors import (
    AggregationConflict,
    AllUnhealthy,
    InsufficientResponses,
    NoRoute,
    NoTargetAvailable,
    RoutingError,
    UnknownRecipient,
    UnknownTarget,
)
from orchestration.message_bus import Message
from orchestration.routing import (
    AffinitySettings,
    AgentView,
    AggregationStrategy,
    DispatchResult,
    MessageRouter,
    Report,
    RoutingStrategy,
    ScatterGather,
)
from orchestration.scatter import (
    HedgeSettings,
    ScatterEnd,
    ScatterResult,
    aggregator,
)
from tests.support.front import Front
from tests.support.routing_front import (
    LASTING,
    TARGETS,
    Hosted,
    OwnTime,
    asked,
    by_agent,
    request,
    rule,
    with_router,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

MODULES = "tests.support.scatter_agents"

Gate = Callable[[], Path]


@pytest.fixture
def own_time(monkeypatch: pytest.MonkeyPatch) -> OwnTime:
    """The time that routers go by, from now on."""
    own_time = OwnTime()
    monkeypatch.setattr("orchestration.engine.routing.time", own_time)
    return own_time


@pytest.fixture
def scatter(front: Front) -> ScatterGather:
    return scattering(front)


def scattering(front: Front, **options: Any) -> ScatterGather:
    return ScatterGather(SimpleNamespace(message_bus=front.bus), **options)


def says(*values: Mapping[str, Any], **more: Any) -> Message:
    """Return a request that the targets answer with these values."""
    return request(says=dict(zip(TARGETS, values, strict=True)), **more)


def run(scatter: ScatterGather, asked: Message, **options: Any) -> ScatterResult:
    options.setdefault("timeout_ms", 60_000)
    options.setdefault("target_agents", TARGETS)
    return asyncio.run(scatter.execute_detailed(asked, **options))


def value(scatter: ScatterGather, asked: Message, strategy: str, **options: Any) -> Any:
    result = run(scatter, asked, aggregation_strategy=strategy, **options)
    return result.value


# --- routing


def test_round_robin_routing(front: Front) -> None:
    results = with_router(front, lambda router: asked(router, 9), rule("ROUND_ROBIN"))
    assert by_agent(results) == dict.fromkeys(TARGETS, 3)
    assert all(one.targets == (one.answered_by,) for one in results)


def test_least_loaded_routing(front: Front) -> None:
    async def act(router: MessageRouter) -> list[DispatchResult]:
        for agent_id, queue in zip(TARGETS, (9, 0, 9), strict=True):
            router.loads.tell(agent_id, Report(queue), at=time.monotonic())
        return await asked(router, 4)

    options = {"view": Hosted(*map(AgentView, TARGETS)), "with_": {"loads": LASTING}}
    assert by_agent(with_router(front, act, rule(), **options)) == {"agent-b": 4}


def test_weighted_random_routing(front: Front) -> None:
    async def act(router: MessageRouter) -> Counter[str]:
        counts: Counter[str] = Counter()
        for _ in range(40):
            for agent_id, queue in zip(TARGETS, (0, 10, 10), strict=True):
                router.loads.tell(agent_id, Report(queue), at=time.monotonic())
            counts.update(await router.route(request()))
        return counts

    options = {
        "view": Hosted(*map(AgentView, TARGETS)),
        "rng": random.Random(3),
        "with_": {"loads": LASTING},
    }
    counts = with_router(front, act, rule("WEIGHTED_RANDOM"), **options)
    assert counts["agent-a"] > counts["agent-b"] + counts["agent-c"]


def test_content_based_routing(front: Front) -> None:
    view = Hosted(*map(AgentView, TARGETS), steel=["agent-b"], energy=["agent-c"])
    by_content = rule("CONTENT_BASED")

    async def act(router: MessageRouter) -> list[str]:
        found = [
            (await asked(router, 1, task_type=kind))[0].answered_by
            for kind in ("steel", "energy")
        ]
        with pytest.raises(NoTargetAvailable, match="capability 'water'"):
            await router.dispatch(request(task_type="water"))
        return found

    assert with_router(front, act, by_content, view=view) == ["agent-b", "agent-c"]


def test_priority_based_routing(front: Front) -> None:
    view = Hosted(
        *(
            AgentView(agent_id, health=health)
            for agent_id, health in zip(TARGETS, (0.81, 1.0, 0.9), strict=True)
        )
    )

    async def act(router: MessageRouter) -> list[Counter[str]]:
        return [
            by_agent(await asked(router, 4, priority=priority))
            for priority in ("CRITICAL", "LOW")
        ]

    urgent, others = with_router(front, act, rule("PRIORITY_BASED"), view=view)
    assert set(urgent) == {"agent-b", "agent-c"}
    assert set(others) == {"agent-a"}


def test_affinity_routing(front: Front) -> None:
    keys = [f"session-{number}" for number in range(12)]

    async def act(router: MessageRouter) -> list[str]:
        found = []
        for key in keys:
            results = await asked(router, 2, headers={"affinity_key": key})
            assert len(by_agent(results)) == 1
            found.append(results[0].answered_by)
        return found

    first = with_router(front, act, rule("AFFINITY"))
    assert with_router(front, act, rule("AFFINITY")) == first  # of another process
    assert set(first) == {*TARGETS}


def test_affinity_expires(front: Front, own_time: OwnTime) -> None:
    brief = AffinitySettings(idle_s=0.1)
    view = Hosted(*map(AgentView, TARGETS))

    async def act(router: MessageRouter) -> None:
        asked_for = request(headers={"affinity_key": "s"})
        before = await router.route(asked_for)
        view.have(AgentView("agent-spare"))
        assert (await router.explain(asked_for))["method"] == "HELD"
        own_time.passes(0.15)
        assert (await router.explain(asked_for))["method"] == "RING"
        assert before[0] in TARGETS

    with_router(front, act, rule("AFFINITY"), view=view, with_={"affinity": brief})


def test_broadcast_routing(front: Front, folder: Path) -> None:
    async def act(router: MessageRouter) -> tuple[DispatchResult, DispatchResult]:
        [answered] = await asked(router, 1, fails=["agent-b"])
        begun = folder / f"begun-{uuid4().hex}"
        begun.mkdir()
        command = request(message_type="COMMAND", begun=str(begun))
        sent = await router.dispatch(command)
        await asyncio.to_thread(
            wait_until, lambda: len([*begun.iterdir()]) == 3, "each has it"
        )
        return answered, sent

    answered, sent = with_router(front, act, rule("BROADCAST"))
    assert (answered.targets, answered.acked) == (TARGETS, 2)
    assert set(answered.replies) == {"agent-a", "agent-c"}
    assert answered.errors == {"agent-b": answered.errors["agent-b"]}
    assert (sent.targets, sent.acked, sent.errors) == (TARGETS, 3, {})


def test_failover_cascade(front: Front) -> None:
    view = Hosted(AgentView("agent-a", location="eu"), AgentView("agent-b"))
    view.have(AgentView("agent-c", AgentStatus.DEGRADED))
    order = rule("FAILOVER", locations=["eu"])

    async def act(router: MessageRouter) -> list[str]:
        found = []
        for leaves in ("", "agent-a", "agent-b"):
            if leaves:
                view.have(AgentView(leaves, AgentStatus.INACTIVE))
            [one] = await asked(router, 1)
            found.append(one.answered_by)
        view.have(AgentView("agent-c", AgentStatus.INACTIVE))
        with pytest.raises(AllUnhealthy):
            await router.dispatch(request())
        return found

    assert with_router(front, act, order, view=view) == [*TARGETS]


def test_consistent_hash_routing(front: Front) -> None:
    keys = [f"supplier-{number}" for number in range(60)]

    async def act(router: MessageRouter) -> dict[str, str]:
        return {key: (await router.route(request(supplier=key)))[0] for key in keys}

    by_key = rule("CONSISTENT_HASH", key="supplier")
    all_three = with_router(front, act, by_key)
    assert with_router(front, act, by_key) == all_three
    two = with_router(
        front, act, rule("CONSISTENT_HASH", key="supplier", targets=TARGETS[:2])
    )
    moved = {key for key in keys if two[key] != all_three[key]}
    assert moved >= {key for key in keys if all_three[key] == "agent-c"}
    assert len(moved) < 40


def test_predictive_routing(front: Front) -> None:
    async def act(router: MessageRouter) -> Counter[str]:
        # Slower than the host makes the third if it stands still for seconds.
        slow = {"agent-a": 4.0, "agent-b": 4.0}
        await asked(router, 9, sleeps=slow)
        return by_agent(await asked(router, 12, sleeps=slow))

    counts = with_router(front, act, rule("PREDICTIVE"), rng=random.Random(3))
    assert counts["agent-c"] >= 8


def test_route_cache_hit(front: Front) -> None:
    registry = CollectorRegistry()

    async def act(router: MessageRouter) -> dict[str, int]:
        for _ in range(10):
            await router.route(request())
        router.add_route_rule(rule(name="other", priority=1, targets=["agent-a"]))
        for _ in range(10):
            await router.route(request())
        return router.cache_stats

    # Nobody comes or goes meanwhile, which would be looked up anew.
    options = {"view": Hosted(*map(AgentView, TARGETS)), "registry": registry}
    stats = with_router(front, act, rule("ROUND_ROBIN"), **options)
    assert stats == {"hits": 18, "misses": 2, "corrupt": 0}
    assert registry.get_sample_value("routing_cache_hits_total") == 18


def test_rules_are_asked_in_the_order_of_priority_before_static_routes(
    front: Front,
) -> None:
    async def act(router: MessageRouter) -> list[str]:
        router.add_static_route("calculator", ["agent-c"])
        sent = [request(kind="x", n=2), request(kind="x", n=1), request()]
        return [(await router.dispatch(one)).answered_by for one in sent]

    low = rule(name="low", condition="payload['kind'] == 'x'", targets=["agent-a"])
    high = rule(
        name="high", priority=9, condition="payload['n'] > 1", targets=["agent-b"]
    )
    assert with_router(front, act, low, high) == ["agent-b", "agent-a", "agent-c"]


async def candidates_of(router: MessageRouter) -> object:
    """Return the agents among which it chooses; none while it knows of none."""
    try:
        return (await router.explain(request()))["candidates"]
    except RoutingError:
        return None


def test_agents_are_found_by_capability_and_shared_by_their_heartbeats(
    front: Front,
) -> None:
    able = rule(capability="answers", condition="'task_type' not in payload")
    by_content = rule("CONTENT_BASED", name="c", capability="answers")

    async def act(router: MessageRouter) -> None:
        async with AgentRegistry(front.bus) as registry:
            everybody = [*TARGETS, "agent-spare"]
            async with asyncio.timeout(60):  # the worker registers them one by one
                while await candidates_of(router) != everybody:
                    await asyncio.sleep(0.05)
            asked_for = request(task_type="is-agent-c")
            assert (await router.dispatch(asked_for)).answered_by == "agent-c"
            told = await router.explain(request())

            def is_by_loads() -> bool:
                # Whether loads are old is looked at once a second.
                return bool(
                    told["method"] == "SCAN"
                    and told["loads"]["agent-a"] >= 1
                    and told["staleness_s"] <= 2
                )

            async with asyncio.timeout(60):
                while not is_by_loads():
                    for agent_id, queue in zip(everybody, (30, 30, 0, 30), strict=True):
                        await registry.heartbeat(agent_id, {"queue_size": queue})
                    await asyncio.sleep(0.05)
                    told = await router.explain(request())
            assert told["targets"] == ["agent-c"]

    with_router(front, act, able, by_content)


def test_what_has_no_way_is_refused_by_name(front: Front) -> None:
    async def act(router: MessageRouter) -> None:
        with pytest.raises(NoRoute, match="'nobody'"):
            await router.dispatch(request("nobody"))
        with pytest.raises(UnknownTarget, match="agent-nobody"):
            await router.dispatch(request())
        assert (await router.dispatch(request("agent-a"))).answered_by == "agent-a"

    only = rule(condition="recipient_id == 'calculator'", targets=["agent-nobody"])
    with_router(front, act, only)


def test_explain_tells_what_the_next_message_would_get(front: Front) -> None:
    async def act(router: MessageRouter) -> None:
        for _ in range(5):
            told = await router.explain(request())
            again = await router.explain(request())
            assert told["targets"] == again["targets"] == await router.route(request())
        assert json.loads(json.dumps(told)) == told
        assert told["candidates"] == [*TARGETS]
        assert "in turn" in told["reason"]

    with_router(front, act, rule("ROUND_ROBIN"))


def test_decisions_go_on_record_and_are_decided_again_to_the_same_agents(
    front: Front,
) -> None:
    strategies = [one for one in RoutingStrategy if one != "CONTENT_BASED"]
    rules = [
        rule(one, name=one, condition=f"payload['by'] == '{one}'") for one in strategies
    ]

    async def act(router: MessageRouter) -> None:
        for number in range(10_000):
            by = strategies[number % len(strategies)]
            headers = {"affinity_key": f"k{number % 97}"}
            if number % 100 == 0:
                for agent_id in TARGETS:
                    queue = Report(random.Random(number).randrange(9))
                    router.loads.tell(agent_id, queue, at=time.monotonic())
            await router.route(request(by=str(by), headers=headers))
        await asyncio.to_thread(
            wait_until,
            lambda: router.record_stats["recorded"] == 10_000,
            "all kept",
            timeout_s=200,
        )
        assert router.record_stats["dropped"] == 0
        replayed = await router.replay()
        assert (replayed.count, replayed.differences) == (10_000, ())

    with_router(front, act, *rules, with_={"record_rate": 1.0})
    assert not verify(front.bus.sagas.db.engine).failures


# --- scatter-gather


def test_scatter_gather_all(scatter: ScatterGather) -> None:
    asked = says({"n": 1}, {"n": 2}, {"n": 3})
    result = run(scatter, asked, aggregation_strategy=AggregationStrategy.ALL)
    assert result.value == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert result.end is ScatterEnd.COMPLETE
    assert sorted(one.target for one in result.answers) == [*TARGETS]
    assert all(0 < one.after_ms <= result.duration_ms for one in result.answers)


def test_scatter_gather_majority_vote(scatter: ScatterGather) -> None:
    asked = says({"ok": True, "n": 1}, {"ok": False}, {"n": 1.0, "ok": True})
    assert value(scatter, asked, "MAJORITY_VOTE") == {"ok": True, "n": 1}


def test_scatter_gather_average(scatter: ScatterGather) -> None:
    asked = says(*({"kg": kg, "unit": "t"} for kg in (1, 2.5, 4)))
    assert value(scatter, asked, "AVERAGE") == {"kg": 2.5, "unit": "t"}


def test_scatter_gather_merge(scatter: ScatterGather) -> None:
    asked = says({"a": {"x": 1}}, {"a": {"y": 2}}, {"b": 3, "a": {}})
    assert value(scatter, asked, "MERGE") == {"a": {"x": 1, "y": 2}, "b": 3}
    asked = says({"a": 1}, {"a": 2}, {})
    with pytest.raises(AggregationConflict, match=r"'a' differs: agent-a .* agent-b"):
        value(scatter, asked, "MERGE")
    assert value(scatter, asked, "MERGE", on_conflict="LAST") == {"a": 2}


def test_scatter_gather_custom(scatter: ScatterGather) -> None:
    name = f"spread-{uuid4()}"

    @aggregator(name)
    def spread(responses: Mapping[str, Any]) -> float:
        found = [one["n"] for one in responses.values()]
        return max(found) - min(found)

    asked = says({"n": 1}, {"n": 5}, {"n": 3})
    assert value(scatter, asked, "CUSTOM", aggregator=name) == 4
    assert value(scatter, asked, "CUSTOM", aggregator=list) == [*TARGETS]


def test_scatter_gather_first_waits_for_nobody_else(
    scatter: ScatterGather, gate: Gate
) -> None:
    shut = gate()
    # The last one answers: once there is an answer, who is left is not asked any more.
    asked = says(
        {"n": 1}, {"n": 2}, {"n": 3}, waits={"agent-a": str(shut), "agent-b": str(shut)}
    )
    result = run(scatter, asked, aggregation_strategy="FIRST")
    shut.touch()
    assert (result.value, result.end) == ({"n": 3}, ScatterEnd.DECIDED)
    wait_until(lambda: scatter.replies["late"] == 2, "the others come late")


def test_each_target_is_asked_by_a_task_of_its_own_in_one_group(
    scatter: ScatterGather,
) -> None:
    result = run(scatter, request())
    tasks = {one["task"] for one in result.value}
    assert len(tasks) == 3
    assert len({one["group"] for one in result.value} - {None}) == 1
    assert tasks == {one["asked"] for one in result.value}
    for target, (request_id,) in result.request_ids.items():
        assert result.responses[target]["task"] == request_id


def test_a_hung_agent_costs_its_answer_and_no_more(
    scatter: ScatterGather, gate: Gate
) -> None:
    hung = gate()
    asked = says({"n": 2}, {"n": 4}, {"n": 100}, waits={"agent-c": str(hung)})
    result = run(
        scatter,
        asked,
        aggregation_strategy="AVERAGE",
        timeout_ms=10_000,  # more than the two others take on any host
        min_responses=2,
    )
    assert result.value == {"n": 3}
    # The worker interrupts what hangs at the deadline, and may be heard just in time.
    assert result.end in (ScatterEnd.DEADLINE, ScatterEnd.COMPLETE)
    wait_until(
        lambda: scatter.replies["late"] + scatter.replies["error"] == 1,
        "the interruption is heard of",
    )
    assert scatter.replies["ok"] == 2


def test_a_vote_is_over_when_the_rest_can_change_nothing(
    scatter: ScatterGather, gate: Gate
) -> None:
    hung, begun = gate(), gate()
    begun.mkdir()
    # Two answer when the third is at work: before, it might not be asked any more.
    waits = dict.fromkeys(TARGETS, str(begun / "agent-c")) | {"agent-c": str(hung)}
    asked = says({"n": 1}, {"n": 1}, {"n": 2}, waits=waits, begun=str(begun))
    result = run(scatter, asked, aggregation_strategy="MAJORITY_VOTE")
    hung.touch()
    assert (result.value, result.end) == ({"n": 1}, ScatterEnd.DECIDED)
    wait_until(lambda: scatter.replies["late"] == 1, "the answer comes late")


def test_too_few_answers_are_told_with_what_there_is(
    scatter: ScatterGather, gate: Gate
) -> None:
    hung = gate()
    asked = says(
        {"n": 2}, {"n": 4}, {"n": 6}, waits={"agent-c": str(hung)}, fails=["agent-b"]
    )
    with pytest.raises(InsufficientResponses) as refused:
        run(scatter, asked, timeout_ms=10_000, min_responses=2)
    hung.touch()
    result = refused.value.result
    assert refused.value.responses == {"agent-a": {"n": 2}}
    errors = dict(result.errors)
    assert errors.pop("agent-b") == "ValueError: agent-b cannot"
    # That the worker interrupts what hangs may be heard just in time.
    assert (*result.missing, *errors) == ("agent-c",)
    assert all("StepTimedOut" in one for one in errors.values())


def test_nobody_is_waited_for_once_too_few_can_answer(
    scatter: ScatterGather, gate: Gate
) -> None:
    hung = gate()
    asked = request(fails=["agent-a", "agent-b"], waits={"agent-c": str(hung)})
    with pytest.raises(InsufficientResponses) as refused:
        run(scatter, asked, min_responses=2)
    hung.touch()
    assert refused.value.result.end is ScatterEnd.HOPELESS


def test_a_target_that_nobody_hosts_is_refused_before_anything_is_sent(
    scatter: ScatterGather,
) -> None:
    with pytest.raises(UnknownRecipient, match="has ever announced agent-nobody"):
        run(scatter, request(), target_agents=["agent-a", "agent-nobody"])


def test_a_slow_request_is_sent_once_more_to_a_spare(front: Front, gate: Gate) -> None:
    # When the others have answered, on any host: who has not is sent to once more.
    eager = HedgeSettings(share=1.0, min_samples=6, min_delay_s=5.0)
    scatter = scattering(front, hedging=eager)
    for _ in range(2):
        run(scatter, request())
    hung = gate()
    asked = request(
        says={name: {"by": name} for name in (*TARGETS, "agent-spare")},
        waits={"agent-b": str(hung)},
    )
    result = run(scatter, asked, hedge_agents=["agent-spare"])
    hung.touch()
    assert result.responses == {
        "agent-a": {"by": "agent-a"},
        "agent-b": {"by": "agent-spare"},
        "agent-c": {"by": "agent-c"},
    }
    assert result.hedges >= 1
    wait_until(lambda: scatter.replies["duplicate"] >= 1, "the slow answer comes")
