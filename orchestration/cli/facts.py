"""What an event says, in a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestration.cli.output import short_id, span_text
from orchestration.core.saga.events import EventType, SagaEvent
from orchestration.core.saga.model import Direction

__all__ = [
    "WORDS",
    "asked",
    "awaited_text",
    "error_text",
    "facts_of",
    "style_of",
    "told",
]

_MANY = 4
_LONG = 40

WORDS: Mapping[EventType, str] = {
    EventType.SAGA_STARTED: "saga started",
    EventType.STEP_STARTED: "step started",
    EventType.STEP_COMPLETED: "step completed",
    EventType.STEP_FAILED: "step failed",
    EventType.STEP_TIMED_OUT: "step timed out",
    EventType.STEP_UNKNOWN: "outcome unknown",
    EventType.STEP_LATE_RESULT: "late result",
    EventType.STEP_SKIPPED: "step passed over",
    EventType.STEP_EXPANDED: "once per item",
    EventType.STEP_GATHERED: "items gathered",
    EventType.STEP_WAITING: "step waits",
    EventType.STEP_ROUTED: "agent chosen",
    EventType.STEP_PROBE_STARTED: "probe started",
    EventType.STEP_PROBED: "probe answered",
    EventType.STEP_PROBE_FAILED: "probe failed",
    EventType.STEP_RESOLVED: "outcome resolved",
    EventType.SIGNAL_RECEIVED: "signal received",
    EventType.LOCKS_ACQUIRED: "locks acquired",
    EventType.SAGA_TIMED_OUT: "saga timed out",
    EventType.COMPENSATION_STARTED: "undoing started",
    EventType.STEP_COMPENSATION_STARTED: "undo started",
    EventType.STEP_COMPENSATED: "undone",
    EventType.STEP_COMPENSATION_FAILED: "undo failed",
    EventType.COMPENSATION_COMPLETED: "all undone",
    EventType.COMPENSATION_FAILED: "undoing failed",
    EventType.COMPENSATION_REQUESTED: "undoing asked",
    EventType.COMPENSATION_RETRIED: "undo retried",
    EventType.COMPENSATION_REPLAYED: "undo repeated",
    EventType.COMPENSATION_SKIPPED: "undo skipped",
    EventType.COMPENSATION_RESOLVED: "undone by hand",
    EventType.SAGA_PAUSED: "saga paused",
    EventType.SAGA_RESUMED: "saga resumed",
    EventType.SAGA_RETRIED: "saga retried",
    EventType.SAGA_CANCEL_REQUESTED: "saga cancelled",
    EventType.SAGA_CANCEL_REFUSED: "cancel refused",
    EventType.SAGA_HALTED: "saga halted",
    EventType.SAGA_REWOUND: "saga rewound",
    EventType.SAGA_COMPLETED: "saga completed",
}

_STYLES: Mapping[EventType, str] = {
    EventType.STEP_COMPLETED: "ok",
    EventType.SAGA_COMPLETED: "ok",
    EventType.STEP_FAILED: "bad",
    EventType.STEP_COMPENSATION_FAILED: "bad",
    EventType.COMPENSATION_FAILED: "bad",
    EventType.SAGA_HALTED: "bad",
    EventType.STEP_TIMED_OUT: "warn",
    EventType.STEP_UNKNOWN: "warn",
    EventType.STEP_LATE_RESULT: "warn",
    EventType.STEP_PROBE_FAILED: "warn",
    EventType.SAGA_TIMED_OUT: "warn",
    EventType.SAGA_PAUSED: "warn",
    EventType.SAGA_CANCEL_REFUSED: "warn",
    EventType.COMPENSATION_STARTED: "undo",
    EventType.COMPENSATION_REQUESTED: "undo",
    EventType.COMPENSATION_RETRIED: "undo",
    EventType.COMPENSATION_REPLAYED: "undo",
    EventType.COMPENSATION_SKIPPED: "undo",
    EventType.COMPENSATION_RESOLVED: "undo",
    EventType.SAGA_CANCEL_REQUESTED: "undo",
    EventType.SAGA_REWOUND: "undo",
    EventType.STEP_COMPENSATION_STARTED: "undo",
    EventType.STEP_COMPENSATED: "undo",
    EventType.COMPENSATION_COMPLETED: "undo",
}

_ATTEMPTS = {
    Direction.DO: "attempt",
    Direction.UNDO: "undo",
    Direction.PROBE: "probe",
}
_VERDICTS = {
    "done": "it took effect",
    "not_done": "it did not take effect",
    "unknown": "the agent cannot tell",
}


def style_of(kind: EventType) -> str:
    """Return the colour of an event's type."""
    return _STYLES.get(kind, "")


def facts_of(event: SagaEvent) -> str:
    """Return what is worth knowing of an event beyond its type and step."""
    parts = (_own(event), _then(event), asked(event))
    return " · ".join(part for part in parts if part)


def told(event: SagaEvent) -> str:
    """Return what an event tells, in words of its own, but for who asked for it."""
    parts = (WORDS[event.type], str(event.data.get("step", "")), _own(event))
    return ": ".join(part for part in parts if part)


def asked(event: SagaEvent) -> str:
    """Return who asked for what an event tells, and why; empty if nobody did."""
    by, why = event.data.get("by"), event.data.get("why")
    if not by:
        return ""
    return f"by {by}: {why}" if why else f"by {by}"


