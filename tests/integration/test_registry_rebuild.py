"""The registry's hot state while it is built anew, and others go on recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest

from orchestration.adapters.registry_hot import HotState
from orchestration.adapters.registry_log import RegistryLog
from orchestration.adapters.registry_rebuild import rebuild
from orchestration.core.registry.fold import AgentState
from tests.support.registry import RegistrySide, registry_side

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture
def side(database_url: str, redis_url: str) -> Iterator[RegistrySide]:
    with registry_side(database_url, redis_url) as side:
        yield side


class BuildersLog(RegistryLog):
    """Something happens right after everybody has been read, once."""

    def states(self) -> dict[str, AgentState]:
        found = super().states()
        if MEANWHILE:
            MEANWHILE.pop()()
        return found


class WaitersLog(RegistryLog):
    """Tells when it was tried to build the hot state."""

    @contextmanager
    def rebuilding(self) -> Iterator[bool]:
        with super().rebuilding() as is_mine:
            yield is_mine
        TRIED.set()


MEANWHILE: list[Callable[[], object]] = []
TRIED = Event()


@pytest.fixture
def builder(side: RegistrySide) -> Iterator[HotState]:
    """The hot state of another process, which builds it; two agents are registered."""
    side.register("agent-a")
    side.register("agent-b")
    builder = HotState(side.settings.redis_url, side.settings.key_prefix)
    yield builder
    builder.close()


def told(side: RegistrySide) -> set[str]:
    """Return who is in the hot state; it is sound, and no sweep has put it right."""
    side.hot.look()
    states, is_sound = side.hot.states()
    assert is_sound
    assert side.hot.sizes() == (len(states), len(states))
    return set(states)


def test_who_is_registered_while_a_wiped_state_is_built_is_told_of(
    side: RegistrySide, builder: HotState
) -> None:
    side.desk.log = WaitersLog(side.db)
    side.wipe()
    builder.look()
    TRIED.clear()
    with ThreadPoolExecutor(1) as registering:

        def meanwhile() -> None:
            registering.submit(side.register, "agent-c")
            # It is recorded, and there is nothing yet that could be told of it.
            assert TRIED.wait(60)

        MEANWHILE.append(meanwhile)
        assert rebuild(BuildersLog(side.db), builder) == 2
    assert told(side) == {"agent-a", "agent-b", "agent-c"}


def test_what_changes_while_a_state_is_replaced_is_told(
    side: RegistrySide, builder: HotState
) -> None:
    builder.look()

    def meanwhile() -> None:  # the epoch that is about to go is told of it
        side.register("agent-c")
        side.deregister("agent-b")

    MEANWHILE.append(meanwhile)
    assert rebuild(BuildersLog(side.db), builder) == 2
    assert told(side) == {"agent-a", "agent-c"}
