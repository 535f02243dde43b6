"""Tells a saga's events line by line, for people who see one for the first time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.table import Table
from rich.text import Text

from orchestration.cli.facts import WORDS, error_text, facts_of
from orchestration.cli.output import span_text
from orchestration.core.saga.events import EventType, SagaEvent

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Narrator"]

_WIDEST = 96
_DOING = {
    EventType.STEP_COMPENSATION_STARTED: "undoing ",
    EventType.STEP_PROBE_STARTED: "asking what became of ",
}
_SIGNS = {
    EventType.STEP_COMPENSATION_FAILED: ("✗", "bad"),
    EventType.COMPENSATION_FAILED: ("✗", "bad"),
    EventType.SAGA_HALTED: ("✗", "bad"),
    EventType.STEP_PROBED: ("?", "live"),
    EventType.STEP_PROBE_FAILED: ("?", "warn"),
    EventType.STEP_LATE_RESULT: ("!", "warn"),
    EventType.SAGA_TIMED_OUT: ("!", "warn"),
    EventType.SAGA_CANCEL_REFUSED: ("!", "warn"),
    EventType.SAGA_PAUSED: ("‖", "warn"),
    EventType.STEP_WAITING: ("…", "live"),
    EventType.STEP_SKIPPED: ("○", "faint"),
}

# What a step of the example has made, by the output that it reports.
_SAYS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "readings": lambda o: (
        f"{o['readings']} readings, {o['sites']} sites, {o['countries']} countries"
    ),
    "data_points": lambda o: _points(o["data_points"]),
    "scope2_location_based_tco2e": lambda o: (
        f"{float(o['scope2_location_based_tco2e']):,.0f} t CO2e from "
        f"{float(o['electricity_mwh']):,.0f} MWh"
    ),
    "report_files": lambda o: f"{o['report_files']} files: page, chart, XBRL, figures",
    "published": lambda _: "into the outbox, by one rename",
    "deleted_files": lambda o: f"undone, {o['deleted_files']} files removed",
}


class Narrator:
    """Prints what is new, and shows what is going on meanwhile.

    Args:
        out: Where to.
    """

    def __init__(self, out: Console) -> None:
        self._out = out
        self._seen = 0
        self._began: dict[tuple[str, str], SagaEvent] = {}
        self._status = out.status("")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._status.stop()

    def tell(self, events: Sequence[SagaEvent]) -> None:
        """Tell the events that have come since the last call."""
        for event in events[self._seen :]:
            self._tell(event, events[0])
        self._seen = len(events)

    def _tell(self, event: SagaEvent, first: SagaEvent) -> None:
        since_start = (event.recorded_at - first.recorded_at).total_seconds()
        match event.type:
            case (
                EventType.STEP_STARTED
                | EventType.STEP_COMPENSATION_STARTED
                | EventType.STEP_PROBE_STARTED
            ):
                self._begin(event)
            case EventType.STEP_COMPLETED:
                self._line("✓", "ok", event, _says(event.data.get("output")))
            case EventType.STEP_FAILED:
                self._line("✗", "bad", event, _first_sentence(event))
            case EventType.STEP_UNKNOWN | EventType.STEP_TIMED_OUT:
                error = event.data.get("error") or {}
                says = f"outcome unknown: {error.get('message', '')}"
                self._line("?", "warn", event, says)
            case EventType.STEP_COMPENSATED:
                self._line("↶", "undo", event, _says(event.data.get("output")))
            case EventType.SAGA_COMPLETED:
                self._end("[ok]COMPLETED[/]", since_start)
            case EventType.COMPENSATION_COMPLETED:
                self._end("[undo]COMPENSATED[/]", since_start)
            case EventType.SAGA_STARTED | EventType.COMPENSATION_STARTED:
                pass  # what comes of them is told
            case _:
                self._otherwise(event)

    def _otherwise(self, event: SagaEvent) -> None:
        """Tell what happens seldom in the words of every list."""
        if event.type in (EventType.STEP_WAITING, EventType.STEP_EXPANDED):
            self._began[(event.step, self._side(event))] = event
        sign, style = _SIGNS.get(event.type, ("▸", "live"))
        facts = facts_of(event)
        self._line(sign, style, event, WORDS[event.type] + (facts and f": {facts}"))

    def _begin(self, event: SagaEvent) -> None:
        place = (event.step, self._side(event))
        before, self._began[place] = self._began.get(place), event
        self._status.update(f"{_DOING.get(event.type, '')}{event.step} …")
        if before is None:
            return
        says = f"attempt {event.data['attempt']}, with the same idempotency key"
        if before.data["round"] != event.data["round"]:
            says = "once more, with a new idempotency key"
        self._line("▶", "live", event, says)

    def _line(self, sign: str, style: str, event: SagaEvent, says: str) -> None:
        step = str(event.data.get("step", "the saga"))
        began = self._began.get((step, self._side(event)))
        took = ""
        is_end = (
            "attempt" in event.data and event.type is not EventType.STEP_LATE_RESULT
        )
        if is_end and began is not None and began is not event:
            seconds = (event.recorded_at - began.recorded_at).total_seconds()
            took = span_text(seconds)
        grid = Table.grid(padding=(0, 1))
        grid.width = min(self._out.width, _WIDEST)
        grid.add_column(width=4, justify="right")
        grid.add_column(width=22, no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(width=7, justify="right", style="faint", no_wrap=True)
        bad = style in ("bad", "warn")
        grid.add_row(
            Text(sign, style), Text(step), Text(says, style if bad else ""), took
        )
        self._out.print(grid)

    def _end(self, word: str, seconds: float) -> None:
        self._out.print(f"   {word} [faint]after {span_text(seconds)}[/]")

    @staticmethod
    def _side(event: SagaEvent) -> str:
        if "PROBE" in event.type:
            return "probe"
        return "undo" if "COMPENSAT" in event.type else "do"


def _first_sentence(event: SagaEvent) -> str:
    """Return what went wrong; what to do about it is in ``saga show``."""
    return error_text(event.data.get("error")).partition(". ")[0]


def _says(output: Mapping[str, Any] | None) -> str:
    for key, say in _SAYS.items():
        if output and key in output:
            return say(output)
    return ""


def _points(counts: Mapping[str, int]) -> str:
    """Return how many of the standard's data points the readings answer."""
    whole, partly = counts["complete"], counts["in part"]
    return f"{whole + partly} of {sum(counts.values())} data points, {partly} in part"
