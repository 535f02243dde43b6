"""What the router does when agents fail, hang, join, or have had enough; end to end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from orchestration.errors import (
    AgentError,
    MessageExpired,
    NoTargetAvailable,
    RequestTimedOut,
    UnknownRecipient,
)
from orchestration.routing import (
    AgentView,
    BudgetSettings,
    DispatchResult,
    GeographySettings,
    HedgeSettings,
    MessageRouter,
    Rate,
    RouteRule,
    SlowStartSettings,
    Variant,
)
from tests.support.front import Front
from tests.support.routing_front import (
    AT_ONCE,
    QUICK,
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
PATIENT = BudgetSettings(share=1.0, floor=100)

Gate = Callable[[], Path]


@pytest.fixture
def own_time(monkeypatch: pytest.MonkeyPatch) -> OwnTime:
    """The time that routers go by, from now on."""
    own_time = OwnTime()
    monkeypatch.setattr("orchestration.engine.routing.time", own_time)
    return own_time


def test_a_failing_agent_is_left_out_and_comes_back(
    front: Front, own_time: OwnTime
) -> None:
    async def act(router: MessageRouter) -> None:
        # Its failures cost the callers nothing: others answer.
        ill = await asked(router, 12, fails=["agent-a"])
        assert set(by_agent(ill)) == {"agent-b", "agent-c"}
        assert sum("agent-a" in one.targets for one in ill) == 2
        assert (await router.explain(request()))["left_out"] == ["agent-a"]
        own_time.passes(QUICK.base_ejection_s)
        assert "agent-a" in by_agent(await asked(router, 3))
        assert (await router.explain(request()))["left_out"] == []
        assert by_agent(await asked(router, 9)) == dict.fromkeys(TARGETS, 3)

    with_router(
        front,
        act,
        rule("ROUND_ROBIN"),
        with_={"ejection": QUICK, "slow_start": AT_ONCE, "retries": PATIENT},
    )


def test_if_all_fail_the_floor_of_them_goes_on_being_asked(
    front: Front, own_time: OwnTime
) -> None:
    del own_time  # in which no ejection is over before the next request

    async def act(router: MessageRouter) -> None:
        for _ in range(8):
            with pytest.raises(AgentError, match=r"ValueError: agent-. cannot"):
                await asked(router, 1, fails=TARGETS)
        told = await router.explain(request())
        assert len(told["left_out"]) == 1
        assert told["panic"]
        assert (await asked(router, 1))[0].acked == 1

    with_router(front, act, rule("ROUND_ROBIN"), with_={"ejection": QUICK})


def test_an_agent_that_fails_costs_another_attempt_elsewhere(front: Front) -> None:
    order = rule("FAILOVER")
    [result] = with_router(
        front, lambda router: asked(router, 1, fails=TARGETS[:2]), order
    )
    assert result.targets == TARGETS
    assert (result.answered_by, result.retries, result.acked) == ("agent-c", 2, 1)
    assert set(result.errors) == {"agent-a", "agent-b"}
    assert result.reply is not None
    assert result.reply.payload["asked"] == f"{result.message_id}:2"


def test_one_attempt_is_one_attempt(front: Front) -> None:
    async def act(router: MessageRouter) -> None:
        with pytest.raises(AgentError) as refused:
            await asked(router, 1, max_attempts=1, fails=["agent-a"])
        assert refused.value.error_type == "ValueError"

    with_router(front, act, rule("FAILOVER"))


def test_retries_are_within_their_budget(front: Front) -> None:
    none = BudgetSettings(share=0.0, floor=1, window_s=60)

    async def act(router: MessageRouter) -> list[int]:
        [first] = await asked(router, 1, fails=["agent-a"])
        with pytest.raises(AgentError):
            await asked(router, 1, fails=["agent-a"])
        return [first.retries]

    assert with_router(front, act, rule("FAILOVER"), with_={"retries": none}) == [1]


def test_what_an_agent_refuses_for_good_is_asked_of_nobody_else(front: Front) -> None:
    async def act(router: MessageRouter) -> None:
        for _ in range(4):
            with pytest.raises(AgentError, match="NonRetryable") as refused:
                await asked(router, 1, refuses=["agent-a"])
            assert "agent-a" in str(refused.value)
        assert (await router.explain(request()))["left_out"] == []

    with_router(front, act, rule("FAILOVER"), with_={"ejection": QUICK})


def test_who_hangs_is_passed_over_within_the_deadline(front: Front, gate: Gate) -> None:
    hung = gate()

    async def act(router: MessageRouter) -> DispatchResult:
        waits = {"agent-a": str(hung)}
        # Each has eight seconds: one that does not hang answers in them on any host.
        [result] = await asked(
            router, 1, timeout_ms=48_000, max_attempts=6, waits=waits
        )
        return result

    result = with_router(front, act, rule("FAILOVER"))
    hung.touch()
    assert (result.answered_by, result.retries) == ("agent-b", 1)
    assert 8_000 <= result.took_ms < 48_000


def test_nobody_answers_and_the_deadline_says_so(front: Front, gate: Gate) -> None:
    hung = gate()

    async def act(router: MessageRouter) -> None:
        waits = dict.fromkeys(TARGETS, str(hung))
        with pytest.raises(RequestTimedOut, match=r"deadline: agent-a .*agent-b"):
            await asked(router, 1, timeout_ms=12_000, waits=waits)

    with_router(front, act, rule("FAILOVER"))
    hung.touch()


def test_an_agent_that_nobody_hosts_is_passed_over(front: Front) -> None:
    view = Hosted(AgentView("agent-ghost"), AgentView("agent-b"))
    ghosts = rule("FAILOVER", targets=["agent-ghost", "agent-b"])

    async def act(router: MessageRouter) -> None:
        [asked_for] = await asked(router, 1)
        assert asked_for.targets == ("agent-ghost", "agent-b")
        assert asked_for.answered_by == "agent-b"
        sent = await router.dispatch(request(message_type="COMMAND"))
        assert (sent.targets, set(sent.errors)) == (("agent-b",), {"agent-ghost"})
        with pytest.raises(UnknownRecipient):
            await router.dispatch(request("agent-ghost", message_type="COMMAND"))

    by_name = rule("FAILOVER", name="n", condition="recipient_id == 'agent-ghost'",
                   targets=["agent-ghost"], priority=1)  # fmt: skip
    with_router(front, act, ghosts, by_name, view=view)


def test_a_slow_request_is_asked_of_a_second_agent(front: Front, gate: Gate) -> None:
    eager = HedgeSettings(share=1.0, min_samples=5, min_delay_s=0.05)
    hung = gate()

    async def act(router: MessageRouter) -> DispatchResult:
        await asked(router, 6, hedge=True)
        [result] = await asked(router, 1, hedge=True, waits={"agent-a": str(hung)})
        return result

    result = with_router(front, act, rule("FAILOVER"), with_={"hedging": eager})
    hung.touch()
    assert result.targets == ("agent-a", "agent-b")
    assert (result.answered_by, result.hedges, result.retries) == ("agent-b", 1, 0)


@pytest.mark.parametrize("kind", ["COMMAND", "EVENT"])
def test_what_is_no_request_is_sent_and_told_where_to(
    front: Front, folder: Path, kind: str
) -> None:
    begun = folder / f"begun-{uuid4().hex}"
    begun.mkdir()
    result = with_router(
        front,
        lambda router: router.dispatch(request(message_type=kind, begun=str(begun))),
        rule("FAILOVER"),
    )
    assert (result.targets, result.acked, result.reply) == (("agent-a",), 1, None)
    wait_until((begun / "agent-a").exists, "the agent has it")


def test_mirroring_changes_no_answer(front: Front, folder: Path) -> None:
    begun = folder / f"begun-{uuid4().hex}"
    begun.mkdir()
    says = {name: {"by": name} for name in (*TARGETS, "agent-spare")}
    mirrored = rule("ROUND_ROBIN", mirror="agent-spare")
    # Not even if the copy fails.
    given = {"says": says, "begun": str(begun), "fails": ["agent-spare"]}

    async def act(router: MessageRouter) -> list[DispatchResult]:
        results = await asked(router, 6, **given)
        await asyncio.to_thread(
            wait_until, (begun / "agent-spare").exists, "the copy came"
        )
        return results

    results = with_router(front, act, mirrored)
    for one in results:
        assert one.mirrored_to == "agent-spare"
        assert one.reply is not None
        assert one.reply.payload == {"by": one.answered_by}
    assert by_agent(results) == dict.fromkeys(TARGETS, 2)
    letters = asyncio.run(front.bus.dead_letters(agent_id="agent-spare"))
    assert letters == ()


def test_a_split_keeps_a_conversation_on_its_side(front: Front) -> None:
    split = [
        Variant("old", 3, ["agent-a", "agent-b"]),
        Variant("new", 1, ["agent-c"]),
    ]
    ab = rule("ROUND_ROBIN", name="ab", key="customer", split=split)

    async def act(router: MessageRouter) -> Counter[str]:
        sides: Counter[str] = Counter()
        for number in range(200):
            sent = request(customer=f"c{number}")
            decisions = [await router.decide(sent) for _ in range(2)]
            assert len({one.rule.name for one in decisions}) == 1
            sides[decisions[0].rule.name] += 1
        [result] = await asked(router, 1, customer="c1")
        assert result.rule == (await router.decide(request(customer="c1"))).rule.name
        return sides

    sides = with_router(front, act, ab)
    assert set(sides) == {"ab:old", "ab:new"}
    assert 30 <= sides["ab:new"] <= 70


def test_an_agent_gets_no_more_than_its_rate(front: Front) -> None:
    limits = {"agent-a": Rate(calls_per_s=0.001, burst=2)}

    async def act(router: MessageRouter) -> Counter[str]:
        counts = by_agent(await asked(router, 12))
        router.remove_route_rule("r")
        router.add_route_rule(RouteRule("only", targets=["agent-a"]))
        with pytest.raises(NoTargetAvailable, match="agent-a"):
            await asked(router, 1)
        return counts

    counts = with_router(front, act, rule("ROUND_ROBIN"), with_={"rates": limits})
    assert counts["agent-a"] == 2
    assert counts.total() == 12


def test_a_newcomer_starts_slowly(front: Front, own_time: OwnTime) -> None:
    del own_time  # in which it stays new
    view = Hosted(AgentView("agent-a"), AgentView("agent-b"))
    slowly = SlowStartSettings(window_s=60, min_share=0.05)

    async def act(router: MessageRouter) -> Counter[str]:
        await router.route(request())
        view.have(AgentView("agent-c"))
        assert (await router.explain(request()))["weights"].keys() == {"agent-c"}
        return Counter([(await router.route(request()))[0] for _ in range(1_500)])

    counts = with_router(
        front, act, rule("ROUND_ROBIN"), view=view, with_={"slow_start": slowly}
    )
    # A twentieth of 500 is 25: chance gives it none once in 10 to the 11th runs.
    assert 0 < counts["agent-c"] < counts["agent-a"] / 2


def test_the_nearest_location_gets_it_and_the_next_when_it_is_gone(
    front: Front,
) -> None:
    view = Hosted(
        AgentView("agent-a", location="us"),
        AgentView("agent-b", location="eu"),
        AgentView("agent-c", location="eu"),
    )
    near = rule("ROUND_ROBIN", nearest=True, locations=["us"])

    async def act(router: MessageRouter) -> None:
        assert set(by_agent(await asked(router, 4))) == {"agent-b", "agent-c"}
        # What was measured counts more than what was declared.
        assert (await router.explain(request()))["candidates"] == ["agent-b", "agent-c"]
        for agent_id in ("agent-b", "agent-c"):
            view.have(AgentView(agent_id, "INACTIVE", "eu"))  # type: ignore[arg-type]
        assert by_agent(await asked(router, 2)) == {"agent-a": 2}

    # And nobody is tried to learn how far away it is.
    settled = {"location": "eu", "geography": GeographySettings(exploration=0.0)}
    with_router(front, act, near, view=view, with_=settled)


def test_a_conversation_moves_when_its_agent_fails_and_stays_there(
    front: Front,
) -> None:
    async def act(router: MessageRouter) -> None:
        [first] = await asked(router, 1, correlation_id="talk")
        held = first.answered_by
        [moved] = await asked(router, 1, correlation_id="talk", fails=[held])
        assert moved.answered_by != held
        again = await asked(router, 3, correlation_id="talk")
        assert by_agent(again) == {moved.answered_by: 3}

    with_router(front, act, rule("AFFINITY"))


def test_many_at_once_are_each_answered_their_own(front: Front) -> None:
    async def act(router: MessageRouter) -> None:
        results = await asked(router, 60, at_once=True)
        assert len({one.message_id for one in results}) == 60
        for one in results:
            assert one.reply is not None
            assert one.reply.payload["asked"] == one.message_id

    with_router(front, act, rule("ROUND_ROBIN"))


def test_a_deadline_that_has_passed_sends_nothing(front: Front) -> None:
    async def act(router: MessageRouter) -> None:
        late = request().evolved(deadline_ms=round(time.time() * 1_000) - 5_000)
        with pytest.raises(MessageExpired):
            await router.dispatch(late)

    with_router(front, act, rule("FAILOVER"))
