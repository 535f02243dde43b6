"""One process's router: what it decides, whom it knows, what it learns of them.

Everything here is quick and blocks nobody: no server is asked. Who is there comes from
a view, how loaded they are from reports, how well they do from what became of messages.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from orchestration.core.messaging.model import Message
from orchestration.core.routing.affinity import Affinity
from orchestration.core.routing.budget import SendBudget
from orchestration.core.routing.candidates import CandidateCache
from orchestration.core.routing.decision import Decision
from orchestration.core.routing.ejection import EjectionChange, OutlierEjection
from orchestration.core.routing.geography import Geography
from orchestration.core.routing.hedging import Hedging
from orchestration.core.routing.loads import Loads
from orchestration.core.routing.ports import Reports, View
from orchestration.core.routing.predict import Predictor, kind_of
from orchestration.core.routing.rates import RateLimits
from orchestration.core.routing.router import Random, Router
from orchestration.core.routing.settings import RouterSettings
from orchestration.core.routing.shaping import Shaper
from orchestration.core.routing.slow_start import SlowStart
from orchestration.core.routing.table import RouteTable
from orchestration.errors import RoutingError
from orchestration.metrics import RoutingMetrics

__all__ = ["RouteDesk", "Sent", "status_of"]

_NOBODY: frozenset[str] = frozenset()
_LISTEN_S = 0.05  # how often reports are asked for; they come in batches anyhow
_STATUSES = {
    "NoRoute": "no_route",
    "UnknownTarget": "unknown_target",
    "NoTargetAvailable": "no_target",
    "AllUnhealthy": "all_unhealthy",
}


class Records(Protocol):
    """Where decisions are put on record."""

    def put(self, decision: Decision) -> None:
        """Take a decision, and block nobody."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was sent to one agent, for what is learned of its end.

    Attributes:
        agent_id: Whom it went to.
        kind: What its latency goes by.
        rule: The rule or route.
        at_s: When, by the monotonic clock.
        in_line: Messages that the agent had then, as far as it is known.
        location: Where the agent is.
        is_first: It is no retry and no hedge.
    """

    agent_id: str
    kind: str
    rule: str
    at_s: float
    in_line: float
    location: str
    is_first: bool


def status_of(error: RoutingError) -> str:
    """Return what an attempt that failed is counted as."""
    return _STATUSES[type(error).__name__]


class RouteDesk:
    """Decides for one process; any thread may call.

    Args:
        settings: What it does.
        view: Who is there; None: ``view`` is set before the first decision.
        loads: How loaded agents are; None: as the settings say.
        rng: Where dice come from; None: of its own.
        metrics: Where it counts.

    Attributes:
        settings: What it does.
        table: The routes; replace it under ``lock``.
        view: Who is there.
        reports: Where loads are heard of; None: nowhere.
        records: Where decisions are put on record; None: nowhere.
        lock: Turns, loads and what is learned are not for two threads at once.
    """

    def __init__(
        self,
        settings: RouterSettings,
        *,
        metrics: RoutingMetrics,
        view: View | None = None,
        loads: Loads | None = None,
        rng: Random | None = None,
    ) -> None:
        self.settings, self.metrics, self.view = settings, metrics, view
        self.table = RouteTable()
        self.reports: Reports | None = None
        self.records: Records | None = None
        self.lock = threading.Lock()
        self.shaper = Shaper(
            ejection=OutlierEjection(settings.ejection),
            slow_start=SlowStart(settings.slow_start),
            rates=RateLimits(settings.rate, settings.rates),
        )
        self._affinity = Affinity(settings.affinity)
        self._predictor = Predictor(settings.predictor)
        self._geography = Geography(settings.geography)
        self._retries = SendBudget(settings.retries)
        self._hedging = Hedging(settings.hedging)
        self.router = Router(
            Loads(settings.loads) if loads is None else loads,
            shaping=self.shaper,
            stickiness=self._affinity,
            costs=self._predictor,
            geography=self._geography,
            location=settings.location,
            cache=CandidateCache(ttl_s=settings.cache_ttl_s),
            floor=settings.active_floor,
        )
        self._rng = random.Random() if rng is None else rng  # noqa: S311  no secrets
        # Dice of its own: whether a decision is recorded must not change the next.
        self._sample = random.Random().random  # noqa: S311  the same
        self._membership: int | None = None
        self._live: frozenset[str] = _NOBODY
        self._away: frozenset[str] = _NOBODY  # were at work, and are still known
        self._listen_at = 0.0

    def look_at(self, view: View) -> None:
        """Go by another view from now on; whoever is there now is no newcomer."""
        with self.lock:
            self.view, self._membership = view, None
            self.router.cache.clear()

    # --- decisions

    def decide(self, message: Message, without: frozenset[str] = _NOBODY) -> Decision:
        """Decide who gets a message, and count it as sent.

        Raises:
            RoutingError: Nobody does.
        """
        decision = self._decided(self.router.decide, message, without)
        if self.records is not None and self._sample() < self.settings.record_rate:
            self.records.put(decision)
        return decision

    def look(self, message: Message) -> Decision:
        """Decide as ``decide`` would now, and count nothing as sent.

        Raises:
            RoutingError: Nobody would get it.
        """
        return self._decided(self.router.look, message, _NOBODY)

    def told(self, decision: Decision) -> dict[str, Any]:
        """Return everything about a decision as JSON."""
        with self.lock:
            told = decision.explain()
            told["panic"] = told["panic"] or self.shaper.panic
        told["mirror"] = decision.rule.mirror
        told["location"] = self.settings.location
        return told

    def _decided(
        self,
        decide: Callable[..., Decision],
        message: Message,
        without: frozenset[str],
    ) -> Decision:
        view, now = self.view, time.monotonic()
        assert view is not None, "the front door sees to it"  # noqa: S101
        with self.lock:
            if view.membership != self._membership:
                self._meet(view, now)
            if now >= self._listen_at:
                self._listen(now)
            return decide(message, self.table, view, self._rng, now, without)

    def _meet(self, view: View, now: float) -> None:
        """Let those that came start slowly, and forget those that are gone.

        Those whom the first look finds have been at work before.
        """
        live = frozenset(view.live())
        if self._membership is not None:
            for agent_id in live - self._live:
                self.shaper.joined(agent_id, now)
        away = (self._live | self._away) - live
        gone = away.difference(view.known())
        if gone:
            self._forget(gone)
        self._membership, self._live, self._away = view.membership, live, away - gone

    def _listen(self, now: float) -> None:
        """Take over what was heard of loads."""
        self._listen_at = now + _LISTEN_S
        reports, loads = self.reports, self.router.loads
        if reports is None:
            return
        for one in reports.news():
            at = now - one.age_s
            loads.tell(one.agent_id, one.report, at=at, capacity=one.capacity)
        if reports.routers != loads.routers:
            loads.routers = reports.routers

    def _forget(self, gone: frozenset[str]) -> None:
        """Drop what is known of agents that are gone."""
        for agent_id in gone:
            self.shaper.forget(agent_id)
            self.router.loads.forget(agent_id)
        self._affinity.forget(gone)
        self._predictor.forget(gone)

    # --- what becomes of messages

    def sent(
        self,
        agent_id: str,
        message: Message,
        rule: str,
        *,
        is_first: bool = True,
        is_awaited: bool = True,
    ) -> Sent:
        """Note that a message is about to go to an agent; return what to tell its end.

        Args:
            agent_id: The agent, which was decided on.
            message: The message.
            rule: The rule or route.
            is_first: It is no retry and no hedge.
            is_awaited: Its end will be told of.
        """
        view, now = self.view, time.monotonic()
        agent = None if view is None else view.agent(agent_id)
        with self.lock:
            load = self.router.loads.of(agent_id)
            if is_first and is_awaited:
                self._retries.sent(now_s=now)
                self._hedging.sent(now_s=now)
            return Sent(
                agent_id=agent_id,
                kind=kind_of(message),
                rule=rule,
                at_s=now,
                # Without the message itself, which the decision has counted.
                in_line=max(0.0, load.score / load.step - self.router.loads.routers),
                location="" if agent is None else agent.location,
                is_first=is_first,
            )

    def ended(self, sent: Sent, *, ok: bool, timeout_s: float) -> EjectionChange | None:
        """Learn from what became of a message: an answer, an error, or a timeout.

        Args:
            sent: As it was sent.
            ok: Whether it was answered.
            timeout_s: How long it might have taken. A failure counts as having taken
                that long, or the agent that fails fastest would look best.
        """
        now, view = time.monotonic(), self.view
        took_s = now - sent.at_s
        with self.lock:
            if view is not None and view.agent(sent.agent_id) is None:
                return None  # it is gone, and forgotten: nobody would forget it again
            self.router.loads.answered(sent.agent_id)
            self._predictor.learned(
                sent.agent_id,
                sent.kind,
                latency_s=took_s if ok else max(took_s, timeout_s),
                load=sent.in_line,
                now_s=now,
            )
            if ok:
                self._geography.learned(
                    self.settings.location, sent.location, latency_s=took_s, now_s=now
                )
                if sent.is_first:
                    self._hedging.learned(sent.kind, took_s)
            return self.shaper.answered(
                sent.agent_id, ok=ok, sent=sent.at_s, now=now, group=sent.rule
            )

    def answered_late(self, sent: Sent) -> None:
        """Learn how long an answer took that had been given up; it failed already."""
        if sent.is_first:
            with self.lock:
                self._hedging.learned(sent.kind, time.monotonic() - sent.at_s)

    def may_retry(self) -> bool:
        """Count one more attempt if the budget has it; tell whether it has."""
        with self.lock:
            return self._retries.take(now_s=time.monotonic())

    def hedge_after_s(self, message: Message) -> float | None:
        """Return how long to wait before a request is sent twice; None: not known."""
        with self.lock:
            return self._hedging.delay_s(kind_of(message))

    def may_hedge(self) -> bool:
        """Count one second copy if the budget has it; tell whether it has."""
        with self.lock:
            return self._hedging.take(now_s=time.monotonic())
