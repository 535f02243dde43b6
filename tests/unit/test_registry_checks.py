"""What agents may say of themselves: all faults at once, and nothing raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.checks import (
    descriptor_faults,
    metric_faults,
    read_descriptor,
)
from orchestration.core.registry.model import AgentDescriptor, ServiceType
from orchestration.errors import InvalidDescriptor
from tests.unit.profiles import examples

NAN, INFINITY = float("nan"), float("inf")
LONG = 10**5_000

GOOD: dict[str, Any] = {
    "agent_id": "agent-carbon-calc-001",
    "agent_type": "CarbonCalculatorAgent",
    "version": "2.1.3",
    "capabilities": ["carbon_calculation", "ghg protocol", "parse@1.0.0-rc.1"],
    "service_types": ["computation", ServiceType.DATA],
    "endpoint": "tcp://10.0.1.50:5000",
    "tags": ["production", "us-east-1"],
    "sla": {"max_latency_ms": 500, "availability": 0.999, "max_error_rate": 0.01},
    "cost_per_request": 0.02,
    "heartbeat_interval_s": 30.0,
    "metadata": {"max_concurrent_requests": 100, "frameworks": ["GHG Protocol"]},
}


def faults(**changes: Any) -> tuple[str, ...]:
    return descriptor_faults(AgentDescriptor(**{**GOOD, **changes}))


def test_a_good_descriptor_has_no_faults() -> None:
    assert faults() == ()


def test_the_least_descriptor_has_no_faults() -> None:
    least = AgentDescriptor(agent_id="agent-a", agent_type="A", version="1.0.0")

    assert descriptor_faults(least) == ()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("agent_id", "calc-1", "agent_id is 'calc-1': begin with 'agent-'"),
        ("agent_id", "agent-", "begin with 'agent-'"),
        ("agent_id", "agent-a\n", "begin with 'agent-'"),
        ("agent_id", "agent-" + "a" * 200, "has 206 characters: use at most 200"),
        ("agent_id", None, "agent_id is None"),
        ("agent_type", "", "agent_type is '': give it text"),
        ("agent_type", "a\x00b", "can be printed"),
        ("agent_type", "\ud800", "can be printed"),
        ("agent_type", "x" * 101, "agent_type has 101 characters: use at most 100"),
        ("agent_type", 7, "agent_type is 7: give it text"),
        ("version", "1.0", "version is '1.0': give it a semantic version like 1.0.0"),
        ("version", 1.0, "version is 1.0: give it a semantic version"),
        ("capabilities", 5, "capabilities is 5: give it a list of texts"),
        ("capabilities", {"a": 1}, "give it a list of texts"),
        ("capabilities", ["a", " b"], "capabilities[1] is ' b'"),
        ("capabilities", ["a@1"], "capabilities[0] is 'a@1': give it a name, or name@"),
        ("capabilities", ["@1.0.0"], "give it a name, or name@version"),
        ("capabilities", ["a@1.0.0@2.0.0"], "give it a name, or name@version"),
        ("capabilities", ["a "], "without spaces at its ends"),
        ("capabilities", [b"a"], "capabilities[0] is b'a': give it text"),
        ("capabilities", ["x"] * 101, "has 101 entries: use at most 100"),
        ("tags", ["x" * 101], "tags[0] has 101 characters"),
        ("tags", None, "tags is None: give it a list of texts"),
        (
            "service_types",
            ["COOKING"],
            "service_types[0] is 'COOKING': use COMPUTATION",
        ),
        ("service_types", 5, "service_types is 5: give it a list of names"),
        ("service_types", [None], "service_types[0] is None"),
        ("service_types", ["DATA"] * 101, "has 101 entries"),
        ("endpoint", "10.0.1.50:5000", "give it a URL like tcp://10.0.1.50:5000"),
        ("endpoint", "tcp://", "give it a URL"),
        ("endpoint", "tcp://host:99999", "give it a URL"),
        ("endpoint", "http://[::1", "give it a URL"),
        ("endpoint", "http://a b", "give it a URL"),
        ("endpoint", "http://u:secret@h/", "a user or a password in it: leave them"),
        ("endpoint", "http://h/" + "a" * 2_000, "use at most 2000"),
        ("endpoint", 9, "endpoint is 9"),
        ("sla", [], "sla is []: give it as an object"),
        ("sla", {"latency": 5}, "sla has no term 'latency': use max_latency_ms, "),
        ("sla", {7: 5}, "sla has no term 7"),
        ("sla", {"availability": 99.9}, "sla['availability'] is 99.9: give it 0 to 1"),
        ("sla", {"max_latency_ms": -1}, "give it 0 to 86,400,000"),
        ("sla", {"max_error_rate": NAN}, "is nan: give it 0 to 1"),
        ("sla", {"max_error_rate": True}, "is True: give it 0 to 1"),
        ("cost_per_request", -0.1, "cost_per_request is -0.1: give it 0 to"),
        ("cost_per_request", INFINITY, "cost_per_request is inf"),
        pytest.param(
            "cost_per_request",
            LONG,
            "cost_per_request is a number too long to show",
            id="long-cost_per_request",
        ),
        ("heartbeat_interval_s", 0, "is 0: give it 0.1 to 86,400.0"),
        ("heartbeat_interval_s", "30", "heartbeat_interval_s is '30'"),
        ("metadata", "x", "metadata is 'x': give it as an object"),
        ("metadata", {"a": {1, 2}}, "metadata['a'] is {1, 2}: use what JSON can hold"),
        ("metadata", {"a": NAN}, "metadata['a'] is nan: use what JSON can hold"),
        pytest.param(
            "metadata", {"a": LONG}, "use what JSON can hold", id="long-metadata"
        ),
        pytest.param("metadata", {LONG: 1}, "use what JSON can hold", id="long-key"),
        ("metadata", {"a": "x" * 20_000}, "as JSON: keep it below 16384"),
        ("metadata", {"max_concurrent_requests": 0}, "give it a whole number, 1 to"),
        ("metadata", {"max_concurrent_requests": True}, "is True: give it a whole"),
        ("metadata", {"max_concurrent_requests": 2.5}, "is 2.5: give it a whole"),
    ],
)
def test_each_fault_names_field_value_and_way_out(
    field: str, value: object, words: str
) -> None:
    [fault] = faults(**{field: value})

    assert words in fault
    assert fault.startswith(field)


@pytest.mark.parametrize(
    "endpoint",
    ["", "http://h", "https://h:8443/a?b=c", "unix:///run/a.sock", "amqp://[::1]:5672"],
)
def test_these_are_endpoints(endpoint: str) -> None:
    assert faults(endpoint=endpoint) == ()


def test_one_name_is_a_list_of_one() -> None:
    assert faults(capabilities="parse", tags="x", service_types="data") == ()


def test_all_faults_are_told_at_once() -> None:
    found = faults(
        agent_id="x", version="1", capabilities=["@", ""], tags=3, sla={"a": 1}
    )

    assert len(found) == 6


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


# By name, for some of them cannot even be written out.
_ODD: dict[str, Any] = {
    "long": LONG,
    "negative": -LONG,
    "deep": nested(500),
    "object": object(),
    "bytes": b"\xff",
    "complex": 1j,
    "ellipsis": ...,
}

_HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.sampled_from(sorted(_ODD)).map(lambda name: _ODD[name])
    | st.text(st.characters(), max_size=300)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)


@examples(150)
@given(st.dictionaries(st.sampled_from(list(GOOD)), _HOSTILE))
def test_whatever_is_given_nothing_raises(changes: Mapping[str, Any]) -> None:
    assert all(
        isinstance(fault, str) and len(fault) < 1_000 for fault in faults(**changes)
    )


@pytest.mark.no_cover  # tracing lines doubles its time
@examples(150)
@given(st.dictionaries(st.sampled_from([*GOOD, "colour"]), _HOSTILE) | _HOSTILE)
def test_what_comes_as_json_is_read_or_refused(given_: Any) -> None:
    try:
        descriptor = read_descriptor(given_)
    except InvalidDescriptor as error:
        told = error.faults
    else:
        told = ("right", *descriptor_faults(descriptor))
    assert told == ("right",) or "right" not in told
    assert told


def test_json_is_read_to_the_descriptor_that_wrote_it() -> None:
    descriptor = AgentDescriptor(**GOOD)

    assert read_descriptor(descriptor.to_json()) == descriptor


def test_json_that_is_wrong_in_many_ways_is_refused_once() -> None:
    with pytest.raises(InvalidDescriptor) as refused:
        read_descriptor({"agent_id": "x", "version": "1", "colour": "red", 5: 1})

    assert refused.value.subject == "x"
    assert [fault.partition(":")[0] for fault in refused.value.faults] == [
        "agent_type is missing",
        "there is no field 'colour'",
        "there is no field 5",
        "agent_id is 'x'",
        "version is '1'",
    ]
    assert str(refused.value).startswith("agent 'x' was refused: agent_type is missing")


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidDescriptor, match=r"it is \[1\]: give it as an object"):
        read_descriptor([1])


METRICS = {
    "cpu_usage": 0.45,
    "memory_usage": 0,
    "error_rate": 1,
    "response_time_ms": 234,
    "queue_size": 12,
}


def test_good_metrics_have_no_faults() -> None:
    assert metric_faults(METRICS) == ()
    assert metric_faults({}) == ()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("cpu_usage", 45, "cpu_usage is 45: give it 0 to 1"),
        ("memory_usage", -0.1, "memory_usage is -0.1: give it 0 to 1"),
        ("error_rate", NAN, "error_rate is nan: give it 0 to 1"),
        ("error_rate", "0.1", "error_rate is '0.1': give it 0 to 1"),
        ("cpu_usage", True, "cpu_usage is True"),
        ("response_time_ms", -1, "response_time_ms is -1: give it 0 or more"),
        ("response_time_ms", INFINITY, "response_time_ms is inf"),
        pytest.param(
            "response_time_ms",
            LONG,
            "is a number too long to show",
            id="long-response_time_ms",
        ),
        ("queue_size", 1.5, "queue_size is 1.5: give it a whole number, 0 or more"),
        ("queue_size", -1, "queue_size is -1: give it a whole number, 0 or more"),
        ("cpu", 0.5, "there is no metric 'cpu': use cpu_usage, memory_usage"),
        (3, 0.5, "there is no metric 3: use cpu_usage"),
    ],
)
def test_a_wrong_metric_is_named(name: object, value: object, words: str) -> None:
    [fault] = metric_faults({**METRICS, name: value})

    assert words in fault


def test_metrics_are_an_object() -> None:
    assert metric_faults(None) == ("metrics is None: give it as an object",)


@examples(100)
@given(
    st.dictionaries(
        st.sampled_from(list(METRICS)) | st.text() | st.integers(), _HOSTILE
    )
)
def test_whatever_metrics_are_given_nothing_raises(metrics: Mapping[Any, Any]) -> None:
    assert all(isinstance(fault, str) for fault in metric_faults(metrics))


def test_a_refused_descriptor_can_be_put_right() -> None:
    wrong = AgentDescriptor(**{**GOOD, "version": "1"})

    assert descriptor_faults(replace(wrong, version="1.0.0")) == ()
