"""Which target a session stays with."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from orchestration.core.routing.bounds import above, between, refuse
from orchestration.core.routing.stable import rendezvous

__all__ = ["Affinity", "AffinitySettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AffinitySettings:
    """How long a session stays with its target, and how many are remembered.

    Attributes:
        idle_s: It is free again once it was silent for so long.
        max_age_s: It is free again so long after its target was picked.
        max_sessions: Beyond them, the one that was silent longest is dropped.
    """

    idle_s: float = 1_800.0
    max_age_s: float = 86_400.0
    max_sessions: int = 100_000

    def __post_init__(self) -> None:
        refuse(
            self,
            above("idle_s", self.idle_s),
            above("max_age_s", self.max_age_s),
            between("max_sessions", self.max_sessions, 1),
        )


class Affinity:
    """Remembers the targets of sessions, within a bounded memory.

    A new session gets the target that its key alone decides (or ``pick``, which must
    be as deterministic), so that processes that share nothing agree as long as they
    see the same candidates.

    Not thread-safe: ``held`` may run beside the others, which go under one lock of the
    caller. ``now`` is seconds of any one clock that does not go back.
    """

    __slots__ = ("_sessions", "_settings")

    def __init__(self, settings: AffinitySettings | None = None) -> None:
        self._settings = settings or AffinitySettings()
        # By last use, the longest silent first: key -> (target, picked_s, used_s)
        self._sessions: dict[str, tuple[str, float, float]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def held(self, key: str, now: float) -> str | None:
        """Return the target that a session is held to; None: it is free."""
        session = self._sessions.get(key)
        if session is None or not self._holds(session, now):
            return None
        return session[0]

    def hold(self, key: str, agent_id: str, now: float) -> None:
        """Hold a session to a target from now on; to the same one, it was used."""
        session = self._sessions.pop(key, None)
        picked_s = now
        if session is not None and session[0] == agent_id and self._holds(session, now):
            picked_s = session[1]
        self._sessions[key] = (agent_id, picked_s, now)
        self._trim(now)

    def target(
        self,
        key: str,
        candidates: Collection[str],
        *,
        now: float,
        pick: Callable[[str, Collection[str]], str] = rendezvous,
    ) -> str:
        """Return a session's target, and hold it: its own if it has one, or a new one.

        Args:
            key: Of the session.
            candidates: Who may be picked; a set or mapping where they are many.
            now: The time.
            pick: Chooses the target of a new session, or of one whose is gone.

        Raises:
            ValueError: There are no candidates.
        """
        target = self.held(key, now)
        if target is None or target not in candidates:
            target = pick(key, candidates)
        self.hold(key, target, now)
        return target

    def forget(self, targets: Collection[str]) -> int:
        """Free all sessions of targets that are gone; tell how many there were.

        Of all targets at once, since it looks at every session. A set is fastest.
        """
        gone = [key for key, held in self._sessions.items() if held[0] in targets]
        for key in gone:
            del self._sessions[key]
        return len(gone)

    def _holds(self, session: tuple[str, float, float], now: float) -> bool:
        _, picked_s, used_s = session
        return (
            now - used_s < self._settings.idle_s
            and now - picked_s < self._settings.max_age_s
        )

    def _trim(self, now: float) -> None:
        """Drop what is over the bound, and two more that ran out, if there are such."""
        while len(self._sessions) > self._settings.max_sessions:
            del self._sessions[next(iter(self._sessions))]
        for _ in range(2):
            key = next(iter(self._sessions))
            if self._holds(self._sessions[key], now):
                break
            del self._sessions[key]
