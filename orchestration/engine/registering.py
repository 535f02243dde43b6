"""How agents are registered, heard of and deregistered; callers and workers share it.

A fact is recorded first, in Postgres. Then Redis and the replicas are told: what does
not arrive there, the sweep makes good.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestration.adapters.database import Database
from orchestration.adapters.registry_feed import FeedChange, Heard
from orchestration.adapters.registry_hot import HotState
from orchestration.adapters.registry_log import (
    Recorded,
    RegistryLog,
    Status,
    as_recorded,
)
from orchestration.adapters.registry_rebuild import ensure_built
from orchestration.adapters.saga_records import Because
from orchestration.core.jsonable import is_whole
from orchestration.core.registry.checks import (
    descriptor_faults,
    limit_faults,
    metric_faults,
)
from orchestration.core.registry.events import NewFact
from orchestration.core.registry.fold import AgentState
from orchestration.core.registry.health import HealthRules
from orchestration.core.registry.model import AgentDescriptor
from orchestration.core.registry.registering import deregistration, registration
from orchestration.core.registry.sla import SlaRules
from orchestration.core.registry.token import Refusal, verify_token
from orchestration.errors import (
    ConfigurationError,
    InvalidDescriptor,
    InvalidHeartbeat,
    TokenRefused,
    TooManyAgents,
    TransportError,
)
from orchestration.settings import Settings

__all__ = [
    "Ended",
    "RegistryDesk",
    "checked_heartbeats",
    "health_rules",
    "limits_of",
    "secrets_of",
    "sla_rules",
]

logger = logging.getLogger(__name__)
_MOST_TRIES: Final = 10
_PATIENCE_S: Final = 5.0
"""With another process that builds the hot state."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An agent is not registered any more; ``version`` is that of its last event."""

    agent_id: str
    version: int


class RegistryDesk:
    """Where agents are registered, heard of and deregistered.

    Attributes:
        log: Where it is recorded.
        hot: Where replicas learn of it.
    """

    def __init__(self, db: Database, hot: HotState, settings: Settings) -> None:
        """Open nothing yet.

        Raises:
            ConfigurationError: A secret is too short.
        """
        self.log, self.hot, self._db = RegistryLog(db), hot, db
        self._max_agents = settings.max_agents
        self._secrets = secrets_of(settings)

    def register(
        self,
        descriptor: AgentDescriptor,
        because: Because,
        *,
        location: str | None = None,
        token: str | None = None,
        owner: str | None = None,
    ) -> AgentState:
        """Register an agent, or take in what it says of itself now; return it.

        Args:
            descriptor: What it says of itself.
            because: Who asked for it.
            location: Region or cluster that it runs in; None: as it was.
            token: Tells whose agent it is.
            owner: Whose it is, from somebody who needs no token: our own workers.

        Raises:
            InvalidDescriptor: All that is wrong with it.
            TokenRefused: The token does not allow it, or there is none.
            DuplicateAgent: An agent of that id is alive, and somebody else's.
            TooManyAgents: There are as many as may be.
            TransportError: Postgres does not answer.
        """
        if faults := descriptor_faults(descriptor):
            raise InvalidDescriptor(str(descriptor.agent_id), faults)
        said = as_recorded(descriptor)
        whose = self._owner(said.agent_id, token) if owner is None else owner
        # As if it were new, which tells where it stands if it is not.
        stands = Recorded(status=Status.OK, state=None, version=0)
        for _ in range(_MOST_TRIES):
            fact = registration(stands.state, said, location=location, owner=whose)
            if fact is None:
                break
            stands, is_done = self._record(fact, stands, because)
            if is_done:
                break
        else:
            raise _too_busy(said.agent_id)
        if stands.state is None:
            raise _too_busy(said.agent_id)  # it was deregistered this moment
        if fact is not None:
            self.tell([FeedChange.of(stands.state)])
        return stands.state

    def deregister(
        self,
        agent_id: str,
        because: Because,
        *,
        token: str | None = None,
        owner: str | None = None,
    ) -> Ended | None:
        """Take an agent out; None: it was not registered.

        Raises:
            TokenRefused: The token does not allow it, or there is none.
            DuplicateAgent: It is alive, and somebody else's.
            TransportError: Postgres does not answer.
        """
        whose = self._owner(agent_id, token) if owner is None else owner
        for _ in range(_MOST_TRIES):
            stands = self.log.some([agent_id])[agent_id]
            fact = deregistration(stands.state, owner=whose)
            if fact is None:
                return None
            stands, is_done = self._record(fact, stands, because)
            if is_done:
                break
        else:
            raise _too_busy(agent_id)
        self.tell([FeedChange.gone(agent_id, stands.version)])
        return Ended(agent_id, stands.version)

    def beat(
        self,
        heartbeats: Sequence[tuple[str, Mapping[str, float]]],
        *,
        sender: str = "",
        number: int = 0,
        until_ms: Mapping[str, int] | None = None,
    ) -> Heard | None:
        """Take in heartbeats; None: the hot state is being built, and they are lost.

        Args:
            heartbeats: As for ``HotState.beat``, like the rest.
            sender: Who sent them.
            number: Of the sender's message.
            until_ms: By agent, until when its heartbeat counts.

        Raises:
            TransportError: Redis does not answer.
        """

        def beat() -> Heard | None:
            return self.hot.beat(
                heartbeats, sender=sender, number=number, until_ms=until_ms or {}
            )

        heard = beat()
        if heard is None and ensure_built(self.log, self.hot):
            heard = beat()
        return heard

    def tell(self, changes: Sequence[FeedChange]) -> None:
        """Tell the replicas what is recorded; what is in vain the sweep makes good."""
        try:
            if not self.hot.change(changes) and ensure_built(
                self.log, self.hot, wait_s=_PATIENCE_S
            ):
                # Whoever built it may have read Postgres before this was recorded.
                self.hot.change(changes)
        except TransportError as exc:
            logger.warning(
                "replicas were not told of %d changes: %s", len(changes), exc
            )

    def _record(
        self, fact: NewFact, stands: Recorded, because: Because
    ) -> tuple[Recorded, bool]:
        """Record a fact; return where the agent stands, and whether it is done."""
        agent_id = fact.data["agent_id"]
        answer = self.log.record(
            fact, stands.version, because, max_agents=self._max_agents
        )
        match answer.status:
            case Status.OK:
                return answer, True
            case Status.FULL:
                raise TooManyAgents(
                    f"agent {agent_id!r} was not registered: {self._max_agents} are "
                    "already (ORCHESTRATION_MAX_AGENTS)"
                )
            case Status.CONFLICT:
                if answer.version == stands.version:
                    # Row and stream disagree: the events decide.
                    self.log.heal(agent_id)
                    answer = self.log.some([agent_id])[agent_id]
                elif answer.state is None:
                    # Another region's agent may be shown under this id.
                    answer = self.log.some([agent_id])[agent_id]
                return answer, False

    def _owner(self, agent_id: str, token: str | None) -> str:
        """Return whose agents a token is for; nobody's without secrets."""
        if token is None:
            if self._secrets:
                raise TokenRefused(
                    f"agent {agent_id!r} needs a registration token: ask the "
                    "registry's operator for one",
                    Refusal.MALFORMED,
                )
            return ""
        if not self._secrets:
            raise TokenRefused(
                "a registration token was given, and this registry has no secret to "
                "verify it by: set ORCHESTRATION_REGISTRY_SECRETS, or leave it out",
                Refusal.FORGED,
            )
        now_ms = round(self._db.clock.now().timestamp() * 1_000)
        grant = verify_token(token, self._secrets, agent_id=agent_id, now_ms=now_ms)
        return grant.owner


