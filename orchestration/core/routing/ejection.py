"""Which targets are left out for a while because their calls failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median_high
from typing import Final

from orchestration.core.routing.bounds import above, between, refuse
from orchestration.core.routing.window import SlidingCount

__all__ = ["Admission", "EjectionChange", "EjectionSettings", "OutlierEjection"]

_MOST_DOUBLINGS: Final = 64  # beyond them any bound is reached; keeps powers finite
_CHECKS_PER_WINDOW: Final = 10


class EjectionChange(StrEnum):
    """What an outcome changed."""

    EJECTED = "EJECTED"
    RESTORED = "RESTORED"


@dataclass(frozen=True, slots=True, kw_only=True)
class EjectionSettings:
    """When a target is ejected, for how long, and how many are never ejected.

    Attributes:
        consecutive_failures: So many failed calls in a row eject a target.
        window_s: Over which time success rates are compared.
        min_calls: Calls within the window below which a rate says nothing.
        min_targets: Targets with a rate below which nobody is an outlier.
        min_gap: Least distance below the typical success rate, 0.0-1.0.
        deviations: Least distance below it in standard errors, so that chance alone
            ejects nobody, though it has a chance with every failed call.
        base_ejection_s: How long the first ejection lasts; each further one lasts
            twice as long.
        max_ejection_s: How long an ejection lasts at most.
        forgive_after_s: One earlier ejection is forgotten for each such time in
            service.
        trial_timeout_s: When the call that tries an ejected target counts as lost,
            and another may try.
        max_ejected_share: Share of the candidates that may be left out, 0.0-1.0.
        min_remaining: Number of candidates that always remain; at least 1.
    """

    consecutive_failures: int = 5
    window_s: float = 30.0
    min_calls: int = 20
    min_targets: int = 3
    min_gap: float = 0.2
    deviations: float = 3.5
    base_ejection_s: float = 10.0
    max_ejection_s: float = 300.0
    forgive_after_s: float = 60.0
    trial_timeout_s: float = 30.0
    max_ejected_share: float = 0.5
    min_remaining: int = 1

    def __post_init__(self) -> None:
        refuse(
            self,
            between("consecutive_failures", self.consecutive_failures, 1),
            above("window_s", self.window_s),
            between("min_calls", self.min_calls, 1),
            between("min_targets", self.min_targets, 2),
            between("min_gap", self.min_gap, 0, 1),
            between("deviations", self.deviations, 0),
            above("base_ejection_s", self.base_ejection_s),
            between("max_ejection_s", self.max_ejection_s, self.base_ejection_s),
            above("forgive_after_s", self.forgive_after_s),
            above("trial_timeout_s", self.trial_timeout_s),
            between("max_ejected_share", self.max_ejected_share, 0, 1),
            between("min_remaining", self.min_remaining, 1),
        )

    def floor(self, candidates: int) -> int:
        """Return how many of so many candidates always remain."""
        # The small addend makes 70 % of ten seven, whatever the float says.
        most = math.floor(candidates * self.max_ejected_share + 1e-9)
        return min(candidates, max(self.min_remaining, candidates - most))


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Who may be picked of some candidates.

    Attributes:
        targets: Those who may, in the order of the candidates.
        ejected: Those who are left out.
        readmitted: Ejected ones that may be picked all the same, because too few
            would remain.
        valid_until_s: Until when this holds as long as ``version`` stays the same.
    """

    targets: tuple[str, ...]
    ejected: tuple[str, ...] = ()
    readmitted: tuple[str, ...] = ()
    valid_until_s: float = math.inf

    @property
    def panic(self) -> bool:
        """Whether the floor is reached: failing targets get calls, or none would."""
        return bool(self.readmitted)


