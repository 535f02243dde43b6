"""What the demo plays, and how it checks each thing that it tells."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.padding import Padding

from orchestration.cli.course import course_of
from orchestration.cli.narrator import Narrator
from orchestration.cli.output import span_text
from orchestration.cli.session import SagaFacts, Session, session
from orchestration.cli.spans import Ended, spans_of
from orchestration.cli.stack import LocalStack, Part
from orchestration.cli.timeline import timeline
from orchestration.core.saga.events import EventType
from orchestration.errors import OrchestrationError
from orchestration.message_bus import MessageBus
from orchestration.saga import SagaOrchestrator, SagaTransaction
from orchestration.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Stage", "Untrue", "failing", "killed", "reported", "verified"]

_PATIENCE_S = 180.0
_LOOK_EVERY_S = 0.03
_READ_DELAY_MS = 300
_SITES_BEFORE_KILL = 4
_SLOW_STEP = "collect_esg_data"


class Untrue(OrchestrationError):
    """Something that the demo was about to tell turned out not to be so."""


@dataclass(slots=True)
class Stage:
    """What the scenes share.

    Attributes:
        reports: ``CSRD_HOME`` of the workers.
        report: Folder of the first saga's published report.
        figures: Digest of its figures, to hold the third saga's against.
    """

    stack: LocalStack
    out: Console
    reports: Path
    lease_s: float
    bus: MessageBus
    session: Session
    workers: int = 0
    report: Path = field(default_factory=Path)
    figures: str = ""
    last_saga: str = ""

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, stack: LocalStack, out: Console, reports: Path, *, lease_s: float
    ) -> Iterator[Stage]:
        """Migrate the database and connect to it."""
        from orchestration.adapters.schema import migrate_all

        migrate_all(stack.servers.database_url)
        settings = Settings.from_env(
            database_url=stack.servers.database_url,
            redis_url=stack.servers.redis_url,
            broker_url=stack.servers.broker_url,
            key_prefix="",
        )
        bus = MessageBus(settings)
        with session(settings) as opened:
            try:
                yield cls(stack, out, reports, lease_s, bus, opened)
            finally:
                asyncio.run(bus.close())

    def raise_curtain(self, module: str, began: float) -> None:
        """Start workers and beat, and wait until they host the agents."""
        parts = [self._next_worker(module), self.stack.chores(quick=True)]
        parts.append(self.stack.beat())
        with self.out.status("starting workers …"):
            for part in parts:
                self.stack.start(part)
            self.stack.wait_ready(*parts)
            asyncio.run(self.bus.initialize())
            self._expect_agents()
        number = self.session.db.rows("SHOW server_version")[0][0]
        took = span_text(time.monotonic() - began)
        self.say(
            f"[ok]✓[/] Postgres {number}, Valkey, two Celery workers, beat  "
            f"[faint]{took}[/]"
        )

    def another_worker(self, module: str) -> Part:
        """Start a worker in the place of a dead one, and return when it is ready."""
        part = self._next_worker(module)
        self.stack.start(part)
        self.stack.wait_ready(part)
        return part

    def title(self, number: int, text: str, *lines: str) -> None:
        """Open a scene: its number, what it is about, and why that matters."""
        self.out.print(f"\n[head]{number}  {text}[/]")
        for line in lines:
            self.say(line, style="faint")
        self.out.print()

    def say(self, text: str, style: str = "") -> None:
        """Print a line of a scene."""
        self.out.print(Padding(text, (0, 0, 0, 3), expand=False), style=style)

    def start(self, transaction: SagaTransaction, data: Mapping[str, Any]) -> str:
        """Start a saga as an application does, and return its id."""
        saga = SagaOrchestrator(self.bus)
        self.last_saga = asyncio.run(saga.start(transaction, data))
        return self.last_saga

    def watch(self, saga_id: str, *, until: Callable[[SagaFacts], bool]) -> SagaFacts:
        """Tell what happens until a condition is true, or the saga is over.

        Raises:
            Untrue: It takes longer than three minutes.
        """
        give_up_at = time.monotonic() + _PATIENCE_S
        facts: SagaFacts | None = None
        with Narrator(self.out) as narrator:
            while True:
                facts = self.session.facts(saga_id, after=facts)
                narrator.tell(facts.events)
                if facts.status.state.is_final or until(facts):
                    return facts
                if time.monotonic() > give_up_at:
                    state = facts.status.state
                    words = self.stack.last_words(f"worker{self.workers}")
                    raise Untrue(
                        f"saga {saga_id} is {state} after {_PATIENCE_S:.0f} s; the "
                        f"worker's log ends:\n{words}"
                    )
                time.sleep(_LOOK_EVERY_S)

    def _next_worker(self, module: str) -> Part:
        self.workers += 1
        return self.stack.worker(f"worker{self.workers}", modules=[module], quick=True)

    def _expect_agents(self) -> None:
        """Wait until the worker has said what it hosts: just after it is ready."""
        from examples.csrd.transaction import csrd_transaction

        wanted = {step.agent_id for step in csrd_transaction().steps}
        give_up_at = time.monotonic() + _PATIENCE_S
        while self.session.announcements.offline(wanted):
            if time.monotonic() > give_up_at:
                raise Untrue("the worker does not host the example's agents")
            time.sleep(_LOOK_EVERY_S)


def reported(stage: Stage) -> None:
    """Play a saga that completes."""
    from examples.csrd.transaction import csrd_transaction, report_request

    stage.title(
        1,
        "Five agents make a climate report",
        "Each step is a Celery task. Each thing that happens is an event in Postgres,",
        "and those events, not the messages, say how the saga stands.",
    )
    saga_id = stage.start(csrd_transaction(), report_request())
    facts = stage.watch(saga_id, until=_never)
    _expect_state(facts, "COMPLETED")
    stage.report = _published(facts)
    stage.figures = _digest(stage.report / "figures.json")


def failing(stage: Stage) -> None:
    """Play a saga that fails at its third step and is undone."""
    from examples.csrd.transaction import (
        COMPANY_WITHOUT_FACTOR,
        csrd_transaction,
        report_request,
    )

    stage.title(
        2,
        "Another company: the third step cannot be done",
        "Nothing is switched to fail. The company has a site in a country that the",
        "table of emission factors lacks, so what was done before is undone.",
    )
    transaction = csrd_transaction()
    before = _published_reports(stage.reports)
    saga_id = stage.start(transaction, report_request(COMPANY_WITHOUT_FACTOR))
    facts = stage.watch(saga_id, until=_never)
    _expect_state(facts, "COMPENSATED")
    names = [step.name for step in transaction.steps]
    undone = facts.status.compensated_steps
    expect(facts.status.failed_step == names[2], "another step than the third failed")
    expect(list(undone) == names[1::-1], f"undone was {undone}, in this order")
    expect(not _work(stage, saga_id).exists(), "files of the undone saga are left")
    expect(_published_reports(stage.reports) == before, "the undone saga published")
    stage.say(
        "[ok]✓[/] [faint]checked: no file of it is left, and nothing is published[/]"
    )


def killed(stage: Stage) -> None:
    """Play a saga whose worker is killed in mid-step."""
    from examples.csrd.transaction import csrd_transaction, report_request

    stage.title(
        3,
        "A worker is killed in the middle of a step",
        f"A worker holds a step by a lease, here of {stage.lease_s:g} s (15 unless set "
        "otherwise).",
        "Not renewed, it runs out: nobody can tell how far the step came, so its",
        "outcome is unknown, and it is tried again under the same idempotency key.",
    )
    slow = csrd_transaction(read_delay_ms=_READ_DELAY_MS)
    saga_id = stage.start(slow, report_request())
    read = _work(stage, saga_id)
    stage.watch(saga_id, until=lambda _: _half_read(read) >= _SITES_BEFORE_KILL)
    name = f"worker{stage.workers}"
    sites = _half_read(read)
    expect(sites, "the step was over before its worker could be killed")
    pid = stage.stack.kill(name)
    died = datetime.now(UTC)
    stage.say(
        f"[bad]⚡[/] kill -9 {pid}: {name} and its processes, {sites} sites into "
        f"{_SLOW_STEP}"
    )
    with stage.out.status("starting another worker …"):
        fresh = stage.another_worker("examples.csrd.agents")
    after = span_text((datetime.now(UTC) - died).total_seconds())
    stage.say(f"[ok]✓[/] {fresh.name} is up, {after} after the kill")
    facts = stage.watch(saga_id, until=_never)
    _expect_state(facts, "COMPLETED")
    _expect_recovery(facts, name, fresh.name)
    same = _digest(_published(facts) / "figures.json") == stage.figures
    expect(same, "the figures differ from those of the first saga")
    expect(not _half_read(read), "a half-built folder is left")
    stage.say(
        "[ok]✓[/] [faint]checked: published once, and to the byte the figures of the "
        "first[/]"
    )
    _draw(stage, facts)


def verified(stage: Stage) -> None:
    """Compute every hash anew."""
    from eventstore.verify import verify

    stage.title(
        4,
        "Has anyone changed the record?",
        "Each event's hash covers the one before it. They are computed anew from the",
        "stored bytes, outside the database.",
    )
    stage.session.store.sequence()
    seen = verify(stage.session.db.engine)
    expect(seen.sound, "; ".join(map(str, seen.failures)))
    expect(seen.streams >= 3, f"there are {seen.streams} streams")  # noqa: PLR2004
    stage.say(
        f"[ok]✓[/] {seen.events} events in {seen.streams} streams: nothing was "
        "changed, removed or put in between"
    )


def expect(claim: object, what: str) -> None:
    """Stop the demo if a claim is not true."""
    if not claim:
        raise Untrue(what)


def _never(facts: SagaFacts) -> bool:
    del facts
    return False


def _expect_state(facts: SagaFacts, state: str) -> None:
    status = facts.status
    expect(
        status.state == state,
        f"saga {status.saga_id} is {status.state} and not {state}: {status.error}",
    )


def _expect_recovery(facts: SagaFacts, dead: str, fresh: str) -> None:
    """See in the events that the killed attempt was replaced on the new worker."""
    attempts = [span for span in spans_of(facts.events) if span.step == _SLOW_STEP]
    outcomes = [span.outcome for span in attempts]
    expect(outcomes == [Ended.UNKNOWN, Ended.DONE], f"its attempts were {outcomes}")
    nodes = [
        event.actor.partition("@")[0]
        for event in facts.recorded
        if event.type == EventType.STEP_STARTED and event.data["step"] == _SLOW_STEP
    ]
    expect(nodes == [dead, fresh], f"its attempts ran on {nodes}")


def _published(facts: SagaFacts) -> Path:
    """Return the folder of a saga's report, every file checked by its digest."""
    folder = Path(facts.status.result["published"]["path"])
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for name, digest in manifest["files"].items():
        expect(_digest(folder / name) == digest, f"{folder / name} was changed")
    expect(manifest["saga_id"] == facts.status.saga_id, f"{folder} is another saga's")
    for name in ("report.html", "instance.xbrl"):
        expect(name in manifest["files"], f"{folder} has no {name}")
    return folder


def _published_reports(reports: Path) -> set[str]:
    return {folder.name for folder in (reports / "outbox").iterdir()}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _work(stage: Stage, saga_id: str) -> Path:
    """Return the folder in which a saga's steps build."""
    return stage.reports / "work" / saga_id


def _half_read(folder: Path) -> int:
    """Return how many sites the first step has collected and not yet handed over."""
    return len(list(folder.glob(".collected.*/electricity/*.csv")))


def _draw(stage: Stage, facts: SagaFacts) -> None:
    course = course_of(
        facts.status.saga_id, facts.events, now=facts.events[-1].recorded_at
    )
    bars = timeline(course, columns=stage.out.width - 3)
    stage.out.print()
    stage.out.print(Padding(bars, (0, 0, 0, 2), expand=False))
