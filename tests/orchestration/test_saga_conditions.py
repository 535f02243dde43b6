"""Steps that depend on the data: conditions, lists, and signals from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestration.errors import InvalidSaga, PayloadTooLarge, SagaActRefused
from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, linear, step

pytestmark = pytest.mark.integration

Gate = Callable[[], Path]


def approved(*more: SagaStep, **options: Any) -> SagaTransaction:
    """Return a saga that does s1, waits for a signal, and goes on with ``more``."""
    wait = SagaStep("approval", depends_on=["s1"], wait_for="approved", **options)
    return SagaTransaction("approved", [step("s1"), wait, *more])


# --- when


@pytest.mark.parametrize(
    ("condition", "is_done"),
    [
        ("amount > 10", True),
        ("amount > 100", False),
        ("data.get('vip') == True or amount < 5", False),
        ("outputs['s1']['s1'] == 1 and steps['s1']['seen'] == []", True),
        ("customer in ('c-1', 'c-2')", True),
        ("no_such_key > 1", False),
        ("amount > 'text'", False),
    ],
)
def test_a_step_is_done_if_its_condition_holds_and_passed_over_if_not(
    front: Front, effects: Effects, condition: str, *, is_done: bool
) -> None:
    transaction = SagaTransaction(
        "when",
        [step("s1"), step("s2", "s1", when=condition), step("s3", "s2")],
    )
    status = front.run(transaction, amount=20, customer="c-1")
    assert status.state is SagaState.COMPLETED
    assert ("s2" in effects.lines(status.saga_id, "do")) is is_done
    assert status.skipped_steps == (() if is_done else ("s2",))
    assert effects.lines(status.saga_id, "do")[-1] == "s3"


def test_a_condition_that_cannot_be_evaluated_says_why_it_does_not_hold(
    front: Front,
) -> None:
    status = front.run(SagaTransaction("when", [step("s1", when="no_such_key > 1")]))
    assert status.state is SagaState.COMPLETED
    [skipped] = front.told(status.saga_id, "STEP_SKIPPED")
    assert skipped["when"] == "no_such_key > 1"
    assert "no_such_key" in skipped["problem"]


def test_what_was_passed_over_is_not_undone(front: Front, effects: Effects) -> None:
    transaction = SagaTransaction(
        "when",
        [
            step("s1", when="False"),
            step("s2", "s1"),
            step("s3", "s2", fail="for good"),
        ],
    )
    status = front.run(transaction)
    assert status.compensated_steps == ("s2",)
    assert effects.lines(status.saga_id, "undo") == ["s2"]


def test_a_text_that_is_no_condition_is_refused_before_the_start(front: Front) -> None:
    hostile = "__import__('os').system('true')"
    transaction = SagaTransaction("when", [step("s1", when=hostile)])
    with pytest.raises(InvalidSaga, match="step 's1': when: "):
        front.start(transaction)


# --- map


def mapped(**options: Any) -> SagaTransaction:
    return SagaTransaction(
        "mapped",
        [
            step("list", returns={}, shows=["orders"]),
            step(
                "each",
                "list",
                map="orders",
                returns={},
                shows=["item", "index", "currency"],
                **options,
            ),
            step("sum", "each", returns={}, shows=["each"]),
        ],
    )


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_mapped_step_is_done_once_per_item_and_gathers_the_outputs(
    front: Front, effects: Effects, count: int
) -> None:
    orders = [{"number": number, "lines": [number]} for number in range(count)]
    status = front.run(mapped(), orders=orders, currency="EUR")
    assert status.state is SagaState.COMPLETED
    assert status.result["each"] == [
        {"item": order, "index": at, "currency": "EUR"}
        for at, order in enumerate(orders)
    ]
    done = effects.lines(status.saga_id, "do")
    assert sorted(done[1:-1]) == [f"each[{at}]" for at in range(count)]
    assert (done[0], done[-1]) == ("list", "sum")
    [expanded] = front.told(status.saga_id, "STEP_EXPANDED")
    assert expanded["count"] == count
    keys = {effect.key for effect in effects.all(status.saga_id, what="do")}
    assert len(keys) == count + 2


def test_an_item_that_fails_has_the_others_undone(
    front: Front, effects: Effects
) -> None:
    transaction = SagaTransaction(
        "mapped",
        [
            step("first"),
            step("each", "first", map="orders", action="work_unless_bad"),
            step("last", "each"),
        ],
    )
    status = front.run(transaction, orders=["good", "bad", "good", "good"])
    assert (status.state, status.failed_step) == (SagaState.COMPENSATED, "each[1]")
    done = set(effects.lines(status.saga_id, "do"))
    assert effects.left(status.saga_id) == set()
    assert "first" in done
    assert not done & {"each[1]", "last"}
    assert set(status.compensated_steps) == done


def test_a_mapped_step_is_undone_item_by_item_with_each_items_data(
    front: Front, effects: Effects
) -> None:
    transaction = SagaTransaction(
        "mapped",
        [step("each", map="orders"), step("last", "each", fail="for good")],
        compensation_strategy="FORWARD",
    )
    status = front.run(transaction, orders=["a", "b", "c"])
    assert status.state is SagaState.COMPENSATED
    undone = effects.lines(status.saga_id, "undo")
    assert sorted(undone) == ["each[0]", "each[1]", "each[2]"]
    assert status.uncompensated_steps == ()


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ({"orders": {"a": 1}}, "NoList", "which is dict, not a list"),
        ({"orders": "abc"}, "NoList", "which is str, not a list"),
        ({}, "NoList", "which is nothing, not a list"),
        ({"orders": [0] * 1_001}, "TooManyItems", "at most 1000"),
    ],
)
def test_what_is_no_list_or_too_long_a_one_fails_the_step_at_once(
    front: Front, data: Mapping[str, Any], error: str, words: str
) -> None:
    transaction = SagaTransaction(
        "mapped", [step("s1"), step("each", "s1", map="orders")]
    )
    status = front.run(transaction, **data)
    assert (status.state, status.failed_step) == (SagaState.COMPENSATED, "each")
    assert status.error is not None
    assert status.error["type"] == error
    assert words in status.error["message"]
    assert status.compensated_steps == ("s1",)


def test_a_mapped_step_whose_condition_does_not_hold_is_passed_over_as_a_whole(
    front: Front, effects: Effects
) -> None:
    status = front.run(mapped(when="currency == 'USD'"), orders=[1], currency="EUR")
    assert status.state is SagaState.COMPLETED
    assert status.skipped_steps == ("each",)
    assert effects.lines(status.saga_id, "do") == ["list", "sum"]


def test_a_failed_item_of_a_halted_saga_is_retried_alone(
    front: Front, effects: Effects, gate: Gate
) -> None:
    mended = gate()
    transaction = SagaTransaction(
        "mapped",
        [step("each", map="orders", action="work_unless_bad", mended_by=str(mended))],
        on_failure="HALT",
    )
    saga_id = front.run(transaction, orders=["good", "bad"]).saga_id
    mended.touch()
    front.act("retry", saga_id)
    status = front.wait(saga_id)
    assert status.state is SagaState.COMPLETED
    assert effects.lines(saga_id, "do") == ["each[0]", "each[1]"]


# --- wait_for and signal


@pytest.mark.parametrize(
    ("data", "output"),
    [
        ({"by": "ann", "amount": 3}, {"by": "ann", "amount": 3}),
        (7, {"approval": 7}),
        (None, {"approval": None}),
        (["a", "b"], {"approval": ["a", "b"]}),
    ],
)
def test_a_signals_data_are_the_steps_output(
    front: Front, data: object, output: dict[str, Any]
) -> None:
    saga_id = front.start(approved(step("s3", "approval")))
    front.await_event(saga_id, "STEP_WAITING")
    assert front.status(saga_id).state is SagaState.WAITING
    assert front.status(saga_id).waiting_for == "signal approved"
    front.act("signal", saga_id, "approved", data, by="ann", why="fine")
    status = front.wait(saga_id)
    assert status.completed_steps == ("s1", "approval", "s3")
    assert output.items() <= status.result.items()
    [told] = front.told(saga_id, "SIGNAL_RECEIVED")
    assert (told["by"], told["why"], told["data"]) == ("ann", "fine", data)


def test_a_signal_that_comes_before_its_step_is_kept_for_it(
    front: Front, effects: Effects, gate: Gate
) -> None:
    ends = gate()
    first = step("s1", wait_for_file=str(ends))
    wait = SagaStep("approval", depends_on=["s1"], wait_for="approved")
    saga_id = front.start(SagaTransaction("early", [first, wait]))
    effects.await_begin(saga_id, "s1")
    front.act("signal", saga_id, "approved", {"by": "ann"})
    ends.touch()
    assert front.wait(saga_id).result["by"] == "ann"


def test_a_signal_told_twice_under_one_id_counts_once(front: Front) -> None:
    saga_id = front.start(approved())
    for _ in range(3):
        front.act("signal", saga_id, "approved", 1, signal_id="mail-1")
    assert front.wait(saga_id).result["approval"] == 1
    front.act("signal", saga_id, "approved", 1, signal_id="mail-1")
    assert len(front.told(saga_id, "SIGNAL_RECEIVED")) == 1


def test_a_signal_that_nobody_waits_for_is_refused(front: Front) -> None:
    saga_id = front.start(approved())
    with pytest.raises(SagaActRefused, match="signals that it takes: approved"):
        front.act("signal", saga_id, "aproved")
    front.act("signal", saga_id, "approved")
    assert front.wait(saga_id).state is SagaState.COMPLETED
    with pytest.raises(SagaActRefused, match="no step waits for it any more"):
        front.act("signal", saga_id, "approved")
    with pytest.raises(SagaActRefused, match="signals that it takes: none"):
        front.act("signal", front.run(linear(1)).saga_id, "approved")


def test_two_steps_that_wait_for_one_name_take_a_signal_each(front: Front) -> None:
    transaction = SagaTransaction(
        "four eyes",
        [
            SagaStep("first_eyes", wait_for="approved"),
            SagaStep("second_eyes", wait_for="approved", depends_on=["first_eyes"]),
        ],
    )
    saga_id = front.start(transaction)
    front.act("signal", saga_id, "approved", "ann")
    front.act("signal", saga_id, "approved", "bob")
    result = front.wait(saga_id).result
    assert (result["first_eyes"], result["second_eyes"]) == ("ann", "bob")


def test_a_step_that_waits_in_vain_fails_when_its_time_is_over(
    front: Front, effects: Effects
) -> None:
    status = front.run(approved(timeout_ms=500))
    assert (status.state, status.failed_step) == (SagaState.COMPENSATED, "approval")
    assert status.error == {
        "type": "SignalTimeout",
        "message": "signal 'approved' did not come in time",
    }
    assert effects.left(status.saga_id) == set()


def test_a_retry_after_a_signal_that_did_not_come_waits_for_it_anew(
    front: Front,
) -> None:
    # Long enough for the second to be signalled in time, by a busy host too.
    wait = SagaStep("approval", wait_for="approved", timeout_ms=5_000)
    saga_id = front.run(SagaTransaction("patient", [wait], on_failure="HALT")).saga_id
    front.act("retry", saga_id)
    front.await_event(saga_id, "STEP_WAITING", attempt=2)
    front.act("signal", saga_id, "approved")
    assert front.wait(saga_id).state is SagaState.COMPLETED


def test_a_sibling_of_what_failed_waits_for_its_signal_with_all_its_time_after_a_retry(
    front: Front, gate: Gate
) -> None:
    mended = gate()
    transaction = SagaTransaction(
        "beside",
        [
            # On a busy host, too, the sibling fails and is done before.
            SagaStep("approval", wait_for="approved", timeout_ms=6_000),
            step("s1", mended_by=str(mended)),
            step("s2", "s1", "approval"),
        ],
        on_failure="HALT",
    )
    saga_id = front.run(transaction).saga_id
    waiting = front.await_event(saga_id, "STEP_WAITING")
    front.await_time(waiting.data["until_ms"] / 1_000)
    mended.touch()
    front.act("retry", saga_id)
    front.await_event(saga_id, "STEP_COMPLETED", step="s1")
    front.act("signal", saga_id, "approved")
    assert front.wait(saga_id).state is SagaState.COMPLETED


def test_a_signals_data_have_a_limit_and_are_json(front: Front) -> None:
    saga_id = front.start(approved())
    with pytest.raises(PayloadTooLarge, match="262144"):
        front.act("signal", saga_id, "approved", {"blob": "x" * 300_000})
    with pytest.raises(SagaActRefused, match="is no JSON"):
        front.act("signal", saga_id, "approved", {"when": object()})
    front.act("signal", saga_id, "approved")
    assert front.wait(saga_id).state is SagaState.COMPLETED