class OutlierEjection:
    """Ejects targets whose calls fail, and takes them back after one call that works.

    A target is ejected by failures in a row, or by a success rate far below that of
    its group. Its ejection lasts longer each time, within a bound; then one call tries
    it, whose outcome restores or ejects it again. Ejections are never limited: how
    many candidates of *one decision* are left out is, so that the floor holds for
    each set of candidates, however small.

    An outcome of a call that was sent before the last change of its target changes
    nothing. Calls of one process only are seen: this needs no heartbeat, and ejects an
    agent that died long before the registry does.

    Not thread-safe: ``began``, ``note`` and ``forget`` go under one lock of the
    caller. ``admit`` changes nothing and may run beside them. ``now_s`` and ``sent_s``
    are seconds of any one clock that does not go back.

    Attributes:
        version: Grows whenever a new ``admit`` could answer differently.
    """

    __slots__ = ("_ejected", "_settings", "_targets", "_typical", "version")

    def __init__(self, settings: EjectionSettings | None = None) -> None:
        self._settings = settings or EjectionSettings()
        self._targets: dict[str, _Target] = {}
        self._ejected: dict[str, _Target] = {}
        self._typical: dict[str, tuple[float, float | None]] = {}
        self.version = 0

    def admit(self, candidates: Sequence[str], *, now_s: float) -> Admission:
        """Return who of the candidates may be picked; never fewer than the floor."""
        if not self._ejected:
            return Admission(targets=tuple(candidates))
        out = [
            (state.trial_s is not None, back_s, target)
            for target in candidates
            if (state := self._ejected.get(target)) is not None
            and now_s < (back_s := state.back_s(self._settings))
        ]
        if not out:
            return Admission(targets=tuple(candidates))
        out.sort()  # those that come back first, but no trial on its way
        missing = self._settings.floor(len(candidates)) - (len(candidates) - len(out))
        again = {target for _, _, target in out[: max(missing, 0)]}
        left = {target for _, _, target in out} - again
        return Admission(
            targets=tuple([target for target in candidates if target not in left]),
            ejected=tuple([target for target in candidates if target in left]),
            readmitted=tuple([target for target in candidates if target in again]),
            valid_until_s=min(back_s for _, back_s, _ in out),
        )

    def began(self, target: str, *, now_s: float) -> None:
        """Take note that a call goes to a target: it may be the one that tries it."""
        state = self._ejected.get(target)
        if state is not None and now_s >= state.back_s(self._settings):
            state.trial_s = now_s
            self.version += 1

    def note(
        self, target: str, *, ok: bool, sent_s: float, now_s: float, group: str = ""
    ) -> EjectionChange | None:
        """Take note of a call's outcome.

        Args:
            target: Whom the call went to.
            ok: Whether it worked; a timeout did not.
            sent_s: When it was sent.
            now_s: The time.
            group: Targets that do the same work, whose success rates compare.

        Returns:
            What changed: a restored target is to start slowly.
        """
        state = self._targets.get(target)
        if state is None:
            state = self._targets[target] = _Target(self._settings.window_s)
        state.group = group
        if sent_s < state.since_s:
            return None
        if state.term_s is not None:
            return self._note_ejected(target, state, ok=ok, now_s=now_s)
        state.calls.add(now_s)
        if ok:
            state.failures_in_a_row = 0
            return None
        state.failures.add(now_s)
        state.failures_in_a_row += 1
        if state.failures_in_a_row >= self._settings.consecutive_failures or (
            self._is_outlier(state, now_s)
        ):
            return self._eject(target, state, now_s)
        return None

    def forget(self, target: str) -> None:
        """Drop what is known of a target that is gone."""
        gone = self._targets.pop(target, None)
        if self._ejected.pop(target, None):
            self.version += 1
        if gone is not None and gone.group in self._typical:
            left = (state.group for state in self._targets.values())
            if gone.group not in left:
                del self._typical[gone.group]

    @property
    def groups(self) -> int:
        """Of how many groups it is known what is typical."""
        return len(self._typical)

    def _note_ejected(
        self, target: str, state: _Target, *, ok: bool, now_s: float
    ) -> EjectionChange | None:
        if ok:
            del self._ejected[target]
            state.restore(self._settings.window_s, now_s)
            self.version += 1
            return EjectionChange.RESTORED
        if state.trial_s is not None:
            return self._eject(target, state, now_s)
        # Picked below the floor, it failed again: others get their turn. The term does
        # not grow, so that an outage of all does not last longer than its cause.
        state.due_s = now_s + (state.term_s or 0.0)
        self.version += 1
        return None

    def _eject(self, target: str, state: _Target, now_s: float) -> EjectionChange:
        settings = self._settings
        if state.term_s is None:
            served_s = max(now_s - state.since_s, 0.0)
            forgiven = min(served_s / settings.forgive_after_s, state.level)
            state.level -= int(forgiven)
        doubled = settings.base_ejection_s * 2.0 ** min(state.level, _MOST_DOUBLINGS)
        state.level += 1
        state.term_s = min(doubled, settings.max_ejection_s)
        state.since_s = now_s
        state.due_s = now_s + state.term_s
        state.trial_s = None
        self._ejected[target] = state
        self.version += 1
        return EjectionChange.EJECTED

    def _is_outlier(self, state: _Target, now_s: float) -> bool:
        settings = self._settings
        calls = state.calls.total(now_s)
        if calls < settings.min_calls:
            return False
        typical = self._typical_rate(state.group, now_s)
        if typical is None:
            return False
        # Twice: what is typical was measured by as few calls, and varies as well.
        chance = math.sqrt(2 * typical * (1 - typical) / calls)
        gap = max(settings.min_gap, settings.deviations * chance)
        return 1 - state.failures.total(now_s) / calls < typical - gap

    def _typical_rate(self, group: str, now_s: float) -> float | None:
        """Return the middle success rate of a group; now and then computed anew."""
        checked_s, rate = self._typical.get(group, (-math.inf, None))
        if now_s - checked_s < self._settings.window_s / _CHECKS_PER_WINDOW:
            return rate
        rates = [
            1 - state.failures.total(now_s) / calls
            for state in self._targets.values()
            if state.group == group
            and state.term_s is None
            and (calls := state.calls.total(now_s)) >= self._settings.min_calls
        ]
        enough = len(rates) >= self._settings.min_targets
        rate = median_high(rates) if enough else None
        self._typical[group] = (now_s, rate)
        return rate


@dataclass(slots=True)
class _Target:
    """What is known of one target.

    Attributes:
        since_s: When it was last ejected or restored.
        term_s: How long its ejection lasts; None: it is in service.
        due_s: When its ejection ends.
        trial_s: When the call that tries it was sent; None: none is on its way.
        level: How many ejections count.
    """

    window_s: float
    group: str = ""
    failures_in_a_row: int = 0
    level: int = 0
    since_s: float = -math.inf
    term_s: float | None = None
    due_s: float = -math.inf
    trial_s: float | None = None
    calls: SlidingCount = field(init=False)
    failures: SlidingCount = field(init=False)

    def __post_init__(self) -> None:
        self.calls = SlidingCount(self.window_s)
        self.failures = SlidingCount(self.window_s)

    def back_s(self, settings: EjectionSettings) -> float:
        """When an ejected target may be tried, or tried again."""
        if self.trial_s is None:
            return self.due_s
        return self.trial_s + settings.trial_timeout_s

    def restore(self, window_s: float, now_s: float) -> None:
        """Put it back in service; how often it was ejected stays known."""
        self.term_s = self.trial_s = None
        self.since_s = now_s
        self.failures_in_a_row = 0
        self.calls = SlidingCount(window_s)
        self.failures = SlidingCount(window_s)
