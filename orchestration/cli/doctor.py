"""``orchestration doctor``: is everything there that sagas need?"""

from __future__ import annotations

import click

__all__ = ["doctor"]

_UNWELL = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> None:
    """Look at settings, servers, schema and processes; exit 1 if something is wrong.

    Each finding says what to do about it.
    """
    from rich.text import Text

    from orchestration.cli.checkup import Verdict, check_all
    from orchestration.cli.output import console, emit_json

    findings = check_all()
    failed = [one for one in findings if one.verdict is Verdict.WRONG]
    if as_json:
        emit_json({"ok": not failed, "findings": findings})
    else:
        out = console()
        for one in findings:
            sign, style = one.verdict.sign
            out.print(
                Text.assemble(
                    (f"{sign} ", style), (f"{one.subject:<14}", ""), one.says
                ),
                soft_wrap=True,
            )
            if one.way_out:
                out.print(Text(f"  {'':<14}→ {one.way_out}", style), soft_wrap=True)
        warned = sum(one.verdict is Verdict.DOUBTFUL for one in findings)
        out.print(
            f"\n{len(findings)} looked at, {len(failed)} wrong, {warned} doubtful"
        )
    if failed:
        raise click.exceptions.Exit(_UNWELL)
