"""What steps are given is the same in the process that recorded it as in others."""

from __future__ import annotations

import json
from decimal import Decimal
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest

from orchestration.agents import ActionContext
from orchestration.core.saga.model import SagaStep
from orchestration.engine.payload import as_recorded
from orchestration.errors import PayloadTooLarge
from tests.unit.scripted import saga, step
from tests.unit.shop import Doing, Shop


class Size(IntEnum):
    BIG = 2


class Colour(StrEnum):
    RED = "red"


ODD: dict[str, Any] = {
    "z": (1, (2,)),
    "size": Size.BIG,
    "colour": Colour.RED,
    "whole": 1.0,
    "exact": Decimal("1.50"),
    "huge": 2**60,
    "view": MappingProxyType({"k": (1,)}),
}
PLAIN: dict[str, Any] = {
    "colour": "red",
    "exact": "1.50",
    "huge": str(2**60),
    "size": 2,
    "view": {"k": [1]},
    "whole": 1,
    "z": [1, [2]],
}


def returns(output: dict[str, Any]) -> Doing:
    """Return an action that returns that."""
    return lambda *_: output


def described(value: object) -> object:
    """Return a value with its types, and dicts in their order."""
    if isinstance(value, dict):
        return [(key, described(held)) for key, held in value.items()]
    if isinstance(value, list):
        return [described(held) for held in value]
    return type(value), value


def test_a_value_reads_as_it_will_from_the_log() -> None:
    plain, size = as_recorded(ODD)
    assert described(plain) == described(PLAIN)
    assert size == len(json.dumps(PLAIN, separators=(",", ":")))


def test_a_step_gets_what_others_returned_as_it_is_recorded() -> None:
    shop = Shop()
    shop.does["a"] = returns(ODD)
    shop.run(saga(step("a"), step("b", "a")), {"given": (Size.BIG, 2.0)})
    seen = shop.inputs["do b"]
    assert described(seen["steps"]["a"]) == described(PLAIN)
    assert described(seen["given"]) == described([2, 2])
    [recorded] = [e.data for e in shop.history("t") if e.type == "STEP_COMPLETED"][:1]
    assert described(recorded["output"]) == described(seen["steps"]["a"])


def test_a_condition_reads_what_was_returned_as_it_is_recorded() -> None:
    shop = Shop()
    shop.does["a"] = returns({"x": (1, 2), "big": 2**60})
    last = step("b", "a", when="x == [1, 2] and big == '1152921504606846976'")
    assert shop.run(saga(step("a"), last)).completed_steps == ("a", "b")


def test_a_signals_data_are_as_recorded_at_once() -> None:
    shop = Shop()
    shop.run(saga(SagaStep("go", wait_for="go"), step("b", "go", when="x == [1]")))
    shop.signal("t", "go", {"x": (1,)})
    shop.run_until_idle()
    assert shop.status("t").completed_steps == ("go", "b")


def test_an_action_that_changes_its_data_changes_those_of_no_other() -> None:
    def spoils(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
        data["items"].append("spoilt")
        data["steps"]["a"]["list"].clear()
        context.outputs["a"]["list"].append("spoilt")
        return {}

    shop = Shop()
    shop.does["a"] = returns({"list": [1]})
    shop.does["b"] = spoils
    shop.run(saga(step("a"), step("b", "a"), step("c", "b")), {"items": [1]})
    seen = shop.inputs["do c"]
    assert (seen["items"], seen["list"], seen["steps"]["a"]) == (
        [1],
        [1],
        {"list": [1]},
    )


def test_what_is_over_the_limit_of_the_store_is_refused_as_too_large() -> None:
    with pytest.raises(PayloadTooLarge, match="the limit is 262144"):
        Shop().run(saga(step("a")), {"text": "x" * 2_000_000})
