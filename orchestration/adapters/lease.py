"""One thread per process that keeps alive the claims of the actions it runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchestration.adapters.saga_records import Lease
from orchestration.adapters.saga_watch import SagaWatch

__all__ = ["HeldLease", "LeaseKeeper"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class HeldLease:
    """A claim in use.

    Attributes:
        cancelled: The saga has given up, or another attempt has taken over.
        renew: Prolong it now, beside the keeper's rhythm.
    """

    lease: Lease
    renew: Callable[[], None]
    cancelled: bool = False


class LeaseKeeper:
    """Renews every held lease three times per ``lease_s``, by one UPDATE."""

    def __init__(self, watch: SagaWatch, lease_s: float) -> None:
        self._watch = watch
        self._lease_s = lease_s
        self._held: dict[str, HeldLease] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[HeldLease]:
        """Keep a lease alive while the block runs."""
        held = HeldLease(lease, self.renew_now)
        with self._lock:
            self._held[lease.owner] = held
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="lease-keeper", daemon=True
                )
                self._thread.start()
        try:
            yield held
        finally:
            with self._lock:
                self._held.pop(lease.owner, None)

    def renew_now(self) -> None:
        """Renew what is held, and hear which sagas have given up."""
        with self._lock:
            held = dict(self._held)
        if not held:
            return
        alive = self._watch.renew((h.lease for h in held.values()), self._lease_s)
        for owner, item in held.items():
            # A lease that is gone belongs to another attempt by now.
            item.cancelled = alive.get(owner, True)

    def close(self) -> None:
        """End the thread; leases still held run out by themselves."""
        self._wake.set()

    def _run(self) -> None:
        while not self._wake.wait(self._lease_s / 3):
            try:
                self.renew_now()
            except Exception:  # the edge of a thread: without it, all leases end
                # The next round tries again; if all fail the leases run out, which
                # is what they are for.
                logger.warning("leases not renewed", exc_info=True)
