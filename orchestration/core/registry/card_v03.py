"""A card of A2A protocol 0.3 as one of 1.0, which has other places for some fields.

Where 1.0 takes one OAuth flow and 0.3 gave several, the first is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["modern"]

_PROTOCOL: Final = "0.3"
_TRANSPORT: Final = "JSONRPC"
_MOVED: Final = frozenset(
    {
        "url",
        "preferredTransport",
        "additionalInterfaces",
        "protocolVersion",
        "supportsAuthenticatedExtendedCard",
        "security",
        "securitySchemes",
    }
)
_SCHEMES: Final = {
    "apiKey": "apiKeySecurityScheme",
    "http": "httpAuthSecurityScheme",
    "oauth2": "oauth2SecurityScheme",
    "openIdConnect": "openIdConnectSecurityScheme",
    "mutualTLS": "mtlsSecurityScheme",
}


def modern(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card in the shape of 1.0; one that has it already is left alone.

    Args:
        card: A card without faults of shape, of either protocol.
    """
    if "supportedInterfaces" in card or "url" not in card:
        return dict(card)
    moved = {name: value for name, value in card.items() if name not in _MOVED}
    moved["supportedInterfaces"] = _interfaces(card)
    moved["skills"] = [_with_requirements(skill) for skill in card["skills"]]
    if "supportsAuthenticatedExtendedCard" in card:
        extended = card["supportsAuthenticatedExtendedCard"]
        moved["capabilities"] = {
            **card.get("capabilities", {}),
            "extendedAgentCard": extended,
        }
    schemes = card.get("securitySchemes")
    if isinstance(schemes, Mapping):
        moved["securitySchemes"] = {
            name: _scheme(scheme) for name, scheme in schemes.items()
        }
    if "security" in card:
        moved["securityRequirements"] = _requirements(card["security"])
    return moved


def _interfaces(card: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return all interfaces, the preferred one first and once."""
    protocol = card.get("protocolVersion", _PROTOCOL)
    offered = [(card["url"], card.get("preferredTransport", _TRANSPORT))]
    offered += [
        (other["url"], other.get("transport", _TRANSPORT))
        for other in card.get("additionalInterfaces", ())
    ]
    return [
        {"url": url, "protocolBinding": binding, "protocolVersion": protocol}
        for url, binding in dict.fromkeys(offered)
    ]


def _with_requirements(skill: Mapping[str, Any]) -> dict[str, Any]:
    moved = {name: value for name, value in skill.items() if name != "security"}
    if "security" in skill:
        moved["securityRequirements"] = _requirements(skill["security"])
    return moved


def _requirements(security: object) -> object:
    """Return ``[{scheme: [scope]}]`` as ``[{schemes: {scheme: {list: [scope]}}}]``."""
    if not isinstance(security, list):
        return security
    return [
        {"schemes": {name: {"list": scopes} for name, scopes in needed.items()}}
        for needed in security
        if isinstance(needed, Mapping)
    ]


def _scheme(scheme: object) -> object:
    """Return a scheme under the name of its type; one of an unknown type as it is."""
    if not isinstance(scheme, Mapping):
        return scheme
    kind = scheme.get("type")
    if not isinstance(kind, str) or kind not in _SCHEMES:
        return scheme
    inner = {name: value for name, value in scheme.items() if name != "type"}
    if "in" in inner:
        inner["location"] = inner.pop("in")
    flows = inner.get("flows")
    if isinstance(flows, Mapping) and flows:
        first = next(iter(flows))
        inner["flows"] = {first: flows[first]}
    return {_SCHEMES[kind]: inner}
