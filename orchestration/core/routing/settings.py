"""What a router is told once: each of its features, and what they all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestration.core.routing.affinity import AffinitySettings
from orchestration.core.routing.bounds import above, between, refuse
from orchestration.core.routing.budget import BudgetSettings
from orchestration.core.routing.ejection import EjectionSettings
from orchestration.core.routing.geography import GeographySettings
from orchestration.core.routing.hedging import HedgeSettings
from orchestration.core.routing.loads import LoadPolicy
from orchestration.core.routing.predict import PredictorSettings
from orchestration.core.routing.rates import Rate
from orchestration.core.routing.slow_start import SlowStartSettings

__all__ = ["RouterSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """How a router decides and sends.

    Attributes:
        location: Where it runs, for rules that ask for the nearest agents.
        loads: How loads are reckoned.
        ejection: When agents that fail are left out; always on, above its floor.
        slow_start: How newcomers start; a window of 0 seconds has them start at once.
        rate: How many messages each agent gets; None: no limit.
        rates: Of single agents, in place of that.
        affinity: How long conversations stay with an agent.
        predictor: How PREDICTIVE learns.
        geography: How distances between locations are learned.
        retries: How many requests may be sent once more to another agent.
        hedging: When requests that take long are sent twice, if that is asked for.
        max_attempts: So many agents a request is sent to, one after the other.
        active_floor: The share of ACTIVE agents below which DEGRADED ones are picked
            as well, 0.0 to 1.0.
        cache_ttl_s: How long a set of candidates counts, seconds.
        record_rate: Share of decisions that are recorded as events, 0.0 to 1.0. None
            unless it is asked for: a record takes longer than its decision, and one
            process decides more in a second than a database records.
    """

    location: str = ""
    loads: LoadPolicy = field(default_factory=LoadPolicy)
    ejection: EjectionSettings = field(default_factory=EjectionSettings)
    slow_start: SlowStartSettings = field(default_factory=SlowStartSettings)
    rate: Rate | None = None
    rates: Mapping[str, Rate] = field(default_factory=dict)
    affinity: AffinitySettings = field(default_factory=AffinitySettings)
    predictor: PredictorSettings = field(default_factory=PredictorSettings)
    geography: GeographySettings = field(default_factory=GeographySettings)
    retries: BudgetSettings = field(default_factory=BudgetSettings)
    hedging: HedgeSettings = field(default_factory=HedgeSettings)
    max_attempts: int = 3
    active_floor: float = 0.5
    cache_ttl_s: float = 30.0
    record_rate: float = 0.0

    def __post_init__(self) -> None:
        refuse(
            self,
            between("max_attempts", self.max_attempts, 1),
            between("active_floor", self.active_floor, 0, 1),
            above("cache_ttl_s", self.cache_ttl_s),
            between("record_rate", self.record_rate, 0, 1),
        )
