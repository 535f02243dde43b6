"""Agents as A2A agent cards (Agent2Agent protocol 1.0), and cards as agents.

A card says what strangers can use: name, version, where it is, and a skill for each
capability. What A2A has no words for stands in an extension of ours, so that a
descriptor comes back from its card as it was. A card that others wrote, of protocol 1.0
or 0.3, becomes a descriptor too: all that the registry has no words for is kept in its
metadata under ``a2a``, and is in the card that is made of it. Only signatures are
dropped, for they would not hold any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestration.core.jsonable import shown
from orchestration.core.registry.card_v03 import modern
from orchestration.core.registry.checks import read_descriptor
from orchestration.core.registry.model import AgentDescriptor
from orchestration.errors import InvalidCard, InvalidDescriptor

__all__ = ["EXTENSION_URI", "from_card", "to_card"]

EXTENSION_URI: Final = "urn:agent-foundation-orchestration:agent-descriptor:1"
"""Names the extension that carries what A2A has no words for."""

_PROTOCOL: Final = "1.0"
_BINDING: Final = "urn:agent-foundation-orchestration:message-bus"
"""How agents of ours are spoken to: bindings may have names of their own."""

_KEPT: Final = "a2a"
"""Where a descriptor's metadata keeps the rest of a card that others wrote."""

_MAX_TAGS: Final = 100
_EXTENDED: Final = (
    "agent_id",
    "service_types",
    "tags",
    "sla",
    "cost_per_request",
    "heartbeat_interval_s",
    "metadata",
)
_NO_ID: Final = re.compile(r"[^\w]+")


def to_card(descriptor: AgentDescriptor) -> dict[str, Any]:
    """Return the card of an agent, as JSON.

    Args:
        descriptor: Free of faults. Its metadata may have a ``description``.
    """
    kept = _kept(descriptor)
    told = descriptor.to_json()
    card = {
        "name": descriptor.agent_type,
        "description": _description(descriptor),
        "version": descriptor.version,
        "defaultInputModes": ["application/json"],
        "defaultOutputModes": ["application/json"],
        **kept,
        "supportedInterfaces": _interfaces(descriptor.endpoint, kept),
        "skills": _skills(descriptor, kept),
    }
    params = {name: told[name] for name in _EXTENDED}
    card["capabilities"] = _with_extension(kept.get("capabilities", {}), params)
    return card


def from_card(card: object, *, agent_id: str | None = None) -> AgentDescriptor:
    """Return the agent that a card tells of, free of faults.

    Args:
        card: The card, as JSON, of any origin.
        agent_id: The id to register it under. None: the one in our extension, or else
            ``agent-`` and the card's name.

    Raises:
        InvalidCard: Something is wrong with it; all of it is told.
    """
    if not isinstance(card, Mapping):
        raise InvalidCard("", [f"the card is {shown(card)}: give it as an object"])
    card = {key: value for key, value in card.items() if value is not None}
    name = card.get("name")
    named = name[:200] if isinstance(name, str) else ""
    if faults := tuple(_faults(card)):
        raise InvalidCard(named, faults)
    given = _fields(modern(card))
    if agent_id is not None:
        given["agent_id"] = agent_id
    try:
        return read_descriptor(given)
    except InvalidDescriptor as refused:
        raise InvalidCard(named, refused.faults) from refused


# From a descriptor.


def _kept(descriptor: AgentDescriptor) -> dict[str, Any]:
    """Return the rest of a card that others wrote; empty if there is none."""
    kept = descriptor.metadata.get(_KEPT)
    if not isinstance(kept, Mapping):
        return {}
    whole = {"name": "x", "version": "x", "skills": [], **kept}
    is_own = {"name", "version"} & kept.keys() or any(_faults(whole))
    return {} if is_own else dict(kept)


def _description(descriptor: AgentDescriptor) -> str:
    told = descriptor.metadata.get("description")
    if isinstance(told, str) and told:
        return told
    able = ", ".join(descriptor.capabilities) or "no capability that it names"
    return f"{descriptor.agent_type}: {able}"


