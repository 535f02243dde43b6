"""How a swarm goes on whose fitness takes long: a slice of positions in each task.

The agents are moved, their positions put into Redis, and each slice is valued by a task
of its own, which puts the values there too. Whoever finds all of them there sends the
join: it moves the agents once more, takes in the values and records the iteration, as
one task does elsewhere. No chord, no result backend: a join that comes twice is refused
by the version at which it would be recorded, and what is lost the sweep begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from orchestration.adapters.saga_records import Because
from orchestration.contracts import Moved, SwarmHint
from orchestration.core.swarm.motion import Advanced, Fitness, judged, link, moved
from orchestration.core.swarm.outcome import checked
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.engine.swarm_running import SwarmRunner
from orchestration.engine.swarm_states import Held, unvalued, whole_ms
from orchestration.errors import TransportError

__all__ = ["SwarmScatterer"]


@dataclass(frozen=True, slots=True)
class SwarmScatterer:
    """Has positions valued in many tasks; all else is the runner's."""

    runner: SwarmRunner

    def scatter(self, held: Held, because: Because) -> str:
        """Send the slices of a swarm's next iteration."""
        fitness = self.runner.fitness(held)
        if isinstance(fitness, str):
            return fitness
        state = self._state(held, fitness, because)
        if state is None:
            return self._send_slices(held, unvalued(held))
        return self._send_slices(held, moved(held.motion, state, held.run.seed))

    def value(
        self, swarm_id: str, hint: SwarmHint, at: Moved, nth: int, because: Because
    ) -> str:
        """Value a slice; who finds that it was the last one sends the join."""
        runner, iteration = self.runner, at["iteration"]
        held = runner.states.take(swarm_id, hint)
        if held is None:
            return "done already"
        runner.states.memory.put(held)
        fitness = runner.fitness_of(held.run.fitness)
        if fitness is None:
            return runner.cannot_value(held)
        blob = runner.hot.moved(swarm_id, iteration)
        if blob is None or sha256(blob).hexdigest() != at["digest"]:
            return "its positions are not in Redis any more"
        position = SwarmState.from_bytes(blob).record["position"]
        bounds = held.run.slice_bounds(len(position))
        first, end = bounds[nth]
        # An iteration that takes long is sent again before it is over.
        there = runner.hot.values(swarm_id, iteration)
        is_new, count = nth not in there, len(there)
        if is_new:
            try:
                valued = held.run.tried_by(checked(fitness))
                values = _sized(valued(position[first:end]), end - first)
            except Exception as exc:
                runner.failed(held, exc, because)
                raise
            count = runner.hot.put_values(swarm_id, iteration, nth, values.tobytes())
        # If the join was lost, one of those that were sent again sends it again.
        if count == len(bounds) and (is_new or nth == 0):
            runner.sender.join(held.view, held.run, kept_ms=held.kept_ms, moved=at)
        return f"{end - first} positions"

    def join(self, held: Held, at: Moved, because: Because) -> str:
        """Take in the values of all slices, record the iteration, and go on."""
        runner = self.runner
        if at["iteration"] == 0:
            return self.scatter(held, because)
        fitness = runner.fitness(held)
        if isinstance(fitness, str):
            return fitness
        state = self._state(held, fitness, because)
        if state is None:
            return "its values are not in Redis any more"
        state = moved(held.motion, state, held.run.seed)
        values = self._values(held, state)
        if values is None or sha256(state.to_bytes()).hexdigest() != at["digest"]:
            return "its values are not in Redis any more"
        done = _done(held, state, values)
        took_s = (whole_ms(runner.clock.now()) - at["at_ms"]) / 1_000
        word = runner.record(held, done, because, took_s=took_s)
        runner.hot.drop_valued(held.view.swarm_id, state.iteration)
        return word

    def _state(
        self, held: Held, fitness: Fitness | None, because: Because
    ) -> SwarmState | None:
        """Return a swarm's state; None: that of iteration 0 is not valued yet."""
        try:
            if held.view.iteration:
                return self.runner.states.load(held, fitness)
            state = unvalued(held)
        except TransportError:
            raise
        except Exception as exc:
            self.runner.failed(held, exc, because)
            raise
        values = self._values(held, state)
        if values is None:
            return None
        judged(held.motion, state, values, until=held.run.stopping)
        return state

    def _values(self, held: Held, state: SwarmState) -> Floats | None:
        """Return the values of a state's positions; None if some are missing."""
        parts = self.runner.hot.values(held.view.swarm_id, state.iteration)
        count = len(held.run.slice_bounds(state.size))
        if len(parts) != count:
            return None
        return np.concatenate([np.frombuffer(parts[nth]) for nth in range(count)])

    def _send_slices(self, held: Held, state: SwarmState) -> str:
        runner, view, run = self.runner, held.view, held.run
        blob = state.to_bytes()
        at = Moved(
            iteration=state.iteration,
            digest=sha256(blob).hexdigest(),
            at_ms=whole_ms(runner.clock.now()),
        )
        runner.hot.put_moved(view.swarm_id, state.iteration, blob)
        for nth in range(len(run.slice_bounds(state.size))):
            runner.sender.value(view, run, kept_ms=held.kept_ms, moved=at, nth=nth)
        runner.states.memory.put(replace(held, state=None))
        return f"iteration {state.iteration} in {run.slices} slices"


def _sized(values: Floats, size: int) -> Floats:
    if values.shape != (size,):
        raise ValueError(
            f"the fitness returned shape {values.shape} for {size} agents: return one "
            f"value each, shape ({size},)"
        )
    return values


def _done(held: Held, state: SwarmState, values: Floats) -> Advanced:
    """Return an iteration whose positions were valued elsewhere."""
    motion, until = held.motion, held.run.stopping
    judged(motion, state, values, until=until)
    return Advanced(
        state=state,
        hashes=[link(held.view.link, state)],
        best=[float(state.record["best"])],
        convergence=motion.convergence(state),
        stopped=until.reason(state, motion.convergence),
        agents=[state.size],
    )
