"""How a swarm goes on: take it, do its next iterations, record them, send the next.

The event comes first: it is appended if the swarm still stands where the iterations
began, so that of two processes that do the same ones, one records them. Then the state
goes to Redis, then the next message to the broker, unless that went out while the event
was being recorded; if either is lost, the sweep and the events make up for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from orchestration.adapters.saga_records import Because
from orchestration.contracts import SwarmHint
from orchestration.core.saga.evolve import evolve
from orchestration.core.swarm.events import EventType, NewFact
from orchestration.core.swarm.fold import SwarmStatus, SwarmView, iterated
from orchestration.core.swarm.motion import Advanced, Fitness, advance
from orchestration.core.swarm.outcome import (
    attempt_failed,
    checked,
    differs,
    ended,
    iterated_fact,
    never_came_back,
    roles_of,
)
from orchestration.engine.swarm_ports import Clock, Ends, Hot, Log, Metrics, Sender
from orchestration.engine.swarm_states import Differs, Held, SwarmStates, whole_ms
from orchestration.errors import TransportError

__all__ = ["MOST_TRIES", "SwarmRunner"]

MOST_TRIES = 3
"""So often work that does not come back is begun anew: it may be what kills workers."""

logger = logging.getLogger(__name__)
_GONE_ON = "done already"
# A swarm that moves more often than that is in lists as it was so long ago.
_LISTED_EVERY_MS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmRunner:
    """Does iterations in a worker.

    Attributes:
        fitness_of: Returns the fitness of a name; None: this process has none.
        snapshot_s: How often a state is kept in Postgres, seconds.
    """

    log: Log
    hot: Hot
    states: SwarmStates
    sender: Sender
    ends: Ends
    clock: Clock
    metrics: Metrics
    fitness_of: Callable[[str], Fitness | None]
    snapshot_s: float

    def iterate(self, held: Held, because: Because) -> str:
        """Do a swarm's next iterations; return in a word what came of it."""
        fitness = self.fitness(held)
        if isinstance(fitness, str):
            return fitness
        began_s = monotonic()
        try:
            state = self.states.load(held, fitness)
            done = advance(
                held.motion,
                state,
                seed=held.run.seed,
                iterations=held.run.iterations_per_task,
                previous=held.view.link,
                fitness=fitness,
                until=held.run.stopping,
            )
        except TransportError:  # the sweep sends it again
            raise
        except Exception as exc:
            self.failed(held, exc, because)
            raise
        return self.record(held, done, because, took_s=monotonic() - began_s)

    def take(
        self,
        swarm_id: str,
        hint: SwarmHint | None,
        because: Because,
        *,
        is_redelivered: bool = False,
    ) -> Held | str:
        """Take a swarm in hand that is to go on; else end it, or say why it is not.

        Args:
            swarm_id: The swarm.
            hint: What its message tells.
            because: The task.
            is_redelivered: Whether the broker has handed out the message before.
        """
        held = self.states.take(swarm_id, hint)
        if held is None:
            return _GONE_ON
        if hint is not None:
            held = self.states.confirmed(held)
            if held.view.version > hint["version"]:
                return _GONE_ON
        view = held.view
        if view.status is not SwarmStatus.RUNNING:
            return f"left alone: {view.status}"
        end = self._due_end(view)
        if end is None and is_redelivered and view.tries >= MOST_TRIES:
            end = EventType.SWARM_FAILED, never_came_back(view)
        if end is not None:
            return self._finish(held, *end, because)
        if is_redelivered or (hint is not None and hint["sends"]):
            fact = NewFact(EventType.SWARM_SENT_AGAIN, {"tries": view.tries + 1})
            begun = self.log.record(view, [fact], because).view
            if begun is None:
                return _GONE_ON
            held.view = begun
        return held

    def take_valued(
        self, swarm_id: str, hint: SwarmHint, because: Because
    ) -> Held | str:
        """Take a swarm in hand whose positions were valued in tasks of their own.

        What is done counts as well if it has been sent again meanwhile: that is on
        record, and nothing else has changed.
        """
        held = self.take(swarm_id, hint, because)
        if not isinstance(held, str):
            return held
        found = self.states.read(swarm_id)
        is_there = found.view.iteration == hint["iteration"]
        is_on = found.view.status is SwarmStatus.RUNNING
        return found if is_there and is_on else held

    def fitness(self, held: Held) -> Fitness | str | None:
        """Return what values positions; a text, if this process does not host it."""
        name = held.run.fitness
        if not name:
            return None
        fitness = self.fitness_of(name)
        if fitness is not None:
            return held.run.valued_by(checked(fitness))
        return self.cannot_value(held)

    def cannot_value(self, held: Held) -> str:
        """Note that this process does not host a swarm's fitness; say so in words."""
        what = f"fitness {held.run.fitness!r} in a worker of its queue"
        self.log.note_waiting(held.view.swarm_id, what)
        return f"not hosted here: {what}"

    def record(
        self, held: Held, done: Advanced, because: Because, *, took_s: float
    ) -> str:
        """Record iterations, and end the swarm or have it go on.

        Args:
            held: The swarm as it was before.
            done: What they came to.
            because: The task.
            took_s: How long they took, seconds.
        """
        fact = iterated_fact(held.view, done)
        moved, is_listed, is_kept = self._moved(held, done)
        view, sent_version = held.view, None
        while True:
            after = iterated(view, fact.data)
            facts = [fact, *self._end_after(after, done)]
            is_over = len(facts) > 1
            if held.is_own and not is_over and sent_version is None:
                sent_version = self._send_ahead(moved, after)
            written = self.log.record(
                view,
                facts,
                because,
                snapshot=done.state.to_bytes() if is_over or is_kept else None,
                is_listed=is_listed,
                took_s=took_s,
            ).view
            if written is not None:
                break
            # What a person has asked for is no reason to do the iterations again.
            others = self.log.view(view.swarm_id)
            if others.iteration != view.iteration or others.status.is_over:
                return self._met(held, others, fact, because)
            if others.status is not SwarmStatus.RUNNING:
                return f"left alone: {others.status}"
            view = others
        passed_s = (written.moved_at - held.view.moved_at).total_seconds()
        efficiency = min(1.0, took_s / passed_s) if passed_s > 0 else 1.0
        moved.view = written
        is_sent = sent_version == written.version
        return self._go_on(moved, efficiency, is_sent=is_sent)

    def failed(self, held: Held, error: Exception, because: Because) -> None:
        """Record that iterations could not be done, and have them tried again."""
        if isinstance(error, Differs):
            what = (error.iteration, error.recorded, error.found)
            self._write_end(held.view, differs(held.view, *what), because)
            return
        view, run = held.view, held.run
        fact = attempt_failed(view, error, most=run.max_attempts, retry_ms=run.retry_ms)
        wait_ms = fact.data["retry_in_ms"]
        facts = [fact]
        if wait_ms is None:
            reason = f"iteration {view.iteration + 1} failed {view.attempts + 1} times"
            told = f"{reason}, the last time with {fact.data['error']}"
            facts.append(ended(EventType.SWARM_FAILED, view, None, told))
        written = self.log.record(view, facts, because).view
        if written is not None and written.status.is_over:
            self._over(written)
        elif written is not None:
            again = replace(held, view=written, state=None)
            self._send(again, wait_ms=wait_ms)
        else:
            self._pass_on(held, self.log.view(view.swarm_id))

    def _met(
        self, held: Held, others: SwarmView, fact: NewFact, because: Because
    ) -> str:
        """Look at what others have recorded of the same iterations."""
        last = fact.data["first"] + fact.data["count"] - 1
        link = fact.data["hashes"][-1]
        if others.iteration == last and others.link != link:
            if not others.status.is_over:
                what = differs(others, last, others.link, link)
                self._write_end(others, what, because)
            raise Differs(last, others.link, link)
        self._pass_on(held, others)
        return _GONE_ON

    def _pass_on(self, held: Held, others: SwarmView) -> None:
        """Send the message that others have sent ahead, and that was used up here."""
        if held.is_behind and others.status is SwarmStatus.RUNNING:
            self._send(replace(held, view=others, state=None))

    def _due_end(self, view: SwarmView) -> tuple[EventType, str] | None:
        if view.is_stopping:
            return EventType.SWARM_STOPPED, "it was asked to stop"
        if view.is_late(self.clock.now()):
            return EventType.SWARM_TIMED_OUT, "its time was over"
        return None

    def _end_after(self, after: SwarmView, done: Advanced) -> Sequence[NewFact]:
        if done.stopped is not None:
            end: tuple[EventType, str] | None
            end = EventType.SWARM_COMPLETED, str(done.stopped)
        else:
            end = self._due_end(after)
        return [ended(end[0], after, done.state, end[1])] if end else []

    def _finish(
        self, held: Held, type_: EventType, reason: str, because: Because
    ) -> str:
        while not held.view.status.is_over:
            fact = ended(type_, held.view, self.states.at_hand(held), reason)
            written = self.log.record(held.view, [fact], because).view
            if written is not None:
                self._over(written)
                break
            # Others have recorded something: it ends as it stands now.
            held = replace(held, view=self.log.view(held.view.swarm_id), state=None)
        return f"ended: {reason}"

    def _write_end(self, view: SwarmView, fact: NewFact, because: Because) -> None:
        """Record an end; others may be first with another event, so look again."""
        while not view.status.is_over:
            written = self.log.record(view, [fact], because).view
            if written is not None:
                self._over(written)
                return
            view = self.log.view(view.swarm_id)

    def _moved(self, held: Held, done: Advanced) -> tuple[Held, bool, bool]:
        """Return a swarm with its next state, and whether lists and snapshot are due.

        Its view is the one before; the times are those after.
        """
        now_ms = whole_ms(self.clock.now())
        is_listed = now_ms >= held.listed_ms + _LISTED_EVERY_MS
        is_kept = now_ms >= held.kept_ms + self.snapshot_s * 1_000
        moved = replace(held, state=done.state)
        if is_listed:
            moved.listed_ms = now_ms
        if is_kept:
            moved.kept_ms = now_ms
        return moved, is_listed, is_kept

    def _go_on(self, held: Held, efficiency: float, *, is_sent: bool) -> str:
        view, state = held.view, held.state
        if state is not None:
            told = {
                "iteration": view.iteration,
                "best": view.best,
                "convergence": view.convergence,
                "status": str(view.status),
            }
            try:
                self.hot.put(view.swarm_id, state, told)
            except TransportError as exc:
                # The next task computes it anew from the last snapshot.
                logger.warning("state of swarm %s not kept: %s", view.swarm_id, exc)
        if view.status.is_over:
            self._over(view)
            return f"ended: {view.reason}"
        self.states.memory.put(held)
        if not is_sent:
            self._send(held)
        roles = {} if state is None else roles_of(state)
        self.metrics.moved(view, roles, efficiency=efficiency)
        return f"iteration {view.iteration}"

    def _over(self, view: SwarmView) -> None:
        self.ends.tell(view.swarm_id)
        self.metrics.moved(view, {})

    def _send_ahead(self, held: Held, after: SwarmView) -> int | None:
        """Send the next message while the record that it follows is on its way.

        The way of a message takes as long as the record, so an iteration spares one of
        the two. Nothing rests on it: a message is a hint, and who gets it waits for the
        state, which follows the record. Only the process that recorded the iteration
        before may do so: of two that do the same ones, both would send the next.
        """
        version = after.version + 1
        is_sent = self._send(replace(held, view=evolve(after, version=version)))
        return version if is_sent else None

    def _send(self, held: Held, wait_ms: int = 0) -> bool:
        view, since = held.view, {"kept_ms": held.kept_ms, "listed_ms": held.listed_ms}
        try:
            self.sender.iterate(view, held.run, **since, wait_ms=wait_ms)
        except TransportError:
            logger.warning("swarm %s not sent yet", view.swarm_id)
            return False
        return True
