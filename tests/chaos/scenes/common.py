"""What the scenes of ``test_guards.py`` have in common.

A scene plays a doubled message, a lost answer, a worker that comes back: whatever its
guard is there for, and tells whether something is wrong. With the guard it is False.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from orchestration.adapters.saga_records import Because
from orchestration.contracts import Hint
from orchestration.core.saga.acts import Who
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Failed
from orchestration.engine.attempts import Claimed, open_attempt
from tasks.recovery import sweep
from tests.support.worker_side import WorkerSide

AT_ONE: Hint = {"version": 1, "check_at_ms": None}
WHO = Who(by="operator")
FOR_GOOD = Failed({"type": "X", "message": "x"}, retryable=False)


def deliver(
    side: WorkerSide, saga_id: str, name: str, hint: Hint | None = None
) -> bool:
    """Deliver a message about a step; return whether it would act."""
    message = side.message(saga_id, name)
    found = open_attempt(side.rt.recorder, message, Direction.DO, hint, Because())
    return isinstance(found, Claimed)


@contextlib.contextmanager
def answer_lost(side: WorkerSide) -> Iterator[None]:
    """Lose the answer of the next statement: it is run again, as after a lost line."""
    rows = side.rt.db.rows

    def twice(*args: Any, **options: Any) -> Any:
        side.rt.db.rows = rows
        rows(*args, **options)
        return rows(*args, **options)

    side.rt.db.rows = twice
    yield


def given_up(side: WorkerSide, **options: Any) -> tuple[str, Claimed]:
    """Begin a saga whose first attempt is taken for lost; return that attempt."""
    saga_id = side.begin(**options)
    first = side.open(saga_id, "s1")
    side.run("UPDATE orch.lease SET until = now() - interval '1 s'")
    sweep.run(period_s=0.001)
    assert "STEP_UNKNOWN" in side.types(saga_id)
    return saga_id, first


def announce(side: WorkerSide) -> None:
    side.run(
        "INSERT INTO orch.announcement (worker, kind, name, pool) VALUES"
        " ('w', 'agent', 'agent-effects', 'default'),"
        " ('w', 'action', 'agent-effects/work', 'default'),"
        " ('w', 'action', 'agent-effects/unwork', 'default') ON CONFLICT DO NOTHING"
    )


def sagas_of(side: WorkerSide) -> int:
    """Return how many sagas have ever begun."""
    row = side.row("SELECT count(*) FROM es.streams WHERE category = 'saga'")
    assert row is not None
    return int(row[0])
