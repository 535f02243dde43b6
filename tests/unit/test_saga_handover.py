"""Locks go to who comes next at once, by a message; the sweep is the safety net."""

from __future__ import annotations

from orchestration.adapters.saga_records import Because
from orchestration.core.saga.model import SagaState, SagaTransaction
from orchestration.testing import Mishaps
from tests.unit.scripted import step
from tests.unit.shop import ME, Shop, fails


def locked(saga_id: str, *locks: str, **options: object) -> SagaTransaction:
    return SagaTransaction(
        saga_id,
        [step("a", **options)],
        locks=locks or ("door",),
        transaction_id=saga_id,
    )


def told(shop: Shop) -> list[str]:
    """Return the sagas that somebody was told to look after since the last call."""
    sent = shop.machine.queue.sent
    found = [one.saga_id for one in sent if one.step is None]
    sent.clear()
    return found


def in_line(shop: Shop, *sagas: SagaTransaction) -> None:
    """Begin sagas; each asks for its locks before the next begins."""
    for one in sagas:
        shop.start(one)
        attend(shop, one.transaction_id)
        shop.clock.advance(milliseconds=1)
    told(shop)


def attend(shop: Shop, saga_id: str) -> None:
    """Look after a saga, as the message says that has been sent for it."""
    messages = shop.machine.queue.messages
    messages.remove(next(m for m in messages if (m.saga_id, m.step) == (saga_id, None)))
    shop.machine.workers.attendant.attend(saga_id, Because())


def finish(shop: Shop) -> None:
    """Do the one step that can be done."""
    attempt = shop.machine.workers.deliver(shop.machine.queue.take())
    assert attempt is not None
    shop.machine.workers.perform(attempt)
    shop.machine.workers.close(attempt)


def test_who_comes_next_is_told_when_the_holder_ends() -> None:
    shop = Shop()
    in_line(shop, *(locked(name) for name in ("x", "y", "z")))
    for following in (["y"], ["z"], []):
        finish(shop)
        assert told(shop) == following
        for name in following:
            attend(shop, name)
        told(shop)
    assert all(shop.status(name).state is SagaState.COMPLETED for name in "xyz")


def test_each_lock_that_is_given_back_has_a_next_of_its_own() -> None:
    shop = Shop()
    in_line(shop, locked("x", "a", "b"), locked("y", "a"), locked("z", "b"))
    finish(shop)
    assert told(shop) == ["y", "z"]


def test_who_waited_in_vain_and_is_cancelled_lets_the_next_one_by() -> None:
    shop = Shop()
    in_line(shop, locked("x", "a"), locked("y", "a", "b"), locked("z", "b"))
    shop.desk.cancel("y", ME)
    assert told(shop) == ["z"]


def test_a_saga_without_locks_asks_for_nobody() -> None:
    shop = Shop()
    shop.start(SagaTransaction("s", [step("a")]))
    finish(shop)
    assert told(shop) == []


def test_a_word_that_is_lost_is_made_up_for_by_the_sweep() -> None:
    shop = Shop(mishaps=Mishaps(lose=0.5), seed=4)
    shop.does["a"] = fails
    for name in ("x", "y", "z"):
        shop.start(locked(name, retry_policy={"max_attempts": 1}))
    shop.run_until_idle()
    assert {shop.status(name).state for name in "xyz"} == {SagaState.COMPENSATED}
