"""A saga as it goes on: read again and again until it is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.live import Live

from orchestration.cli.facts import WORDS, facts_of
from orchestration.cli.views import saga_view
from orchestration.core.saga.ends import is_on_its_way

if TYPE_CHECKING:
    from rich.console import Console

    from orchestration.cli.session import SagaFacts, Session
    from orchestration.core.saga.events import SagaEvent

__all__ = ["follow", "follow_lines", "follow_live", "line_of"]

_LOOK_EVERY_S = 0.1


def follow(
    session: Session, saga_id: str, *, every_s: float = _LOOK_EVERY_S
) -> Iterator[SagaFacts]:
    """Yield the saga at each look; the last one is its end.

    A pause that an operator asked for is no end.
    """
    facts: SagaFacts | None = None
    while facts is None or is_on_its_way(facts.status):
        if facts is not None:
            time.sleep(every_s)
        facts = session.facts(saga_id, after=facts)
        yield facts


def follow_live(session: Session, saga_id: str, out: Console) -> SagaFacts:
    """Show the whole saga and keep it up to date; return it at its end."""
    with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
        for facts in follow(session, saga_id):
            now = datetime.now(UTC)
            view = saga_view(facts.status, facts.events, now=now, columns=out.width)
            live.update(view, refresh=True)
    return facts


def follow_lines(session: Session, saga_id: str, out: Console) -> SagaFacts:
    """Print a line for each event as it comes; return the saga at its end."""
    seen = 0
    for facts in follow(session, saga_id):
        for event in facts.events[seen:]:
            out.print(line_of(event, facts.events[0]), soft_wrap=True, markup=False)
        seen = len(facts.events)
    return facts


def line_of(event: SagaEvent, first: SagaEvent) -> str:
    """Return an event as one plain line."""
    after = (event.recorded_at - first.recorded_at).total_seconds()
    step = str(event.data.get("step", ""))
    attempt = event.data.get("attempt", 1)
    tries = f" (attempt {attempt})" if attempt > 1 else ""
    name = f" {step}{tries}" if step else ""
    words = f"{after:8.3f} s  {WORDS[event.type]:<16}{name}  {facts_of(event)}"
    return words.rstrip()
