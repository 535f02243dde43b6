"""How changes of agents are told as they come: a line each, for people or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from orchestration.cli.output import console, plain, span_text
from orchestration.cli.registry_reading import Seen, counted
from orchestration.cli.registry_views import (
    agent_json,
    health_text,
    status_text,
    statuses_text,
)
from orchestration.core.registry.watch import ChangeKind

__all__ = ["Teller", "change_words"]

_DEAF_S: Final = 10.0
_SIGNS: Final = {
    ChangeKind.JOINED: ("+", "joined", "ok"),
    ChangeKind.LEFT: ("−", "left", "undo"),  # noqa: RUF001
    ChangeKind.CHANGED: ("~", "changed", "live"),
}


@dataclass(slots=True)
class Teller:
    """Tells of changes; the first that it hears of are the agents that there are."""

    as_json: bool
    out: Console = field(default_factory=console)
    _is_first: bool = True
    _is_deaf: bool = False
    _longest: int = 0

    def tell(self, seen: Sequence[Seen], feed_age_s: float) -> None:
        """Tell of changes that were seen together.

        Args:
            seen: What has changed.
            feed_age_s: How old what is known may be, seconds.
        """
        self._tell_if_deaf(feed_age_s)
        now = datetime.now(UTC)
        lengths = (len(one.change.agent.agent_id) for one in seen)
        self._longest = max(self._longest, *lengths, 0)
        if self.as_json:
            for one in seen:
                self.out.file.write(_json_line(one, now) + "\n")
        elif self._is_first:
            agents = [one.change.agent for one in seen]
            self.out.print(statuses_text(counted(agents)), "now; Ctrl-C ends")
        else:
            for one in seen:
                line = change_words(one, now, self._longest)
                self.out.print(line, soft_wrap=True)
        self._is_first = False

    def _tell_if_deaf(self, feed_age_s: float) -> None:
        """Say once that nothing is heard, and once that it is heard again."""
        is_deaf = feed_age_s > _DEAF_S
        if is_deaf != self._is_deaf:
            told = "! the feed is heard again"
            if is_deaf:
                told = (
                    f"! nothing was heard for {span_text(feed_age_s)}: is Redis away?"
                )
            console(stderr=True).print(told, style="warn")
        self._is_deaf = is_deaf


def change_words(seen: Seen, now: datetime, longest: int) -> Text:
    """Return a change as a line.

    Args:
        seen: The change.
        now: When it was seen.
        longest: How long the longest id is, for what follows to be aligned.
    """
    agent = seen.change.agent
    sign, word, style = _SIGNS[seen.change.kind]
    text = Text.assemble(
        (f"{now.astimezone():%H:%M:%S}  ", "faint"),
        (f"{sign} {word:<9}", style),
        (f"{agent.agent_id:<{longest}}  ", "head"),
    )
    return text.append_text(Text("  ").join(_parts(seen)))


def _parts(seen: Seen) -> Iterator[Text]:
    """Yield what is to be told of an agent that joined, left or changed."""
    agent, before = seen.change.agent, seen.before
    if before is not None and before.status is not agent.status:
        yield status_text(before.status) + Text(" → ") + status_text(agent.status)
    else:
        yield status_text(agent.status)
    yield Text(f"health {health_text(agent.health_score)}")
    if before is None or seen.change.kind is ChangeKind.LEFT:
        yield Text(agent.location or "-", "faint")
        return
    if before.location != agent.location:
        yield Text(f"location {before.location or '-'} → {agent.location or '-'}")
    was, said = before.descriptor.to_json(), agent.descriptor.to_json()
    if names := [name for name in said if said[name] != was[name]]:
        yield Text(f"new {', '.join(names)}")


def _json_line(seen: Seen, now: datetime) -> str:
    told = {
        "at": now,
        "kind": seen.change.kind,
        "was": None if seen.before is None else seen.before.status,
        "agent": agent_json(seen.change.agent),
    }
    return json.dumps(plain(told), ensure_ascii=False)
