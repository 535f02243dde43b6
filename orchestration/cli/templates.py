"""``orchestration saga templates``: which sagas there are to run by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from orchestration.adapters.template_folder import FoundTemplate
    from orchestration.core.saga.template import SagaTemplate

__all__ = ["templates"]

_BROKEN = 1


@click.command()
@click.argument("folder", required=False, metavar="[DIR]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def templates(*, folder: str | None, as_json: bool) -> None:
    """List the templates of a folder, and what is broken.

    DIR is, unless given, what ORCHESTRATION_TEMPLATES_DIR says, or sagas. Run one by
    `orchestration saga run NAME --param key=value`. Exits 1 if a file is broken.
    """
    from orchestration.adapters.template_folder import TemplateFolder
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.starting import templates_folder

    path = templates_folder(folder)
    found = TemplateFolder(path).list()
    if as_json:
        emit_json([_plain(each) for each in found])
    elif found:
        console().print(_table(found))
    else:
        console().print(f"no templates in {path}", markup=False)
    if any(each.faults for each in found):
        raise click.exceptions.Exit(_BROKEN)


def _plain(each: FoundTemplate) -> dict[str, Any]:
    template = each.template
    return {
        "path": str(each.path),
        "name": template.name if template else None,
        "version": template.version if template else None,
        "description": template.description if template else None,
        "parameters": {
            name: parameter.to_json()
            for name, parameter in (template.parameters if template else {}).items()
        },
        "faults": each.faults,
    }


def _table(found: Sequence[FoundTemplate]) -> Table:
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    for title in ("template", "parameters", "what for"):
        table.add_column(title, no_wrap=title == "template")
    for each in found:
        if each.template is None or each.faults:
            faults = Text("; ".join(each.faults), "bad")
            table.add_row(Text(f"✗ {each.path.name}", "bad"), "", faults)
        else:
            name = Text(each.template.label, "head")
            about = escape(each.template.description)
            table.add_row(name, escape(_parameters(each.template)), about)
    return table


def _parameters(template: SagaTemplate) -> str:
    """Return the parameters, those that may be left out with what they are then."""
    return ", ".join(
        name if parameter.required else f"{name}={parameter.default}"
        for name, parameter in template.parameters.items()
    )
