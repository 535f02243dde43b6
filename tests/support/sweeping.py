"""A registry whose worker does all: what tests tell it, and what they see of it."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from orchestration.adapters.celery_bus import make_producer
from orchestration.adapters.registry_feed import FeedChange
from orchestration.adapters.registry_hot import HotState
from orchestration.contracts import CHORES_QUEUE, REGISTRY_SWEEP
from orchestration.engine.registry_client import RegistryClient
from tests.support.front import Front
from tests.support.registry import make_older
from tests.support.waiting import wait_until

__all__ = ["Kept", "again_and_again", "is_unbroken"]

_EVERY_S = 0.1


class Kept:
    """One process's part in a registry, beside the workers that keep it."""

    def __init__(self, front: Front) -> None:
        self.bus = front.bus
        self.client: RegistryClient = front.bus.registry
        self.client.start()
        self.log = self.client.desk.log
        self.hot: HotState = self.client.desk.hot

    def beat(self, agent_ids: Iterable[str], **metrics: float) -> None:
        """Have heartbeats sent, and return when the broker has them."""
        sent = [self.client.heartbeat(one, metrics) for one in agent_ids]
        for future in sent:
            future.result(30)

    def age(self, seconds: float, agent_ids: Iterable[str]) -> None:
        """Have agents be silent for so much longer, all of them at one moment."""
        make_older(self.log.db, self.hot, seconds, list(agent_ids))

    def statuses(self) -> Counter[str]:
        return Counter(str(one.status) for one in self.log.states().values())

    def status(self, agent_id: str) -> str:
        """Return where an agent stands by its row; empty: it is not registered."""
        state = self.log.some([agent_id])[agent_id].state
        return "" if state is None else str(state.status)

    def await_status(self, agent_id: str, status: str) -> None:
        wait_until(lambda: self.status(agent_id) == status, f"{agent_id} is {status!r}")

    def is_as_recorded(self) -> bool:
        """Tell whether Redis holds what the rows say, word for word."""
        snapshot = self.hot.snapshot()
        if snapshot is None:
            return False
        recorded = {key: FeedChange.of(one) for key, one in self.log.states().items()}
        return {one.agent_id: one for one in snapshot.agents} == recorded

    def sweeps(self) -> list[str]:
        """Return the types of what sweeps left about all agents."""
        rows = self.log.db.rows(
            "SELECT e.type FROM es.events AS e JOIN es.streams AS s USING (stream_id)"
            " WHERE s.name = 'registry-sweeps' ORDER BY e.version"
        )
        return [row[0] for row in rows]

    @contextlib.contextmanager
    def swept(self) -> Iterator[None]:
        """Have workers sweep ten times a second, as beat does every five seconds."""
        app = make_producer(self.bus.settings)

        def sweep() -> None:
            app.send_task(
                REGISTRY_SWEEP,
                kwargs={"period_s": _EVERY_S / 2},
                queue=CHORES_QUEUE,
                expires=5,
            )

        try:
            with again_and_again(sweep, every_s=_EVERY_S):
                yield
        finally:
            app.close()


@contextlib.contextmanager
def again_and_again(
    act: Callable[[], object], *, every_s: float
) -> Iterator[list[str]]:
    """Do something in a thread for as long as the block runs; yield what went wrong."""
    faults: list[str] = []
    over = threading.Event()

    def run() -> None:
        while not over.wait(every_s):
            try:
                act()
            except Exception as exc:  # noqa: BLE001  told to the test
                faults.append(repr(exc))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        over.set()
        thread.join(30)


def is_unbroken(history: Iterable[Mapping[str, str]]) -> bool:
    """Tell whether each change of status begins where the one before ended."""
    stands = "ACTIVE"
    for change in history:
        if change["from"] != stands:
            return False
        stands = change.get("to", "")
    return True