def _interfaces(endpoint: str, kept: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return those of the card that it came from, unless it has moved since."""
    held = kept.get("supportedInterfaces", ())
    if held and held[0]["url"] == endpoint:
        return [dict(one) for one in held]
    if not endpoint:
        return []
    ours = {
        "url": endpoint,
        "protocolBinding": _BINDING,
        "protocolVersion": _PROTOCOL,
    }
    return [ours]


def _skills(
    descriptor: AgentDescriptor, kept: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return a skill for each capability, in the words of its author if there are."""
    worded = {skill["id"]: dict(skill) for skill in kept.get("skills", ())}
    return [
        worded.get(capability) or _skill(capability, descriptor)
        for capability in descriptor.capabilities
    ]


def _skill(capability: str, descriptor: AgentDescriptor) -> dict[str, Any]:
    name = capability.partition("@")[0].replace("_", " ")
    return {
        "id": capability,
        "name": name,
        "description": f"{name}, by {descriptor.agent_type}",
        "tags": list(descriptor.tags),
    }


def _with_extension(
    capabilities: Mapping[str, Any], params: Mapping[str, Any]
) -> dict[str, Any]:
    ours = {
        "uri": EXTENSION_URI,
        "description": "How the agent is registered, for registries of this kind",
        "required": False,
        "params": dict(params),
    }
    return {**capabilities, "extensions": [*capabilities.get("extensions", ()), ours]}


# From a card.


def _fields(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a descriptor's fields from a card of the right shape."""
    interfaces = card.get("supportedInterfaces", ())
    told = {
        "agent_type": card["name"],
        "version": card["version"],
        "capabilities": [skill["id"] for skill in card["skills"]],
        "endpoint": interfaces[0]["url"] if interfaces else "",
    }
    name = _NO_ID.sub("-", card["name"]).strip("-").lower()
    params = _params(card)
    if params is not None:
        return {"agent_id": f"agent-{name}", **params, **told}
    tags = [tag for skill in card["skills"] for tag in skill.get("tags") or ()]
    told_already = {"name", "version", "signatures"}
    kept = {key: value for key, value in card.items() if key not in told_already}
    return {
        **told,
        "agent_id": f"agent-{name}",
        "tags": list(dict.fromkeys(tags))[:_MAX_TAGS],
        "metadata": {_KEPT: kept},
    }


def _params(card: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what our extension carries; None if the card has none."""
    for extension in card.get("capabilities", {}).get("extensions", ()):
        if extension.get("uri") == EXTENSION_URI:
            params: Mapping[str, Any] = extension.get("params", {})
            return params
    return None


def _faults(card: Mapping[str, Any]) -> Iterator[str]:
    """Yield what keeps a card from being read at all."""
    for name in ("name", "version"):
        if not isinstance(card.get(name), str) or not card[name]:
            yield f"{name} is {shown(card.get(name))}: give it text"
    for name in ("description", "url", "preferredTransport", "protocolVersion"):
        if not isinstance(card.get(name, ""), str):
            yield f"{name} is {shown(card[name])}: give it text"
    yield from _list_faults("skills", card.get("skills"), "id")
    for at, skill in enumerate(_objects(card.get("skills"))):
        tags = skill.get("tags") or []
        if not isinstance(tags, list) or not all(isinstance(t, str) for t in tags):
            yield f"skills[{at}].tags is {shown(tags)}: give it a list of texts"
    for name in ("supportedInterfaces", "additionalInterfaces"):
        yield from _list_faults(name, card.get(name, []), "url")
    capabilities = card.get("capabilities", {})
    if not isinstance(capabilities, Mapping):
        yield f"capabilities is {shown(capabilities)}: give it as an object"
        return
    where = "capabilities.extensions"
    extensions = capabilities.get("extensions", [])
    yield from _list_faults(where, extensions, "uri")
    for at, extension in enumerate(_objects(extensions)):
        if extension.get("uri") == EXTENSION_URI:
            yield from _param_faults(f"{where}[{at}].params", extension.get("params"))


def _list_faults(where: str, values: object, key: str) -> Iterator[str]:
    """Yield what keeps a list from being one of objects that have a text ``key``."""
    if not isinstance(values, list):
        yield f"{where} is {shown(values)}: give it a list"
        return
    for at, value in enumerate(values):
        if not isinstance(value, Mapping):
            yield f"{where}[{at}] is {shown(value)}: give it as an object"
        elif not isinstance(value.get(key), str):
            yield f"{where}[{at}].{key} is {shown(value.get(key))}: give it text"


def _param_faults(where: str, params: object) -> Iterator[str]:
    if not isinstance(params, Mapping):
        yield f"{where} is {shown(params)}: give it as an object"
        return
    for name in params:
        if name not in _EXTENDED:
            yield f"{where} has {shown(name)}: use {', '.join(_EXTENDED)}"


def _objects(values: object) -> list[Mapping[str, Any]]:
    if not isinstance(values, list):
        return []
    return [value if isinstance(value, Mapping) else {} for value in values]
