"""Who of a route's candidates may be picked now, and who gets less than its share.

The stage between candidates and strategy: ejection, slow start and rate limits in one,
kept so that a decision pays for what has changed only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Final

from orchestration.core.routing.ejection import EjectionChange, OutlierEjection
from orchestration.core.routing.rates import RateLimits
from orchestration.core.routing.slow_start import SlowStart

__all__ = ["Shaper"]

_REST_S: Final = (
    0.01  # so that agents at their limit do not change the sets all the time
)


class Shaper:
    """Ejects, starts slowly and limits the agents of one router.

    ``admit`` holds until ``version`` changes; ``weights``, which each decision asks
    for, also moves the version when time alone changes the answer. Not thread-safe: all
    calls go under the router's lock. ``now`` is seconds of the router's clock, which
    does not go back.

    Attributes:
        ejection: Tells for ``explain`` who is left out; see ``OutlierEjection.admit``.
    """

    __slots__ = (
        "_changes",
        "_next_s",
        "_panic_at",
        "_rates",
        "_resting",
        "_start",
        "_until_s",
        "_weights",
        "ejection",
    )

    def __init__(
        self,
        *,
        ejection: OutlierEjection | None = None,
        slow_start: SlowStart | None = None,
        rates: RateLimits | None = None,
    ) -> None:
        self.ejection = ejection or OutlierEjection()
        self._start = slow_start or SlowStart()
        self._rates = rates or RateLimits()
        self._changes = 0
        self._panic_at = -1
        self._resting: dict[str, float] = {}  # at its limit -> until when
        self._until_s = inf  # when an ejection of some set ends
        self._next_s = inf  # when there is something to look after
        self._weights = self._start.weights(now_s=0.0)

    @property
    def version(self) -> int:
        """Changes whenever ``admit`` would answer otherwise than before."""
        return self._changes + self.ejection.version

    @property
    def panic(self) -> bool:
        """Whether some set of candidates has reached its floor as things stand."""
        return self._panic_at == self.version

    def admit(self, agent_ids: Sequence[str], now: float) -> Sequence[str]:
        """Return those that may be picked, in the same order.

        Nobody, if all of them are at their limits: then none takes a call for now. The
        floor of ejection counts those at their limits as remaining.
        """
        admission = self.ejection.admit(agent_ids, now_s=now)
        if admission.panic:
            self._panic_at = self.version
        self._until_s = min(self._until_s, admission.valid_until_s)
        self._next_s = min(self._next_s, self._until_s)
        if not self._resting:
            return admission.targets
        until_s = self._resting.get
        return tuple([one for one in admission.targets if until_s(one, now) <= now])

    def weights(self, now: float) -> Mapping[str, float]:
        """Return the agents that are to get less than their share, above 0 to 1."""
        if now >= self._next_s:
            self._look_after(now)
        return self._weights

    def picked(self, agent_id: str, now: float) -> bool:
        """Count a call that is about to go to an agent; tell whether it may.

        It may not if its limit was reached since it was admitted: decide again.
        """
        if not self._rates.take(agent_id, now_s=now):
            self._rest(agent_id, now)
            return False
        self._rest(agent_id, now)
        self.ejection.began(agent_id, now_s=now)
        return True

    def answered(
        self, agent_id: str, *, ok: bool, sent: float, now: float, group: str = ""
    ) -> EjectionChange | None:
        """Take note of a call's outcome; a restored agent starts slowly.

        Args:
            agent_id: Whom the call went to.
            ok: Whether it worked; a timeout did not.
            sent: When it was sent.
            now: The time.
            group: Agents that do the same work, such as the rule's name.
        """
        change = self.ejection.note(
            agent_id, ok=ok, sent_s=sent, now_s=now, group=group
        )
        if change is EjectionChange.RESTORED:
            self.joined(agent_id, now)
        return change

    def joined(self, agent_id: str, now: float) -> None:
        """Let an agent start slowly that came while others were at work."""
        self._start.joined(agent_id, now_s=now)
        self._look_after(now)

    def forget(self, agent_id: str) -> None:
        """Drop an agent that is gone."""
        self.ejection.forget(agent_id)
        self._start.forget(agent_id)
        self._rates.forget(agent_id)
        self._changes += self._resting.pop(agent_id, None) is not None

    def _rest(self, agent_id: str, now: float) -> None:
        wait_s = self._rates.wait_s(agent_id, now_s=now)
        if wait_s > 0:
            self._changes += agent_id not in self._resting
            self._resting[agent_id] = now + max(wait_s, _REST_S)
            self._next_s = min(self._next_s, now + max(wait_s, _REST_S))

    def _look_after(self, now: float) -> None:
        rested = [one for one, until_s in self._resting.items() if until_s <= now]
        for one in rested:
            del self._resting[one]
        if now >= self._until_s:
            self._until_s = inf
            self._changes += 1
        self._changes += bool(rested)
        self._weights = self._start.weights(now_s=now)
        self._next_s = min(
            self._until_s,
            max(min(self._resting.values(), default=inf), now + _REST_S),
            now + max(self._start.step_s, _REST_S) if self._weights else inf,
        )
