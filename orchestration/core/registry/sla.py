"""Which promises agents break, since when, and when they keep them again.

Latency and error rate are judged once for each heartbeat that gives them. Availability
is the share of time in which an agent was not late (see ``HealthRules``), where an hour
ago counts half of now. A promise is broken when it was missed several times in a row,
and kept again when it was met several times in a row by a margin: an agent at its limit
does not write an event with each heartbeat. What protection excuses is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from orchestration.core.registry.checks import SLA_TERMS
from orchestration.core.registry.events import EventType, NewFact
from orchestration.core.registry.health import RULES, HealthRules
from orchestration.core.registry.model import AgentStatus
from orchestration.core.registry.packed import METRICS
from orchestration.core.registry.pulse import Pulse, code_of

__all__ = [
    "SLA_RULES",
    "SlaChange",
    "SlaRules",
    "SlaState",
    "judge",
    "limits_of",
    "sla_facts",
]

_LATENCY, _AVAILABILITY, _ERRORS = range(3)  # as in SLA_TERMS
_GIVES_LATENCY: Final = 1 << METRICS.index("response_time_ms")
_GIVES_ERRORS: Final = 1 << METRICS.index("error_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaRules:
    """How long an agent may miss a promise before it counts.

    Attributes:
        misses: Times in a row that break a promise.
        meets: Times in a row that show that it is kept again.
        margin: Share by which it must be met for that.
        half_life_ms: After which time availability weighs half.
        least_watched_ms: For how long an agent is watched before its availability is
            judged.
    """

    misses: int = 3
    meets: int = 3
    margin: float = 0.1
    half_life_ms: int = 3_600_000
    least_watched_ms: int = 300_000


SLA_RULES: Final = SlaRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaState:
    """What is known of the promises of ``n`` agents, between sweeps.

    It can be lost: broken promises are in the events (``restored``), and the rest is
    counted anew.

    Attributes:
        since_ms: Since when each term is broken, epoch milliseconds; 0: it is kept;
            int64, ``(n, 3)``, in the order of ``SLA_TERMS``.
        streak: How often in a row the opposite was seen; int64, ``(n, 3)``.
        first_ms: When it was first seen; int64, ``(n, 3)``.
        judged_ms: When the heartbeat arrived that was judged last; int64, ``(n,)``.
        looked_ms: When availability was last counted; int64, ``(n,)``.
        up_ms: Weighed time in which it was there; float64, ``(n,)``.
        watched_ms: Weighed time in which it was watched; float64, ``(n,)``.
    """

    since_ms: NDArray[np.int64]
    streak: NDArray[np.int64]
    first_ms: NDArray[np.int64]
    judged_ms: NDArray[np.int64]
    looked_ms: NDArray[np.int64]
    up_ms: NDArray[np.float64]
    watched_ms: NDArray[np.float64]

    @property
    def violations(self) -> NDArray[np.int64]:
        """How many promises each breaks, for ``Pulse``."""
        counts: NDArray[np.int64] = (self.since_ms > 0).sum(axis=1)
        return counts

    def broken(self, row: int) -> dict[str, int]:
        """Return the broken terms of one agent, each with the time since when."""
        since_ms = zip(SLA_TERMS, self.since_ms[row].tolist(), strict=True)
        return {term: since for term, since in since_ms if since > 0}

    def taken_back(self, rows: Sequence[int], before: Self) -> Self:
        """Return the state with some rows as they were before.

        Args:
            rows: Whose changes could not be recorded.
            before: The state that they had; the same agents, row by row.
        """
        columns = {name: getattr(self, name).copy() for name in self._columns()}
        for name, column in columns.items():
            column[list(rows)] = getattr(before, name)[list(rows)]
        return type(self)(**columns)

    @classmethod
    def _columns(cls) -> tuple[str, ...]:
        return tuple(cls.__dataclass_fields__)

    @classmethod
    def restored(cls, violations: Sequence[Mapping[str, int]], now_ms: int) -> Self:
        """Return the state of agents of which only the events are known.

        Args:
            violations: Of each agent, its broken terms (``AgentState.violations``).
            now_ms: From when on it is watched.
        """
        count = len(violations)
        since_ms = np.array(
            [[broken.get(term, 0) for term in SLA_TERMS] for broken in violations],
            dtype=np.int64,
        )
        return cls(
            since_ms=since_ms.reshape(count, len(SLA_TERMS)),
            streak=np.zeros((count, len(SLA_TERMS)), dtype=np.int64),
            first_ms=np.zeros((count, len(SLA_TERMS)), dtype=np.int64),
            judged_ms=np.zeros(count, dtype=np.int64),
            looked_ms=np.full(count, now_ms, dtype=np.int64),
            up_ms=np.zeros(count),
            watched_ms=np.zeros(count),
        )

    def arranged(self, rows: Sequence[int], now_ms: int) -> Self:
        """Return the state of other rows: agents came, left or moved.

        Args:
            rows: The row that each had here; -1: it is new, or joined again.
            now_ms: From when on the new ones are watched.
        """
        fresh = self.restored([{}], now_ms)
        places = np.asarray(rows, dtype=np.int64)
        columns = {
            name: np.concatenate([getattr(self, name), getattr(fresh, name)])[places]
            for name in self._columns()
        }
        return type(self)(**columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaChange:
    """A promise that is broken now, or kept again.

    Attributes:
        row: The agent's row.
        term: What was promised; see ``SLA_TERMS``.
        limit: How much; None: the agent does not promise it any more.
        observed: What was seen last.
        since_ms: Since when it is, or was, broken.
        until_ms: When it was seen kept first; None: it is broken.
    """

    row: int
    term: str
    limit: float | None
    observed: float
    since_ms: int
    until_ms: int | None


def limits_of(slas: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """Return what each agent promises, ``(n, 3)``, NaN where it does not."""
    rows = [[sla.get(term, np.nan) for term in SLA_TERMS] for sla in slas]
    return np.array(rows, dtype=np.float64).reshape(len(slas), len(SLA_TERMS))


def judge(
    limits: NDArray[np.float64],
    state: SlaState,
    pulse: Pulse,
    now_ms: int,
    *,
    rules: SlaRules = SLA_RULES,
    health_rules: HealthRules = RULES,
    epoch_ms: int = 0,
    is_excused: NDArray[np.bool_] | None = None,
) -> tuple[SlaState, tuple[SlaChange, ...]]:
    """Return what is known of all promises now, and what changed.

    Args:
        limits: What each promises (``limits_of``).
        state: What was known before, row by row the same agents.
        pulse: The last heartbeat of each.
        now_ms: The receiver's clock, epoch milliseconds.
        rules: How long a promise may be missed.
        health_rules: When an agent is late.
        epoch_ms: When the hot state was last rebuilt; see ``Pulse.silence_ms``.
        is_excused: Whose silence does not count (``SweepResult.is_held``).
    """
    is_gone = pulse.status == code_of(AgentStatus.DECOMMISSIONED)
    excused = is_gone if is_excused is None else is_gone | is_excused
    overdue = pulse.silence_ms(now_ms, epoch_ms) - (
        health_rules.late_intervals * pulse.interval_ms
    )
    up_ms, watched_ms = _availability(state, now_ms, overdue, excused, rules)
    observed = np.stack(
        [
            pulse.response_time_ms,
            up_ms / np.maximum(watched_ms, 1.0),
            pulse.error_rate,
        ],
        axis=1,
    )
    is_new = (pulse.last_seen_ms > state.judged_ms) & ~is_gone
    is_seen = np.stack(
        [
            is_new & (pulse.given & _GIVES_LATENCY > 0),
            (watched_ms >= rules.least_watched_ms) & ~excused,
            is_new & (pulse.given & _GIVES_ERRORS > 0),
        ],
        axis=1,
    )
    seen = replace(
        state,
        judged_ms=np.maximum(state.judged_ms, pulse.last_seen_ms),
        looked_ms=np.full(len(pulse), now_ms, dtype=np.int64),
        up_ms=up_ms,
        watched_ms=watched_ms,
    )
    # Latency and errors date from the heartbeat, availability from the sweep.
    when_ms = np.stack([pulse.last_seen_ms, seen.looked_ms, pulse.last_seen_ms], axis=1)
    after, turned = _counted(seen, limits, observed, is_seen, when_ms, is_gone, rules)
    return after, _changes(turned, limits, observed, state, after)


def sla_facts(
    agent_ids: Sequence[str],
    changes: Sequence[SlaChange],
    *,
    health: NDArray[np.float64],
    last_seen_ms: NDArray[np.int64],
) -> tuple[NewFact, ...]:
    """Return the changes as facts to record.

    Args:
        agent_ids: The agents of the rows.
        changes: What ``judge`` found.
        health: How well each agent is after them.
        last_seen_ms: When each was last heard of.
    """
    facts = []
    for change in changes:
        data = {
            "agent_id": agent_ids[change.row],
            "term": change.term,
            "limit": change.limit,
            "observed": change.observed,
            "since_ms": change.since_ms,
            "health_score": float(health[change.row]),
            "last_heartbeat_ms": int(last_seen_ms[change.row]),
        }
        if change.until_ms is None:
            facts.append(NewFact(EventType.SLA_VIOLATED, data))
        else:
            restored = {**data, "until_ms": change.until_ms}
            facts.append(NewFact(EventType.SLA_RESTORED, restored))
    return tuple(facts)


def _availability(
    state: SlaState,
    now_ms: int,
    overdue_ms: NDArray[np.float64],
    excused: NDArray[np.bool_],
    rules: SlaRules,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighed times in which each was there, and was watched."""
    passed = np.maximum(now_ms - state.looked_ms, 0)
    down = np.clip(overdue_ms, 0, passed)
    weight = 0.5 ** (passed / rules.half_life_ms)
    up = np.where(excused, state.up_ms, state.up_ms * weight + passed - down)
    watched = np.where(excused, state.watched_ms, state.watched_ms * weight + passed)
    return up, watched


