"""What the doctor finds of sagas that wait for people, and of people not reached."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestration.cli.checkup import Finding, Verdict
from orchestration.cli.statements import statement

if TYPE_CHECKING:
    from orchestration.cli.session import Session

__all__ = ["open_ends"]


def open_ends(opened: Session) -> Iterator[Finding]:
    """Look at dead letters, notices and schedules."""
    yield _letters(opened)
    yield _notices(opened)
    yield from _schedules(opened)


def _letters(opened: Session) -> Finding:
    count, since, saga_id = opened.db.rows(statement("letters_left"))[0]
    if not count:
        return Finding("dead letters", Verdict.FINE, "none waits for a person")
    return Finding(
        "dead letters",
        Verdict.DOUBTFUL,
        f"{count} undos failed for good and are tried no more, the first {_at(since)}",
        f"see `orchestration saga show {saga_id}`; retry, skip or resolve it",
    )


def _notices(opened: Session) -> Finding:
    count, since = opened.db.rows(statement("notices_left"))[0]
    settings = opened.settings
    if count:
        has_somebody = settings.failure_task or settings.failure_webhook
        return Finding(
            "notices",
            Verdict.WRONG,
            f"{count} were not taken yet, the first {_at(since)}",
            "see the log of the chores worker"
            if has_somebody
            else "give the chores worker ORCHESTRATION_FAILURE_TASK or _WEBHOOK too",
        )
    return Finding("notices", Verdict.FINE, "none waits to be delivered")


def _schedules(opened: Session) -> Iterator[Finding]:
    rows = opened.db.rows(statement("schedules_in_error"))
    for name, error in rows:
        yield Finding(
            "schedules",
            Verdict.DOUBTFUL,
            f"{name} started nothing at its last slot: {error}",
            "it is tried at the next; see `orchestration saga schedules list`",
        )
    if not rows:
        yield Finding("schedules", Verdict.FINE, "no start was refused")


def _at(since: datetime) -> str:
    return f"at {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
