"""What a process's router learns, and how it meets those that come and go."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry

from orchestration.core.registry.model import AgentStatus
from orchestration.core.routing.ejection import EjectionSettings
from orchestration.core.routing.loads import Loads, Report
from orchestration.core.routing.model import RouteRule
from orchestration.core.routing.ports import Heard
from orchestration.core.routing.rates import Rate
from orchestration.core.routing.settings import RouterSettings
from orchestration.engine.routes import router_settings
from orchestration.engine.routing import RouteDesk, Sent
from orchestration.errors import (
    ConfigurationError,
    NoTargetAvailable,
    UnknownTarget,
)
from orchestration.metrics import RoutingMetrics
from orchestration.settings import Settings
from tests.unit.routed import ABC, Fleet, message

RULE = RouteRule("r", targets=ABC, strategy="ROUND_ROBIN")


def desk(
    *rules: RouteRule, fleet: Fleet | None = None, **settings: object
) -> RouteDesk:
    made = RouteDesk(
        RouterSettings(**settings),  # type: ignore[arg-type]
        metrics=RoutingMetrics(CollectorRegistry()),
        view=fleet or Fleet(*ABC),
    )
    for rule in rules or (RULE,):
        made.table = made.table.with_rule(rule)
    return made


def sent(made: RouteDesk, agent_id: str = "agent-a") -> Sent:
    return made.sent(agent_id, message(), "r")


def weights(made: RouteDesk) -> set[str]:
    return set(made.told(made.look(message()))["weights"])


def test_only_those_that_come_later_start_slowly() -> None:
    fleet = Fleet(*ABC[:2])
    made = desk(fleet=fleet)
    made.decide(message())
    assert weights(made) == set()
    fleet.have("agent-c")
    assert weights(made) == {"agent-c"}


def test_who_was_away_starts_slowly_when_it_comes_back() -> None:
    fleet = Fleet(*ABC)
    made = desk(fleet=fleet)
    made.decide(message())
    fleet.turn("agent-b", AgentStatus.INACTIVE)
    made.decide(message())
    fleet.turn("agent-b", AgentStatus.ACTIVE)
    assert weights(made) == {"agent-b"}


def test_of_who_is_gone_nothing_is_known_any_more() -> None:
    fleet = Fleet(*ABC)
    made = desk(fleet=fleet, ejection=EjectionSettings(consecutive_failures=1))
    made.decide(message())
    made.ended(sent(made), ok=False, timeout_s=1)
    assert made.told(made.look(message()))["left_out"] == ["agent-a"]
    fleet.lose("agent-a")
    made.decide(message())
    fleet.have("agent-a")
    assert made.told(made.look(message()))["left_out"] == []


def test_of_who_fell_silent_and_then_left_nothing_is_known_either() -> None:
    fleet = Fleet(*ABC)
    made = desk(fleet=fleet, ejection=EjectionSettings(consecutive_failures=1))
    made.decide(message())
    made.ended(sent(made), ok=False, timeout_s=1)
    fleet.turn("agent-a", AgentStatus.INACTIVE)
    made.decide(message())
    fleet.lose("agent-a")
    made.decide(message())
    assert [load.agent_id for load in made.router.loads] == ["agent-b", "agent-c"]
    fleet.have("agent-a")
    assert made.told(made.look(message()))["left_out"] == []


def test_a_failure_of_who_is_gone_is_not_kept_for_its_namesake() -> None:
    fleet = Fleet(*ABC)
    made = desk(fleet=fleet, ejection=EjectionSettings(consecutive_failures=1))
    made.decide(message())
    on_its_way = sent(made)
    fleet.lose("agent-a")
    made.decide(message())
    made.ended(on_its_way, ok=False, timeout_s=1)
    fleet.have("agent-a")
    assert made.told(made.look(message()))["left_out"] == []


def test_an_agent_that_comes_back_has_its_rate_still() -> None:
    fleet = Fleet("agent-a")
    rule = RouteRule("r", targets=["agent-a"])
    made = desk(rule, fleet=fleet, rates={"agent-a": Rate(calls_per_s=0.01, burst=1)})
    made.decide(message())
    fleet.lose("agent-a")
    fleet.have("agent-b")
    with pytest.raises(UnknownTarget):
        made.decide(message())
    fleet.have("agent-a")
    made.decide(message())
    with pytest.raises(NoTargetAvailable):
        made.decide(message())


def test_a_failure_counts_with_its_timeout_and_not_with_its_speed() -> None:
    predictive = RouteRule("p", targets=ABC, strategy="PREDICTIVE")
    made = desk(predictive, ejection=EjectionSettings(consecutive_failures=1_000))
    for agent_id in ABC:
        for _ in range(3):
            made.ended(sent(made, agent_id), ok=agent_id != "agent-a", timeout_s=30)
    picks = [made.decide(message()).targets[0] for _ in range(10)]
    assert "agent-a" not in picks


class Heartbeats:
    """Reports as a test tells them."""

    def __init__(self, *heard: Heard) -> None:
        self.routers = 4
        self._heard = [*heard]

    def news(self) -> Iterable[Heard]:
        heard, self._heard = self._heard, []
        return heard


def test_loads_are_those_that_agents_report_and_what_was_sent_since() -> None:
    made = desk(RouteRule("l", targets=ABC))
    made.reports = Heartbeats(
        *(
            Heard(one, Report(queue), 10)
            for one, queue in zip(ABC, (5, 0, 5), strict=True)
        )
    )
    told = made.told(made.look(message()))
    assert told["targets"] == ["agent-b"]
    assert told["staleness_s"] < 5
    assert made.router.loads.routers == 4
    load = made.router.loads.of("agent-b")
    made.decide(message())
    assert load.score == pytest.approx(4 * load.step)


def test_that_others_are_heard_of_makes_no_old_report_new() -> None:
    made = desk(RouteRule("l", targets=ABC))
    made.reports = Heartbeats(
        *(
            Heard(one, Report(queue), 10, 25)
            for one, queue in zip(ABC, (5, 0, 5), strict=True)
        )
    )
    told = made.told(made.look(message()))
    assert told["method"] == "TURN"
    assert told["load_ages_s"] == pytest.approx(dict.fromkeys(ABC, 25), abs=1)


def test_an_answer_takes_its_message_off_the_load_of_who_reports_nothing() -> None:
    loads = Loads(routers=2)
    load = loads.of("agent-a")
    load.sent, load.score = 2.0, 2 * load.raise_by
    loads.answered("agent-a")
    assert (load.sent, load.score) == (1.0, load.raise_by)
    loads.answered("agent-a")
    loads.answered("agent-a")
    assert (load.sent, load.score) == (0.0, 0.0)
    loads.tell("agent-a", Report(3), at=1.0)
    before = load.score
    loads.answered("agent-a")
    assert load.score == before


def test_settings_of_the_process_are_those_of_its_routers() -> None:
    settings = router_settings(
        Settings(
            database_url="postgresql://nobody@127.0.0.1:1/none",
            redis_url="redis://127.0.0.1:1/0",
            location="eu",
            route_rate_per_s=5,
            route_ejection_failures=2,
            route_record_rate=0.25,
        )
    )
    assert (settings.location, settings.record_rate) == ("eu", 0.25)
    assert settings.rate is not None
    assert settings.rate.calls_per_s == 5
    assert settings.ejection.consecutive_failures == 2
    assert (
        router_settings(
            Settings(
                database_url="postgresql://nobody@127.0.0.1:1/none",
                redis_url="redis://127.0.0.1:1/0",
            )
        )
        == RouterSettings()
    )


def test_settings_that_make_no_sense_are_refused_all_at_once() -> None:
    with pytest.raises(
        ConfigurationError, match=r"max_attempts is 0.*record_rate is 2"
    ):
        RouterSettings(max_attempts=0, record_rate=2)


def test_another_view_brings_no_newcomers_and_no_sets_of_the_one_before() -> None:
    made = desk(fleet=Fleet(*ABC[:2]))
    made.decide(message())
    made.look_at(Fleet(*ABC))
    told = made.told(made.look(message()))
    assert told["candidates"] == [*ABC]
    assert told["weights"] == {}