def _counted(
    state: SlaState,
    limits: NDArray[np.float64],
    observed: NDArray[np.float64],
    is_seen: NDArray[np.bool_],
    when_ms: NDArray[np.int64],
    is_gone: NDArray[np.bool_],
    rules: SlaRules,
) -> tuple[SlaState, NDArray[np.bool_]]:
    """Return the state with what was seen counted, and which promises turned."""
    was_broken = state.since_ms > 0
    opposite = is_seen & _opposite(observed, limits, was_broken, rules)
    streak = np.where(is_seen, np.where(opposite, state.streak + 1, 0), state.streak)
    first_ms = np.where(opposite & (streak == 1), when_ms, state.first_ms)
    turned = streak >= np.where(was_broken, rules.meets, rules.misses)
    stays = ~is_gone[:, None]
    is_dropped = was_broken & np.isnan(limits) & stays
    first_ms = np.where(is_dropped, state.looked_ms[:, None], first_ms)
    turned |= is_dropped
    begun_ms = np.where(turned & ~was_broken, first_ms, 0)
    after = replace(
        state,
        since_ms=np.where(was_broken & ~turned & stays, state.since_ms, begun_ms),
        streak=np.where(turned, 0, streak),
        first_ms=first_ms,
    )
    return after, turned


def _opposite(
    observed: NDArray[np.float64],
    limits: NDArray[np.float64],
    was_broken: NDArray[np.bool_],
    rules: SlaRules,
) -> NDArray[np.bool_]:
    """Tell where what was seen speaks against what holds; no limit, no word."""
    missed = observed > limits
    met = observed <= limits * (1 - rules.margin)
    share, promised = observed[:, _AVAILABILITY], limits[:, _AVAILABILITY]
    missed[:, _AVAILABILITY] = share < promised
    met[:, _AVAILABILITY] = share >= promised + rules.margin * (1 - promised)
    return np.where(was_broken, met, missed)


def _changes(
    turned: NDArray[np.bool_],
    limits: NDArray[np.float64],
    observed: NDArray[np.float64],
    before: SlaState,
    after: SlaState,
) -> tuple[SlaChange, ...]:
    changes = []
    for row, term in np.argwhere(turned):
        begun_ms, limit = int(after.since_ms[row, term]), float(limits[row, term])
        changes.append(
            SlaChange(
                row=int(row),
                term=SLA_TERMS[term],
                limit=None if np.isnan(limit) else limit,
                observed=float(observed[row, term]),
                since_ms=begun_ms or int(before.since_ms[row, term]),
                until_ms=None if begun_ms else int(after.first_ms[row, term]),
            )
        )
    return tuple(changes)