def checked_heartbeats(
    given: Sequence[Mapping[str, Any]],
) -> tuple[list[tuple[str, Mapping[str, float]]], list[InvalidHeartbeat]]:
    """Return the heartbeats of a message that count, and what is wrong with others."""
    good: list[tuple[str, Mapping[str, float]]] = []
    bad: list[InvalidHeartbeat] = []
    for one in given:
        agent_id = one.get("agent_id") if isinstance(one, Mapping) else None
        if not isinstance(agent_id, str):
            bad.append(InvalidHeartbeat("", ["agent_id is missing: give it"]))
            continue
        metrics = one.get("metrics") or {}
        if faults := (*metric_faults(metrics), *limit_faults(one.get("until_ms"))):
            bad.append(InvalidHeartbeat(agent_id, faults))
        else:
            good.append((agent_id, metrics))
    return good, bad


def limits_of(given: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return until when heartbeats free of faults count, of agents that say so."""
    return {
        one["agent_id"]: one["until_ms"]
        for one in given
        if isinstance(one, Mapping)
        and isinstance(one.get("agent_id"), str)
        and is_whole(one.get("until_ms"))
    }


def health_rules(settings: Settings) -> HealthRules:
    """Return where the lines of health are drawn, as the settings say.

    Raises:
        ConfigurationError: They make no sense together; all of it is told.
    """
    rules = HealthRules(
        late_intervals=settings.late_intervals,
        inactive_intervals=settings.inactive_intervals,
        decommission_after_ms=round(settings.decommission_after_s * 1_000),
        decommission_intervals=settings.decommission_intervals,
        late_factor=settings.late_factor,
        slow_ms=settings.slow_ms,
        busy_cpu=settings.busy_cpu,
        active_health=settings.active_health,
        sla_factor=settings.sla_factor,
        protect_share=settings.protect_share,
        protect_least=settings.protect_least,
        protect_hold_ms=round(settings.protect_hold_s * 1_000),
    )
    if faults := rules.faults():
        raise ConfigurationError("health settings: " + "; ".join(faults))
    return rules


def sla_rules(settings: Settings) -> SlaRules:
    """Return for how long promises may be missed, as the settings say."""
    return SlaRules(
        misses=settings.sla_misses,
        meets=settings.sla_meets,
        margin=settings.sla_margin,
        half_life_ms=round(settings.sla_half_life_s * 1_000),
        least_watched_ms=round(settings.sla_least_watched_s * 1_000),
    )


def secrets_of(settings: Settings) -> tuple[bytes, ...]:
    """Return what registration tokens are signed with."""
    return tuple(
        secret.strip().encode()
        for secret in settings.registry_secrets.split(",")
        if secret.strip()
    )


def _too_busy(agent_id: str) -> TransportError:
    return TransportError(
        f"agent {agent_id!r} is being changed by others all the time: try again"
    )
