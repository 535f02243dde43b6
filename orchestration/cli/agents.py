"""``orchestration agents``: which worker hosts what."""

from __future__ import annotations

import click

__all__ = ["agents"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def agents(*, as_json: bool) -> None:
    """Show which agents live workers host, and which only former ones did."""
    from orchestration.cli.hosts import agent_table, hosted
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.session import session

    with session() as opened:
        found = hosted(opened.announcements.listed())
    if as_json:
        emit_json(found)
        return
    out = console()
    if found:
        out.print(agent_table(found))
    else:
        out.print(
            "no worker ever announced an agent: start one with "
            "`celery -A tasks worker -I your_module`, or `orchestration up -I …`"
        )
