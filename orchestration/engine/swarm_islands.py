"""How a federation goes on whose islands move apart: each of them in a task of its own.

Agents migrate, the state goes into Redis, and each island's iterations up to the next
migration are done by a task of its own, which puts what came of them there too. Whoever
finds all of them there sends the join: it puts the islands together and records their
iterations by one event, with the hashes that they have in one task. As with slices,
there is no chord and no result backend: a join that comes twice is refused by the
version at which it would be recorded, and what is lost the sweep begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import cast

from orchestration.adapters.saga_records import Because
from orchestration.contracts import Moved, SwarmHint
from orchestration.core.swarm.federated import Federated, Stretch
from orchestration.core.swarm.motion import Fitness
from orchestration.core.swarm.outcome import checked
from orchestration.core.swarm.state import SwarmState
from orchestration.engine.swarm_running import SwarmRunner
from orchestration.engine.swarm_states import Held, unvalued, whole_ms
from orchestration.errors import TransportError

__all__ = ["SwarmFederator"]

_LOST = "its islands are not in Redis any more"


@dataclass(frozen=True, slots=True)
class SwarmFederator:
    """Has islands move in tasks of their own; all else is the runner's."""

    runner: SwarmRunner

    def scatter(self, held: Held, because: Because) -> str:
        """Send the islands on their way to the next migration."""
        fitness = self.runner.fitness(held)
        if isinstance(fitness, str):
            return fitness
        state = self._migrated(held, fitness, because)
        last = _motion(held).until_migration(state.iteration)
        return self._send(held, state, min(last, held.run.stopping.iterations))

    def stretch(
        self, swarm_id: str, hint: SwarmHint, at: Moved, nth: int, because: Because
    ) -> str:
        """Do one island's iterations; who finds it was the last one sends the join."""
        runner = self.runner
        held = runner.states.take(swarm_id, hint)
        if held is None:
            return "done already"
        runner.states.memory.put(held)
        fitness = runner.fitness_of(held.run.fitness)
        if fitness is None:
            return runner.cannot_value(held)
        # A long stretch is sent again before it is over: what is there need not be done
        # once more, and does not keep the join waiting.
        if nth not in self._there(held, at):
            blob = runner.hot.moved(swarm_id, at["iteration"])
            if blob is None or sha256(blob).hexdigest() != at["digest"]:
                return _LOST
            done = self._done(held, blob, at, nth, checked(fitness), because)
            part = _mark(held, at) + done
            runner.hot.put_values(swarm_id, at["iteration"], nth, part)
        if len(self._there(held, at)) == len(_motion(held).islands):
            runner.sender.join(held.view, held.run, kept_ms=held.kept_ms, moved=at)
        return f"island {nth + 1} to iteration {at['iteration']}"

    def _there(self, held: Held, at: Moved) -> Mapping[int, bytes]:
        """Return what islands have come to from where they set out, and no other."""
        mark = _mark(held, at)
        parts = self.runner.hot.values(held.view.swarm_id, at["iteration"])
        return {
            nth: part.removeprefix(mark)
            for nth, part in parts.items()
            if part.startswith(mark)
        }

    def _done(
        self,
        held: Held,
        blob: bytes,
        at: Moved,
        nth: int,
        fitness: Fitness,
        because: Because,
    ) -> bytes:
        """Do one island's iterations from a state; return what they came to."""
        state = SwarmState.from_bytes(blob)
        count = at["iteration"] - state.iteration
        told = {"seed": held.run.seed, "iterations": count}
        try:
            done = _motion(held).stretch(state, nth, fitness=fitness, **told)
        except Exception as exc:
            self.runner.failed(held, exc, because)
            raise
        return done.to_bytes()

    def join(self, held: Held, at: Moved, because: Because) -> str:
        """Put the islands together, record their iterations, and go on."""
        runner, motion, view = self.runner, _motion(held), held.view
        fitness = runner.fitness(held)
        if isinstance(fitness, str):
            return fitness
        state = self._migrated(held, fitness, because)
        parts = self._there(held, at)
        if len(parts) != len(motion.islands) or _digest(state) != at["digest"]:
            return _LOST
        began = SwarmState.from_bytes(state.to_bytes())
        stretches = [Stretch.from_bytes(parts[nth]) for nth in sorted(parts)]
        until = held.run.stopping
        done = motion.joined(state, stretches, previous=view.link, until=until)
        if isinstance(done, int):
            # It ends before the next migration, and where it does its islands are not
            # known: they go there once more, and no farther.
            word = self._send(held, began, view.iteration + done)
        else:
            took_s = (whole_ms(runner.clock.now()) - at["at_ms"]) / 1_000
            word = runner.record(held, done, because, took_s=took_s)
        runner.hot.drop_valued(view.swarm_id, at["iteration"])
        return word

    def _migrated(
        self, held: Held, fitness: Fitness | None, because: Because
    ) -> SwarmState:
        """Return the state from which the islands set out, each by itself."""
        try:
            if not held.view.iteration:
                return unvalued(held)  # each island values its own
            state = self.runner.states.load(held, fitness)
        except TransportError:
            raise
        except Exception as exc:
            self.runner.failed(held, exc, because)
            raise
        _motion(held).migrate(state)
        return state

    def _send(self, held: Held, state: SwarmState, last: int) -> str:
        """Send each island on its way to an iteration."""
        runner, view, run = self.runner, held.view, held.run
        at = Moved(
            iteration=last,
            digest=_digest(state),
            at_ms=whole_ms(runner.clock.now()),
        )
        runner.hot.put_moved(view.swarm_id, last, state.to_bytes())
        islands = len(_motion(held).islands)
        for nth in range(islands):
            runner.sender.island(view, run, kept_ms=held.kept_ms, moved=at, nth=nth)
        runner.states.memory.put(replace(held, state=None))
        return f"to iteration {last} on {islands} islands"


def _motion(held: Held) -> Federated:
    # No other run is told to evaluate by islands: it would have been refused.
    return cast(Federated, held.motion)


def _mark(held: Held, at: Moved) -> bytes:
    """Return what tells these iterations from those of another run of that id."""
    return sha256(f"{held.view.spec_hash}:{at['digest']}".encode()).digest()


def _digest(state: SwarmState) -> str:
    return sha256(state.to_bytes()).hexdigest()
