"""Chores of the event store."""

from __future__ import annotations

from eventstore import EventStore
from orchestration.contracts import PROVENANCE_SEQUENCE
from tasks.celery_app import app
from tasks.runtime import runtime


@app.task(name=PROVENANCE_SEQUENCE)
def sequence(period_s: float = 1.0) -> int:
    """Number the events committed since the last tick; return how many."""
    rt = runtime(app)
    if not rt.watch.claim_tick(PROVENANCE_SEQUENCE, period_s):
        return 0
    return EventStore(rt.db.engine).sequence()
