"""Under which names a saga holds its locks, and that no child wants its parent's."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.core.saga.locks import lock_names
from orchestration.core.saga.model import SagaState, SagaStep
from tests.unit.scripted import saga, step
from tests.unit.shop import Shop


def test_names_are_filled_in_from_the_data_and_none_is_there_twice() -> None:
    data = {"account": "4711", "n": 2}
    wanted = ["door", "{account}", "row {n}", "4711"]
    assert lock_names(wanted, data) == ("door", "4711", "row 2")


@pytest.mark.parametrize("value", [None, True, ["x"], {}])
def test_a_lock_is_named_by_text_or_a_number(value: Any) -> None:
    with pytest.raises(ValueError, match="the data have no text or number 'account'"):
        lock_names(["{account}"], {"account": value})
    with pytest.raises(ValueError, match=r"lock '\{account\}'"):
        lock_names(["{account}"], {})


def test_a_child_that_wants_its_parents_lock_fails_its_step() -> None:
    child = saga(step("c"), locks=["safe {n}"])
    parent = saga(SagaStep("kid", saga=child), locks=["safe 1"])
    status = Shop().run(parent, {"n": 1})
    assert status.state is SagaState.COMPENSATED
    assert status.error["type"] == "InvalidSaga"
    assert "it wants the locks safe 1, which saga t holds" in status.error["message"]


def test_a_child_whose_lock_has_no_name_fails_its_step() -> None:
    child = saga(step("c"), locks=["safe {n}"])
    parent = saga(SagaStep("kid", saga=child), locks=["safe 1"])
    status = Shop().run(parent, {"n": None})
    assert status.state is SagaState.COMPENSATED
    assert "the data have no text or number 'n'" in status.error["message"]
