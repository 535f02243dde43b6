"""What an agent may not say of itself, and which metrics no heartbeat can have.

All that is wrong is told at once. Whatever is given, wrong types, numbers that are none
or texts without end, nothing here raises because of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from orchestration.core.jsonable import is_number, is_whole, json_fault, shown
from orchestration.core.registry.model import AGENT_ID, AgentDescriptor, ServiceType
from orchestration.core.registry.packed import METRICS
from orchestration.core.semver import is_semantic
from orchestration.errors import InvalidDescriptor

__all__ = [
    "MAX_INTERVAL_S",
    "MIN_INTERVAL_S",
    "SLA_TERMS",
    "descriptor_faults",
    "limit_faults",
    "metric_faults",
    "read_descriptor",
]

SLA_TERMS: Final = ("max_latency_ms", "availability", "max_error_rate")
"""What an agent can promise."""

MIN_INTERVAL_S: Final = 0.1
MAX_INTERVAL_S: Final = 86_400.0

_MAX_ID: Final = 200
_MAX_TEXT: Final = 100
_MAX_TEXTS: Final = 100
_MAX_URL: Final = 2_000
_MAX_LATENCY_MS: Final = 86_400_000
_MAX_MS: Final = 10**15  # some thousand years
_MAX_COST: Final = 1e12
_MAX_REQUESTS: Final = 1_000_000_000
_MAX_METADATA: Final = 16_384  # characters, as JSON
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[!-~]+")
_FIELDS: Final = frozenset(AgentDescriptor.__dataclass_fields__)
_REQUIRED: Final = ("agent_id", "agent_type", "version")


def descriptor_faults(descriptor: AgentDescriptor) -> tuple[str, ...]:
    """Return all that is wrong with a descriptor, each with its way out."""
    return tuple(
        fault
        for name, about in _ABOUT.items()
        for fault in about(getattr(descriptor, name))
    )


def read_descriptor(given: object) -> AgentDescriptor:
    """Return the descriptor that JSON tells of, whoever wrote it.

    Raises:
        InvalidDescriptor: Something is wrong with it; all of it is told.
    """
    if not isinstance(given, Mapping):
        raise InvalidDescriptor("", [f"it is {shown(given)}: give it as an object"])
    faults = [f"{name} is missing: give it" for name in _REQUIRED if name not in given]
    faults += [
        f"there is no field {shown(name)}: use {', '.join(sorted(_FIELDS))}"
        for name in given
        if not isinstance(name, str) or name not in _FIELDS
    ]
    fields: dict[str, Any] = {name: given[name] for name in _FIELDS if name in given}
    missing: dict[str, Any] = {n: "" for n in _REQUIRED if n not in given}
    descriptor = AgentDescriptor(**missing, **fields)
    for name, about in _ABOUT.items():
        if name not in missing:
            faults += about(getattr(descriptor, name))
    if faults:
        agent_id = descriptor.agent_id
        named = agent_id if isinstance(agent_id, str) else shown(agent_id)
        raise InvalidDescriptor(named[:_MAX_ID], faults)
    return descriptor


def metric_faults(metrics: object) -> tuple[str, ...]:
    """Return all that is wrong with the metrics of a heartbeat.

    None of them must be given; what is given must be known and within its range.
    """
    if not isinstance(metrics, Mapping):
        return (f"metrics is {shown(metrics)}: give it as an object",)
    return tuple(
        fault for name, value in metrics.items() if (fault := _metric(name, value))
    )


def limit_faults(until_ms: object) -> tuple[str, ...]:
    """Return what is wrong with the moment until which a heartbeat counts."""
    if until_ms is None or (is_whole(until_ms) and 0 < until_ms < _MAX_MS):  # type: ignore[operator]
        return ()
    way_out = "give epoch milliseconds by Redis' time, or leave it out"
    return (f"until_ms is {shown(until_ms)}: {way_out}",)


def _metric(name: object, value: object) -> str | None:
    match name:
        case "cpu_usage" | "memory_usage" | "error_rate":
            return _range(str(name), value, 0, 1)
        case "response_time_ms":
            is_right = is_number(value) and value >= 0  # type: ignore[operator]
            return None if is_right else f"{name} is {shown(value)}: give it 0 or more"
        case "queue_size":
            if is_whole(value) and value >= 0:  # type: ignore[operator]
                return None
            return f"queue_size is {shown(value)}: give it a whole number, 0 or more"
        case _:
            return f"there is no metric {shown(name)}: use {', '.join(METRICS)}"


def _range(what: str, value: object, least: float, most: float) -> str | None:
    if is_number(value) and least <= value <= most:  # type: ignore[operator]
        return None
    return f"{what} is {shown(value)}: give it {least:,} to {most:,}"


def _about_id(value: object) -> Iterator[str]:
    if not isinstance(value, str) or not AGENT_ID.fullmatch(value):
        yield (
            f"agent_id is {shown(value)}: begin with 'agent-' and go on with letters, "
            "digits, '_' and '-'"
        )
    elif len(value) > _MAX_ID:
        yield f"agent_id has {len(value)} characters: use at most {_MAX_ID}"


def _about_type(value: object) -> Iterator[str]:
    if fault := _text("agent_type", value):
        yield fault


def _about_version(value: object) -> Iterator[str]:
    if not isinstance(value, str) or not is_semantic(value):
        yield f"version is {shown(value)}: give it a semantic version like 1.0.0"


def _text(what: str, value: object) -> str | None:
    """Tell what keeps a value from being a short text that people can read."""
    if not isinstance(value, str):
        return f"{what} is {shown(value)}: give it text"
    if len(value) > _MAX_TEXT:
        return f"{what} has {len(value)} characters: use at most {_MAX_TEXT}"
    if not value or value != value.strip() or not value.isprintable():
        return (
            f"{what} is {shown(value)}: give it text that can be printed, without "
            "spaces at its ends"
        )
    return None


def _texts(what: str, values: object) -> Iterator[str | tuple[str, str]]:
    """Yield a fault, or where each text stands and the text."""
    if not isinstance(values, tuple):
        yield f"{what} is {shown(values)}: give it a list of texts"
        return
    if len(values) > _MAX_TEXTS:
        yield f"{what} has {len(values)} entries: use at most {_MAX_TEXTS}"
        return
    for at, value in enumerate(values):
        where = f"{what}[{at}]"
        yield _text(where, value) or (where, value)


def _about_capabilities(values: object) -> Iterator[str]:
    for found in _texts("capabilities", values):
        if isinstance(found, str):
            yield found
            continue
        where, capability = found
        name, at, version = capability.partition("@")
        if not name or name != name.strip() or (at and not is_semantic(version)):
            yield (
                f"{where} is {shown(capability)}: give it a name, or name@version "
                "with a semantic version, like parse@1.0.0"
            )


def _about_tags(values: object) -> Iterator[str]:
    yield from (found for found in _texts("tags", values) if isinstance(found, str))


def _about_service_types(values: object) -> Iterator[str]:
    if not isinstance(values, tuple):
        yield f"service_types is {shown(values)}: give it a list of names"
        return
    if len(values) > _MAX_TEXTS:
        yield f"service_types has {len(values)} entries: use at most {_MAX_TEXTS}"
        return
    for at, value in enumerate(values):
        if not isinstance(value, ServiceType):
            names = ", ".join(ServiceType)
            yield f"service_types[{at}] is {shown(value)}: use {names}"


def _about_endpoint(value: object) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"endpoint is {shown(value)}: give it a URL like tcp://10.0.1.50:5000"
    elif len(value) > _MAX_URL:
        yield f"endpoint has {len(value)} characters: use at most {_MAX_URL}"
    elif value and not _is_url(value):
        yield f"endpoint is {shown(value)}: give it a URL like tcp://10.0.1.50:5000"
    elif value and "@" in urlsplit(value).netloc:
        # Events are kept for good, and whoever discovers the agent reads it.
        yield "endpoint has a user or a password in it: leave them out"


def _is_url(text: str) -> bool:
    """Tell whether it has a scheme, and a host with a port if any, or a path."""
    if not _SCHEME.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return port != 0 and (bool(parts.hostname) or len(parts.path) > 1)


def _about_sla(value: object) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"sla is {shown(value)}: give it as an object"
        return
    for term, promised in value.items():
        match term:
            case "max_latency_ms":
                fault = _range(f"sla[{term!r}]", promised, 0, _MAX_LATENCY_MS)
            case "availability" | "max_error_rate":
                fault = _range(f"sla[{term!r}]", promised, 0, 1)
            case _:
                terms = ", ".join(SLA_TERMS)
                fault = f"sla has no term {shown(term)}: use {terms}"
        if fault:
            yield fault


def _about_cost(value: object) -> Iterator[str]:
    if fault := _range("cost_per_request", value, 0, _MAX_COST):
        yield fault


def _about_interval(value: object) -> Iterator[str]:
    what = "heartbeat_interval_s"
    if fault := _range(what, value, MIN_INTERVAL_S, MAX_INTERVAL_S):
        yield fault


def _about_metadata(value: object) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"metadata is {shown(value)}: give it as an object"
        return
    if fault := json_fault(value, "metadata"):
        yield fault
    elif (size := len(json.dumps(value, default=dict))) > _MAX_METADATA:
        yield (
            f"metadata has {size} characters as JSON: keep it below {_MAX_METADATA}, "
            "and the rest elsewhere"
        )
    capacity = value.get("max_concurrent_requests", 1)
    if not is_whole(capacity) or not 1 <= capacity <= _MAX_REQUESTS:
        yield (
            f"metadata['max_concurrent_requests'] is {shown(capacity)}: give it a "
            f"whole number, 1 to {_MAX_REQUESTS:,}"
        )


_ABOUT: Final[Mapping[str, Callable[[object], Iterator[str]]]] = {
    "agent_id": _about_id,
    "agent_type": _about_type,
    "version": _about_version,
    "capabilities": _about_capabilities,
    "service_types": _about_service_types,
    "endpoint": _about_endpoint,
    "tags": _about_tags,
    "sla": _about_sla,
    "cost_per_request": _about_cost,
    "heartbeat_interval_s": _about_interval,
    "metadata": _about_metadata,
}
