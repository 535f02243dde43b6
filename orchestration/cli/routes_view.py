"""How decisions of routing look in a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from orchestration.engine.replaying import Difference

__all__ = ["differing", "explained"]

_SHOWN = 20  # agents


def explained(told: Mapping[str, Any]) -> Group:
    """Return where a message would go, why, and who else could have got it."""
    facts = Table.grid(padding=(0, 2, 0, 0))
    for name, value in _facts(told):
        facts.add_row(Text(name, style="key"), value)
    return Group(facts, Text(), _candidates(told))


def _facts(told: Mapping[str, Any]) -> Iterable[tuple[str, Text]]:
    yield "goes to", Text(", ".join(told["targets"]), style="ok")
    yield "rule", Text(told["rule"])
    yield "strategy", Text(f"{told['strategy']}, {told['method'].lower()}")
    if told["mirror"]:
        yield "mirror", Text(told["mirror"])
    age_s = told["staleness_s"]
    yield "loads", Text("none is known" if age_s is None else f"{age_s:.1f} s old")
    yield "panic", Text("yes" if told["panic"] else "no")
    yield "because", Text(told["reason"])


def _candidates(told: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    for title in ("", "agent", "load", "weight", "what of it"):
        table.add_column(title, no_wrap=True)
    for agent_id in told["candidates"][:_SHOWN]:
        is_it = agent_id in told["targets"]
        load = told["loads"].get(agent_id)
        table.add_row(
            Text("✓", style="ok") if is_it else "",
            Text(agent_id),
            Text("" if load is None else f"{load:.3f}"),
            Text(f"{told['weights'].get(agent_id, 1.0):.2f}"),
            Text("looked at" if load is not None else "", style="faint"),
        )
    if (more := len(told["candidates"]) - _SHOWN) > 0:
        table.add_row("", Text(f"and {more} more", style="faint"), "", "", "")
    for title, key in (
        ("left out", "left_out"),
        ("nobody knows it", "unknown_targets"),
    ):
        for agent_id in told[key]:
            sign, what = Text("✗", style="bad"), Text(title, style="bad")
            table.add_row(sign, Text(agent_id), "", "", what)
    return table


def differing(found: Iterable[Difference]) -> Table:
    """Return decisions that come out otherwise than they are recorded."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    for title in ("event", "message", "recorded", "comes out as"):
        table.add_column(title)
    for one in found:
        record = one.decision.record
        table.add_row(
            Text(f"{one.decision.stream} {one.decision.version}"),
            Text(record.message_id),
            Text(", ".join(record.targets)),
            Text(one.reason or ", ".join(one.targets), style="bad"),
        )
    return table
