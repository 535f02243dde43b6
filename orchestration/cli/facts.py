"""What an event says, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestration.cli.output import span_text
from orchestration.core.saga.events import EventType, SagaEvent

__all__ = ["WORDS", "error_text", "facts_of", "style_of"]

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
    EventType.SAGA_TIMED_OUT: "saga timed out",
    EventType.COMPENSATION_STARTED: "undoing started",
    EventType.STEP_COMPENSATION_STARTED: "undo started",
    EventType.STEP_COMPENSATED: "undone",
    EventType.STEP_COMPENSATION_FAILED: "undo failed",
    EventType.COMPENSATION_COMPLETED: "all undone",
    EventType.COMPENSATION_FAILED: "undoing failed",
    EventType.SAGA_PAUSED: "saga paused",
    EventType.SAGA_COMPLETED: "saga completed",
}

_STYLES: Mapping[EventType, str] = {
    EventType.STEP_COMPLETED: "ok",
    EventType.SAGA_COMPLETED: "ok",
    EventType.STEP_FAILED: "bad",
    EventType.STEP_COMPENSATION_FAILED: "bad",
    EventType.COMPENSATION_FAILED: "bad",
    EventType.STEP_TIMED_OUT: "warn",
    EventType.STEP_UNKNOWN: "warn",
    EventType.STEP_LATE_RESULT: "warn",
    EventType.SAGA_TIMED_OUT: "warn",
    EventType.SAGA_PAUSED: "warn",
    EventType.COMPENSATION_STARTED: "undo",
    EventType.STEP_COMPENSATION_STARTED: "undo",
    EventType.STEP_COMPENSATED: "undo",
    EventType.COMPENSATION_COMPLETED: "undo",
}


def style_of(kind: EventType) -> str:
    """Return the colour of an event's type."""
    return _STYLES.get(kind, "")


def facts_of(event: SagaEvent) -> str:
    """Return what is worth knowing of an event beyond its type and step."""
    data = event.data
    match event.type:
        case EventType.SAGA_STARTED:
            definition = data["definition"]
            digest = data["definition_hash"][:8]
            count = len(definition["steps"])
            return f"{definition['name']}, {count} steps, definition {digest}"
        case EventType.STEP_COMPLETED | EventType.STEP_COMPENSATED:
            return _brief(data.get("output") or {})
        case (
            EventType.STEP_FAILED
            | EventType.STEP_COMPENSATION_FAILED
            | EventType.STEP_TIMED_OUT
            | EventType.STEP_UNKNOWN
        ):
            return f"{error_text(data.get('error'))}{_then(event)}"
        case EventType.STEP_LATE_RESULT:
            return f"of {data['direction']}, recorded and not applied"
        case EventType.COMPENSATION_STARTED:
            waves = [" + ".join(wave) for wave in data["waves"]]
            return "order: " + (" → ".join(waves) or "nothing to undo")
        case EventType.SAGA_PAUSED:
            return str(data["reason"])
        case _:
            return ""


def error_text(error: Mapping[str, Any] | None) -> str:
    """Return an error as one line."""
    if not error:
        return ""
    return f"{error.get('type', 'Error')}: {error.get('message', '')}"


def _then(event: SagaEvent) -> str:
    retry_ms = event.data.get("retry_at_ms")
    if retry_ms is None:
        return ""
    wait_s = retry_ms / 1_000 - event.recorded_at.timestamp()
    return " · next attempt " + (
        f"in {span_text(wait_s)}" if wait_s > 0.001 else "at once"  # noqa: PLR2004
    )


def _brief(output: Mapping[str, Any]) -> str:
    """Return small values of an output, and the names of larger ones."""
    parts = []
    for key, value in list(output.items())[:_MANY]:
        small = isinstance(value, str | int | float | bool) or value is None
        text = str(value)
        parts.append(f"{key}={text}" if small and len(text) <= _LONG else key)
    more = len(output) - _MANY
    return ", ".join(parts) + (f", {more} more" if more > 0 else "")
