"""Whether a saga can be rolled back, whatever goes wrong, shown by trying it all.

    prover = RollbackProver(InMemory(), snapshot=shop.snapshot, reset=shop.reset)
    prover.prove(order, {"euros": 30})

Each step fails and is killed, before and after its effect, once and for good, or takes
effect after it was given up; with each of these, each undo that follows fails and is
killed as well. After each run a snapshot of the world is held against what the saga
says of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestration.core.saga.model import SagaState, SagaTransaction
from orchestration.errors import ConfigurationError
from orchestration.testing.proof import Proof, Tried
from orchestration.testing.references import References
from orchestration.testing.runs import Run
from orchestration.testing.scenarios import (
    Scenario,
    first_scenarios,
    further_scenarios,
)
from orchestration.testing.snapshots import differences, settled
from orchestration.testing.stages import Stage
from orchestration.testing.stand_ins import with_stand_ins
from orchestration.testing.verdict import CannotTell, faults_of

__all__ = ["RollbackProver"]

Which = Callable[[Scenario], bool]


@dataclass(frozen=True, slots=True)
class RollbackProver:
    """Tries what may go wrong in a saga, on a world of the user's.

    Attributes:
        stage: Where sagas are run: ``InMemory(…)`` or ``OnWorkers(…)``.
        snapshot: Returns what of the world counts, as dicts, lists, sets and values
            that can be compared. What differs from run to run does not belong there,
            save the ids of sagas.
        reset: Puts the world back to how every run is to find it.
    """

    stage: Stage
    snapshot: Callable[[], Any]
    reset: Callable[[], object]

    def prove(
        self,
        transaction: SagaTransaction,
        data: Mapping[str, Any] | None = None,
        *,
        signals: Mapping[str, object] | None = None,
        stays: Iterable[str] = (),
        only: Which | None = None,
    ) -> Proof:
        """Try all, and return what came of it; see ``examine``.

        Raises:
            RollbackBroken: A saga's end is not true; an AssertionError whose text
                names scenario, step and the differences in the world.
            ConfigurationError: As ``examine`` does.
        """
        proof = self.examine(transaction, data, signals=signals, stays=stays, only=only)
        proof.check()
        return proof

    def examine(
        self,
        transaction: SagaTransaction,
        data: Mapping[str, Any] | None = None,
        *,
        signals: Mapping[str, object] | None = None,
        stays: Iterable[str] = (),
        only: Which | None = None,
    ) -> Proof:
        """Try all, and return what came of it, good or bad.

        Args:
            transaction: The saga; it is run many times, under ids of its own.
            data: Its input, with which it has to complete if nothing goes wrong.
            signals: Data of the signals that it waits for, by name.
            stays: Steps without a compensation whose effects may stay when the saga
                is undone; of a step of a child saga ``"book/flight"``.
            only: Which scenarios to try, of those that there are; None: all. Undos
                that fail are tried where the step's own fault is among them.

        Raises:
            ConfigurationError: There is nothing to be judged: the saga does not
                complete by itself, a snapshot shows nothing of it or differs from run
                to run, ``reset`` leaves something, or workers let no faults happen.
        """
        trial = _Trial(self, transaction, dict(data or {}), dict(signals or {}))
        known = trial.references()
        return Proof(
            transaction.name,
            tuple(trial.tried(known, frozenset(stays), only or _all)),
        )


@dataclass(frozen=True, slots=True)
class _Trial:
    """One saga with its input, to be run again and again."""

    prover: RollbackProver
    transaction: SagaTransaction
    data: Mapping[str, Any]
    signals: Mapping[str, object]

    def references(self) -> References:
        """Run the saga without faults, and make sure that this tells something."""
        before = self._reset()
        well, after = self.run(Scenario())
        _refuse_unfinished(well)
        if after == before:
            raise ConfigurationError(
                "the snapshot after the saga is the one before it: let snapshot() "
                "return what its steps change"
            )
        self._reset(before)
        _, again = self.run(Scenario())
        if varied := differences(again, after):
            raise ConfigurationError(
                "two runs without a fault leave different worlds: let snapshot() "
                f"leave out what varies, or reset() put it back: {varied[0]}"
            )
        self._reset(before)
        return References(before, well, after, self._without)

    def tried(
        self, known: References, stays: frozenset[str], only: Which
    ) -> Iterator[Tried]:
        """Run every scenario, and judge it; none beside one that does not end."""
        left = [Scenario(), *first_scenarios(known.well)]
        while left:
            scenario = left.pop(0)
            if not only(scenario):
                continue
            run, tried = self._try(scenario, known, stays)
            yield tried
            if not run.status.state.is_final:
                return
            if len(scenario.faults) == 1:
                left[:0] = further_scenarios(scenario, run)

    def run(self, scenario: Scenario) -> tuple[Run, Any]:
        """Run the saga; return the run, and the world after it."""
        run = self._stage.run(
            self.transaction, self.data, faults=scenario.faults, signals=self.signals
        )
        return run, self._leave(run)

    def _try(
        self, scenario: Scenario, known: References, stays: frozenset[str]
    ) -> tuple[Run, Tried]:
        self._reset(known.before)
        run, world = self.run(scenario)
        _refuse_unharmed(scenario, run)
        state = run.status.state
        try:
            faults = faults_of(scenario, run, world, known, stays)
        except CannotTell as exc:
            return run, Tried(scenario, state, untold=str(exc))
        return run, Tried(scenario, state, faults)

    def _without(self, outputs: Mapping[str, Mapping[str, Any]]) -> tuple[Run, Any]:
        """Run the saga with stand-ins in place of some steps."""
        self._reset()
        rest = with_stand_ins(self.transaction, outputs)
        run = self._stage.run(rest, self.data, signals=self.signals)
        return run, self._leave(run)

    @property
    def _stage(self) -> Stage:
        return self.prover.stage

    def _leave(self, run: Run) -> Any:  # noqa: ANN401
        """Return the world after a run, of which nothing comes any more."""
        world = settled(self.prover.snapshot(), dict(run.names()))
        self._stage.leave(run)
        return world

    def _reset(self, before: object = None) -> Any:  # noqa: ANN401
        """Put the world back; return it, once it is sure to be the one before."""
        self.prover.reset()
        world = settled(self.prover.snapshot(), {})
        if before is not None and (left := differences(world, before)):
            raise ConfigurationError(f"reset() does not put the world back: {left[0]}")
        return world


def _all(scenario: Scenario) -> bool:
    del scenario
    return True


def _refuse_unfinished(run: Run) -> None:
    status = run.status
    if status.state is SagaState.COMPLETED:
        return
    why = status.error or status.waiting_for or "for no reason that it knows"
    raise ConfigurationError(
        f"the saga is {status.state} even if nothing goes wrong ({why}): give it data "
        "and signals with which it completes"
    )


def _refuse_unharmed(scenario: Scenario, run: Run) -> None:
    for fault in scenario:
        if not run.was_struck_by(fault):
            raise ConfigurationError(
                f"{fault}: this did not happen. Start the workers with the module "
                "orchestration.testing.worker beside those of the agents: "
                "-I shop,orchestration.testing.worker"
            )
