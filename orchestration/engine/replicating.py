"""How this region follows others: reads what they tell, and shows it here."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestration.adapters.database import Database
from orchestration.adapters.region_log import RegionLog, RegionRules
from orchestration.adapters.region_peer import open_peer
from orchestration.adapters.saga_records import Because
from orchestration.core.registry.regions import parse_peers
from orchestration.engine.registering import RegistryDesk
from orchestration.errors import ConfigurationError, TransportError
from orchestration.settings import Settings

__all__ = ["Followed", "Follower", "peers_of", "region_log"]

logger = logging.getLogger(__name__)
_MOST_PAGES: Final = 5
_PAUSE_S: Final = 5.0
_SLACK_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What came of following a region once.

    Attributes:
        events: How many events about its agents were read.
        changes: How many agents are shown otherwise.
        fault: Why it was not read; empty: it was.
    """

    events: int
    changes: int
    fault: str


@dataclass(frozen=True, slots=True)
class Follower:
    """Follows the regions that the settings name."""

    desk: RegistryDesk
    log: RegionLog
    peers: Mapping[str, str]
    timeout_s: float

    @classmethod
    def of(cls, desk: RegistryDesk, settings: Settings) -> Follower:
        """Return who follows what the settings say.

        Raises:
            ConfigurationError: A setting of the regions makes no sense.
        """
        log = region_log(desk.log.db, settings)
        return cls(desk, log, peers_of(settings), settings.peer_timeout_s)

    def due(self, because: Because) -> tuple[str, ...]:
        """Claim the regions that are to be followed now, and forget former peers."""
        if gone := self.log.forget(list(self.peers), because):
            self.desk.tell(gone)
        if not self.peers:
            return ()
        return self.log.due(list(self.peers), self.timeout_s + _SLACK_S)

    def follow(self, region: str, because: Because) -> Followed:
        """Read what a region tells, as far as one tick goes, and show it.

        Raises:
            TransportError: The own database does not answer.
            ConfigurationError: There is no such peer.
        """
        if region not in self.peers:
            raise ConfigurationError(
                f"region {region!r} is no peer of {self.log.rules.own!r}: name it in "
                "ORCHESTRATION_PEERS of every worker"
            )
        events, fault = 0, ""
        try:
            events = self._read(region, because)
        except (TransportError, ValueError, TypeError, KeyError) as exc:
            # The last three: an event that this version does not understand.
            fault = f"{type(exc).__name__}: {exc}"
            logger.warning("region %s was not read: %s", region, fault)
            self.log.failed(region, fault, _PAUSE_S)
        changes = self.log.settle(region, because)
        if changes:
            self.desk.tell(changes)
        return Followed(events=events, changes=len(changes), fault=fault)

    def _read(self, region: str, because: Because) -> int:
        """Read some pages; return how many events they had."""
        place, events = self.log.place(region), 0
        enough_at = time.monotonic() + self.timeout_s / 2
        with open_peer(self.peers[region], self.timeout_s) as peer:
            for _ in range(_MOST_PAGES):
                page = peer.read(place)
                if not page.is_same_log:
                    logger.error(
                        "region %s was restored from a backup: its log does not have "
                        "what was read at %d (its head is %s); its agents are copied "
                        "anew",
                        region,
                        place.cursor,
                        page.head,
                    )
                after = self.log.take(region, place, page, because)
                if after is None:
                    break
                events += len(page.events)
                if page.is_same_log and page.is_last:
                    break
                if time.monotonic() > enough_at:
                    break
                place = after
        return events


def peers_of(settings: Settings) -> dict[str, str]:
    """Return the database URL of each other region.

    Raises:
        ConfigurationError: A setting of the regions makes no sense.
    """
    try:
        return parse_peers(settings.peers, settings.region)
    except ValueError as exc:
        raise ConfigurationError(f"ORCHESTRATION_PEERS: {exc}") from exc


def region_log(db: Database, settings: Settings) -> RegionLog:
    """Return what is known of other regions.

    Raises:
        ConfigurationError: The lines of silence make no sense together.
    """
    if settings.peer_lost_s < settings.peer_stale_s:
        raise ConfigurationError(
            f"ORCHESTRATION_PEER_LOST_S is {settings.peer_lost_s}, less than "
            f"ORCHESTRATION_PEER_STALE_S, {settings.peer_stale_s}: give it more"
        )
    rules = RegionRules(
        own=settings.region,
        stale_s=settings.peer_stale_s,
        lost_s=settings.peer_lost_s,
    )
    return RegionLog(db, rules)