def error_text(error: Mapping[str, Any] | None) -> str:
    """Return an error as one line."""
    if not error:
        return ""
    return f"{error.get('type', 'Error')}: {error.get('message', '')}"


def awaited_text(awaits: Mapping[str, str]) -> str:
    """Return what a step waits for: a signal by its name, or a saga or a swarm."""
    if "signal" in awaits:
        return f"signal {awaits['signal']!r}"
    kind = "swarm" if "swarm" in awaits else "saga"
    return f"{kind} {short_id(awaits.get(kind, ''))}"


def _own(event: SagaEvent) -> str:
    data = event.data
    match event.type:
        case EventType.SAGA_STARTED:
            return _started(data)
        case EventType.STEP_COMPLETED | EventType.STEP_COMPENSATED:
            return _brief(data.get("output") or {})
        case (
            EventType.STEP_FAILED
            | EventType.STEP_COMPENSATION_FAILED
            | EventType.STEP_TIMED_OUT
            | EventType.STEP_UNKNOWN
            | EventType.STEP_PROBE_FAILED
        ):
            return error_text(data.get("error"))
        case EventType.STEP_LATE_RESULT:
            what = _ATTEMPTS[Direction(data["direction"])]
            came = "took effect" if data.get("landed") else "did nothing"
            return f"{what} {data['attempt']} had been given up, and {came}"
        case EventType.STEP_SKIPPED:
            problem = f" ({data['problem']})" if "problem" in data else ""
            return f"{data['when']} does not hold{problem}"
        case EventType.STEP_EXPANDED:
            return f"{data['count']} items"
        case EventType.STEP_WAITING:
            return f"for {awaited_text(data['for'])}"
        case EventType.STEP_ROUTED:
            return f"{data['agent_id']}, for attempt {data['for_attempt']}"
        case EventType.STEP_PROBED:
            return _VERDICTS[data["verdict"]]
        case EventType.STEP_RESOLVED:
            return _VERDICTS["done" if data["happened"] else "not_done"]
        case EventType.SIGNAL_RECEIVED:
            return f"{data['name']}{_with(data['data'])}"
        case EventType.LOCKS_ACQUIRED:
            return ", ".join(f"{name} ({at})" for name, at in data["locks"].items())
        case _:
            return _turn(event)


def _turn(event: SagaEvent) -> str:
    """Return what is to be known of a turn that the saga as a whole took."""
    data = event.data
    match event.type:
        case EventType.COMPENSATION_STARTED | EventType.COMPENSATION_REPLAYED:
            return f"order: {_order(data['waves']) or 'nothing to undo'}"
        case EventType.SAGA_REWOUND:
            undo = _order(data["waves"])
            return f"from {data['from_step']}" + (f", undoing {undo}" if undo else "")
        case EventType.SAGA_RETRIED | EventType.COMPENSATION_RETRIED:
            return ", ".join(data.get("steps", ()))
        case EventType.COMPENSATION_FAILED:
            return ", ".join(data["failed"])
        case EventType.SAGA_PAUSED if data.get("on_hold"):
            return ""
        case EventType.SAGA_PAUSED | EventType.SAGA_CANCEL_REFUSED:
            named = ", ".join(data.get("steps", ()))
            return f"{data['reason']}: {named}" if named else str(data["reason"])
        case EventType.SAGA_HALTED:
            cause = data["cause"]
            what = error_text(cause.get("error")) or str(cause.get("reason", ""))
            return f"{cause['step']}: {what}" if cause.get("step") else what
        case _:
            return ""


def _started(data: Mapping[str, Any]) -> str:
    definition = data["definition"]
    digest, count = data["definition_hash"][:8], len(definition["steps"])
    parts = [f"{definition['name']}, {count} steps, definition {digest}"]
    if template := definition.get("template"):
        parts.append(f"template {template}")
    if parent := data.get("parent"):
        parts.append(f"for step {parent['step']} of saga {short_id(parent['saga_id'])}")
    if origin := data.get("forked_from"):
        parts.append(f"forked from {short_id(origin)}")
    return ", ".join(parts)


def _order(waves: Sequence[Sequence[str]]) -> str:
    return " → ".join(" + ".join(wave) for wave in waves)


def _then(event: SagaEvent) -> str:
    retry_ms = event.data.get("retry_at_ms")
    if retry_ms is None:
        return ""
    wait_s = retry_ms / 1_000 - event.recorded_at.timestamp()
    return "next attempt " + (
        f"in {span_text(wait_s)}" if wait_s > 0.001 else "at once"  # noqa: PLR2004
    )


def _with(value: object) -> str:
    if value is None or value == {}:
        return ""
    return f" with {_brief(value if isinstance(value, Mapping) else {'data': value})}"


def _brief(output: Mapping[str, Any]) -> str:
    """Return small values of an output, and the names of larger ones."""
    parts = []
    for key, value in list(output.items())[:_MANY]:
        small = isinstance(value, str | int | float | bool) or value is None
        text = str(value)
        parts.append(f"{key}={text}" if small and len(text) <= _LONG else key)
    more = len(output) - _MANY
    return ", ".join(parts) + (f", {more} more" if more > 0 else "")
