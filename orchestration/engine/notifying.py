"""Word of sagas that need a person, to somebody outside: at least once, in order."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from orchestration.adapters.receivers import Problem, Receiver
from orchestration.adapters.saga_index import Notice
from orchestration.engine.ports import Clock

__all__ = ["GIVE_UP_AFTER", "Notices", "Notifier"]

logger = logging.getLogger(__name__)

GIVE_UP_AFTER: Final = timedelta(days=1)
"""How long somebody is tried to be told of one stand of a saga."""

# Bounds what a slow receiver takes of the chores worker's time at once.
_BUDGET: Final = timedelta(seconds=5)


class Notices(Protocol):
    """The words that wait to be delivered."""

    def due_notices(self, limit: int) -> tuple[Notice, ...]:
        """Return words to deliver now; what is not dropped comes again, later."""

    def put_off_notices(self, failed: Notice) -> None:
        """Let all words wait as long as one that nobody was there to take."""

    def drop_notice(self, notice: Notice) -> None:
        """Forget a word that was delivered, or given up."""


@dataclass(frozen=True, slots=True)
class Notifier:
    """Delivers words; each is dropped when every receiver has taken it.

    A word that one of several receivers did not take is told to all of them again:
    its saga and version say that it is the same.
    """

    notices: Notices
    receivers: Sequence[Receiver]
    clock: Clock

    def deliver(self, limit: int) -> int:
        """Deliver what is due, for a few seconds; return how many were."""
        until = self.clock.now() + _BUDGET
        delivered = 0
        for _ in range(limit):
            # One at a time: what is taken in hand is put off, and must not be if it
            # is not tried.
            due = self.notices.due_notices(1)
            if not due:
                break
            (notice,) = due
            problem = self._tell(notice)
            if problem is None:
                self.notices.drop_notice(notice)
                delivered += 1
            else:
                self._failed(notice, problem)
            if (problem and problem.is_away) or self.clock.now() >= until:
                break
        return delivered

    def _tell(self, notice: Notice) -> Problem | None:
        problems = (receiver.tell(notice) for receiver in self.receivers)
        return next((problem for problem in problems if problem), None)

    def _failed(self, notice: Notice, problem: Problem) -> None:
        what = f"saga {notice.saga_id} is {notice.state}"
        if self.clock.now() >= notice.recorded_at + GIVE_UP_AFTER:
            logger.error("nobody could be told that %s: %s", what, problem.says)
            self.notices.drop_notice(notice)
            return
        logger.warning("not told yet that %s: %s", what, problem.says)
        if problem.is_away:
            self.notices.put_off_notices(notice)
