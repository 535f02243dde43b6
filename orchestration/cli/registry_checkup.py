"""What the doctor finds of the registry: who takes heartbeats, and who judges them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from orchestration.cli.checkup import Finding, Verdict
from orchestration.cli.statements import statement
from orchestration.contracts import CHORES_QUEUE, HEARTBEATS_QUEUE

if TYPE_CHECKING:
    from orchestration.cli.session import Session

__all__ = ["heartbeats", "registered"]

_LATE_S: Final = 15.0
"""Three sweeps: one may be lost, and one may be on its way."""

_START = "start this version's `celery -A tasks worker -Q chores`"


def heartbeats(consumed: Mapping[str, Sequence[Mapping[str, Any]]]) -> Finding:
    """Look at who consumes heartbeats.

    Args:
        consumed: What each worker answered of its queues, as Celery gives it.
    """
    names = {
        node: {queue["name"] for queue in queues} for node, queues in consumed.items()
    }
    takers = sorted(node for node, own in names.items() if HEARTBEATS_QUEUE in own)
    if not takers:
        return Finding(
            "heartbeats",
            Verdict.WRONG,
            f"no worker consumes {HEARTBEATS_QUEUE!r}: every agent will be taken for "
            "silent, and taken out",
            _START,
        )
    lacking = sorted(
        node
        for node, own in names.items()
        if CHORES_QUEUE in own and HEARTBEATS_QUEUE not in own
    )
    if lacking:
        return Finding(
            "heartbeats",
            Verdict.DOUBTFUL,
            f"{', '.join(lacking)} consumes {CHORES_QUEUE!r} without "
            f"{HEARTBEATS_QUEUE!r}; {', '.join(takers)} alone takes them",
            f"{_START} in its place",
        )
    return Finding("heartbeats", Verdict.FINE, f"taken by {', '.join(takers)}")


def registered(opened: Session, *, late_s: float = _LATE_S) -> Iterator[Finding]:
    """Look at whether agents are judged, and whether silence is believed.

    Args:
        opened: Where they are recorded.
        late_s: After which time without a sweep something is wrong, seconds.
    """
    from orchestration.adapters.registry_log import RegistryLog

    count, first_s = opened.db.rows(statement("registered"))[0]
    if not count:
        yield Finding("registry", Verdict.FINE, "no agent is registered")
        return
    last = RegistryLog(opened.db).last_sweep()
    # Of nobody there is no sweep: the first agent has to be there for a while.
    was_swept = last.version > 0
    idle_s = min(first_s, last.ago.total_seconds()) if was_swept else first_s
    if idle_s > late_s:
        when = f"for {idle_s:.0f} s" if was_swept else "yet"
        yield Finding(
            "registry",
            Verdict.WRONG,
            f"{count} agents, and none was judged {when}: who is silent is still found",
            "see the log of the chores worker; beat has to run, and Redis to answer",
        )
        return
    if last.protection is not None and not last.protection.is_spent:
        yield Finding(
            "registry",
            Verdict.DOUBTFUL,
            f"{count} agents, and so many are silent at once that none is taken out",
            "see whether their heartbeats arrive: their hosts, the network, the broker",
        )
        return
    says = f"{count} agents, not judged yet"
    if was_swept:
        says = f"{count} agents, judged {last.ago.total_seconds():.0f} s ago"
    yield Finding("registry", Verdict.FINE, says)
