"""A2A agent cards: out and back without loss, and those that others wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.card import EXTENSION_URI, from_card, to_card
from orchestration.core.registry.checks import descriptor_faults
from orchestration.core.registry.model import AgentDescriptor, ServiceType
from orchestration.errors import InvalidCard
from tests.unit.profiles import examples

CARBON = AgentDescriptor(
    agent_id="agent-carbon-calc-001",
    agent_type="CarbonCalculatorAgent",
    version="2.1.3",
    capabilities=["carbon_calculation", "ghg_protocol@1.0.0"],
    service_types=[ServiceType.COMPUTATION],
    endpoint="tcp://10.0.1.50:5000",
    tags=["production", "us-east-1"],
    sla={"max_latency_ms": 500, "availability": 0.999},
    metadata={"max_concurrent_requests": 100},
)

# The example of the protocol's specification, shortened.
ROUTES: dict[str, Any] = {
    "name": "GeoSpatial Route Planner",
    "description": "Plans routes and draws maps.",
    "supportedInterfaces": [
        {
            "url": "https://geo.example.com/a2a/v1",
            "protocolBinding": "JSONRPC",
            "protocolVersion": "1.0",
        },
        {
            "url": "https://geo.example.com/a2a/grpc",
            "protocolBinding": "GRPC",
            "protocolVersion": "1.0",
        },
    ],
    "provider": {"organization": "Example Geo", "url": "https://www.example.com"},
    "iconUrl": "https://geo.example.com/icon.png",
    "version": "1.2.0",
    "documentationUrl": "https://docs.example.com/geo",
    "capabilities": {
        "streaming": True,
        "extensions": [{"uri": "https://example.com/ext/v1", "required": False}],
    },
    "securitySchemes": {
        "google": {
            "openIdConnectSecurityScheme": {
                "openIdConnectUrl": "https://accounts.example.com/openid"
            }
        }
    },
    "securityRequirements": [{"schemes": {"google": {"list": ["openid", "email"]}}}],
    "defaultInputModes": ["application/json", "text/plain"],
    "defaultOutputModes": ["application/json", "image/png"],
    "skills": [
        {
            "id": "route-optimizer-traffic",
            "name": "Traffic-Aware Route Optimizer",
            "description": "Finds the best way.",
            "tags": ["maps", "routing"],
            "examples": ["Plan a route from A to B."],
        },
        {
            "id": "custom map",
            "name": "Map Generator",
            "description": "Draws maps.",
            "tags": ["maps", "visualization"],
            "outputModes": ["image/png"],
        },
    ],
}

OLD: dict[str, Any] = {
    "protocolVersion": "0.3.0",
    "name": "Recipe Agent",
    "description": "Helps with cooking.",
    "url": "https://r.example.com/a2a",
    "preferredTransport": "HTTP+JSON",
    "additionalInterfaces": [
        {"url": "https://r.example.com/a2a", "transport": "HTTP+JSON"},
        {"url": "https://r.example.com/grpc", "transport": "GRPC"},
    ],
    "version": "1.0.0",
    "capabilities": {"streaming": False},
    "supportsAuthenticatedExtendedCard": True,
    "securitySchemes": {
        "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "web": {
            "type": "oauth2",
            "flows": {"clientCredentials": {"tokenUrl": "https://t"}, "implicit": {}},
        },
        "odd": {"type": "magic"},
    },
    "security": [{"key": []}],
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": [
        {
            "id": "cook",
            "name": "Cook",
            "description": "Cooks.",
            "tags": ["food"],
            "security": [{"web": ["read"]}],
        }
    ],
    "signatures": [{"protected": "e30", "signature": "x"}],
    "iconUrl": None,
}


def test_a_card_says_what_strangers_can_use() -> None:
    card = to_card(CARBON)

    extension = card["capabilities"].pop("extensions")[0]
    assert card == {
        "name": "CarbonCalculatorAgent",
        "description": "CarbonCalculatorAgent: carbon_calculation, ghg_protocol@1.0.0",
        "version": "2.1.3",
        "defaultInputModes": ["application/json"],
        "defaultOutputModes": ["application/json"],
        "supportedInterfaces": [
            {
                "url": "tcp://10.0.1.50:5000",
                "protocolBinding": "urn:agent-foundation-orchestration:message-bus",
                "protocolVersion": "1.0",
            }
        ],
        "capabilities": {},
        "skills": [
            {
                "id": "carbon_calculation",
                "name": "carbon calculation",
                "description": "carbon calculation, by CarbonCalculatorAgent",
                "tags": ["production", "us-east-1"],
            },
            {
                "id": "ghg_protocol@1.0.0",
                "name": "ghg protocol",
                "description": "ghg protocol, by CarbonCalculatorAgent",
                "tags": ["production", "us-east-1"],
            },
        ],
    }
    assert (extension["uri"], extension["required"]) == (EXTENSION_URI, False)
    assert extension["params"]["sla"] == {"max_latency_ms": 500, "availability": 0.999}


def test_it_has_every_field_that_the_protocol_requires() -> None:
    least = AgentDescriptor(agent_id="agent-a", agent_type="A", version="1.0.0")

    card = to_card(least)

    assert card.keys() == {
        "name",
        "description",
        "supportedInterfaces",
        "version",
        "capabilities",
        "defaultInputModes",
        "defaultOutputModes",
        "skills",
    }
    assert card["supportedInterfaces"] == card["skills"] == []


_WORD = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
_VERSION = st.sampled_from(["1.0.0", "0.2.11", "3.0.0-rc.1+b.5"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text("ab"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
_DESCRIPTORS = st.builds(
    AgentDescriptor,
    agent_id=st.from_regex(r"agent-[\w-]{1,30}", fullmatch=True),
    agent_type=_WORD,
    version=_VERSION,
    capabilities=st.lists(
        st.builds(lambda name, at: name + at, _WORD, st.sampled_from(["", "@1.2.3"])),
        max_size=5,
    ),
    service_types=st.lists(st.sampled_from(list(ServiceType)), max_size=3),
    endpoint=st.sampled_from(["", "tcp://10.0.1.50:5000", "https://h/a?b=c"]),
    tags=st.lists(_WORD, max_size=4),
    sla=st.dictionaries(
        st.sampled_from(["availability", "max_error_rate", "max_latency_ms"]),
        st.floats(0, 1),
    ),
    cost_per_request=st.floats(0, 1e6),
    heartbeat_interval_s=st.floats(0.1, 3_600),
    metadata=st.dictionaries(
        st.sampled_from(["a2a", "description", "x"]), _JSON, max_size=3
    )
    | st.fixed_dictionaries(
        {"a2a": st.dictionaries(st.sampled_from(sorted(ROUTES)), _JSON)}
    ),
)


@pytest.mark.no_cover  # tracing lines doubles its time
@examples(150)
@given(_DESCRIPTORS)
def test_a_descriptor_comes_back_from_its_card(descriptor: AgentDescriptor) -> None:
    assert descriptor_faults(descriptor) == ()
    sent = json.loads(json.dumps(to_card(descriptor)))

    assert from_card(sent) == descriptor


def test_a_card_that_others_wrote_becomes_an_agent() -> None:
    descriptor = from_card(ROUTES)

    assert descriptor.agent_id == "agent-geospatial-route-planner"
    assert descriptor.agent_type == "GeoSpatial Route Planner"
    assert descriptor.version == "1.2.0"
    assert descriptor.capabilities == ("route-optimizer-traffic", "custom map")
    assert descriptor.tags == ("maps", "routing", "visualization")
    assert descriptor.endpoint == "https://geo.example.com/a2a/v1"
    assert from_card(ROUTES, agent_id="agent-7").agent_id == "agent-7"


def test_nothing_of_it_is_lost() -> None:
    back = to_card(from_card(ROUTES))

    *extensions, ours = back["capabilities"].pop("extensions")
    assert ours["uri"] == EXTENSION_URI
    back["capabilities"]["extensions"] = extensions
    assert back == ROUTES


def test_an_agent_that_came_as_a_card_comes_back_as_well() -> None:
    for card in (ROUTES, OLD):
        descriptor = from_card(card)
        assert from_card(to_card(descriptor)) == descriptor


def test_an_agent_that_moved_is_not_where_its_old_card_said() -> None:
    told = from_card(ROUTES).to_json()
    moved = AgentDescriptor(**{**told, "endpoint": "tcp://h:1", "capabilities": ["x"]})

    card = to_card(moved)

    assert [one["url"] for one in card["supportedInterfaces"]] == ["tcp://h:1"]
    assert [skill["id"] for skill in card["skills"]] == ["x"]


def test_a_card_of_the_protocol_before_is_read() -> None:
    card = to_card(from_card(OLD))

    assert card["supportedInterfaces"] == [
        {
            "url": "https://r.example.com/a2a",
            "protocolBinding": "HTTP+JSON",
            "protocolVersion": "0.3.0",
        },
        {
            "url": "https://r.example.com/grpc",
            "protocolBinding": "GRPC",
            "protocolVersion": "0.3.0",
        },
    ]
    assert card["capabilities"]["extendedAgentCard"] is True
    assert card["securitySchemes"] == {
        "key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}},
        "web": {
            "oauth2SecurityScheme": {
                "flows": {"clientCredentials": {"tokenUrl": "https://t"}}
            }
        },
        "odd": {"type": "magic"},
    }
    assert card["securityRequirements"] == [{"schemes": {"key": {"list": []}}}]
    assert card["skills"][0]["securityRequirements"] == [
        {"schemes": {"web": {"list": ["read"]}}}
    ]
    gone = {"url", "preferredTransport", "additionalInterfaces", "protocolVersion"}
    assert not card.keys() & {*gone, "security", "signatures", "iconUrl"}


def test_a_card_of_the_protocol_before_may_say_little() -> None:
    little = {"name": "A", "version": "1.0.0", "url": "https://h/", "skills": []}

    [interface] = to_card(from_card(little))["supportedInterfaces"]

    assert interface == {
        "url": "https://h/",
        "protocolBinding": "JSONRPC",
        "protocolVersion": "0.3",
    }
    odd = {**little, "securitySchemes": {"a": 1}, "security": 5}
    assert from_card(odd).capabilities == ()


def test_what_is_wrong_with_a_card_is_told_at_once() -> None:
    wrong = {
        "name": "",
        "skills": [{"id": 5}, "x", {"id": "a", "tags": "b"}],
        "supportedInterfaces": {},
        "additionalInterfaces": [{}],
        "description": 7,
        "capabilities": {
            "extensions": [
                {"uri": EXTENSION_URI, "params": {"owner": "me"}},
                {"uri": EXTENSION_URI},
                5,
            ]
        },
    }

    with pytest.raises(InvalidCard) as refused:
        from_card(wrong)

    assert [fault.partition(":")[0] for fault in refused.value.faults] == [
        "name is ''",
        "version is None",
        "description is 7",
        "skills[0].id is 5",
        "skills[1] is 'x'",
        "skills[2].tags is 'b'",
        "supportedInterfaces is {}",
        "additionalInterfaces[0].url is None",
        "capabilities.extensions[2] is 5",
        "capabilities.extensions[0].params has 'owner'",
        "capabilities.extensions[1].params is None",
    ]


def test_a_card_whose_agent_could_not_be_registered_is_refused() -> None:
    with pytest.raises(InvalidCard) as refused:
        from_card({**ROUTES, "version": "1", "name": "?"})

    assert refused.value.subject == "?"
    assert [fault.partition(":")[0] for fault in refused.value.faults] == [
        "agent_id is 'agent-'",
        "version is '1'",
    ]
    assert str(refused.value).startswith("agent card '?' was refused: agent_id is")


@examples(150)
@given(_JSON | st.dictionaries(st.sampled_from([*ROUTES, *OLD]), _JSON, max_size=6))
def test_whatever_is_given_is_read_or_refused(card: Any) -> None:
    whole = {**ROUTES, **card} if isinstance(card, dict) else card
    try:
        descriptor = from_card(whole)
    except InvalidCard as refused:
        assert refused.faults  # noqa: PT017  either is right
    else:
        assert descriptor_faults(descriptor) == ()
        assert from_card(to_card(descriptor)) == descriptor
