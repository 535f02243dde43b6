"""``orchestration registry card``, ``import`` and ``token``: agents of others."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from typing import IO

import click

__all__ = ["CARDS"]

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("agent_id", metavar="AGENT")
def card(*, agent_id: str) -> None:
    """Print an agent as an A2A agent card, which is JSON."""
    from orchestration.cli.output import emit_json
    from orchestration.cli.registry_reading import meant
    from orchestration.cli.registry_reading import registry as opened
    from orchestration.core.registry.card import to_card

    with opened() as client:
        found = client.state(meant(agent_id, client))
    emit_json(to_card(found.descriptor))


@click.command("import")
@click.argument("file", metavar="CARD.json|-", type=click.File(encoding="utf-8"))
@click.option(
    "--id", "agent_id", help="Register it as this.  [default: agent- and its name]"
)
@click.option("--location", help="Region or cluster that it runs in.")
@click.option(
    "--token",
    envvar="ORCHESTRATION_REGISTRY_TOKEN",
    show_envvar=True,
    help="Whose agent it is.",
)
@click.option("--by", default="", help="Who asks.  [default: user@host]")
@click.option("--dry-run", is_flag=True, help="Show what would be registered.")
@_json
def import_card(
    *,
    file: IO[str],
    agent_id: str | None,
    location: str | None,
    token: str | None,
    by: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Register an agent from an A2A agent card of protocol 1.0 or 0.3."""
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.registry_reading import registry as opened
    from orchestration.core.registry.card import from_card
    from orchestration.engine.asking import who

    descriptor = from_card(_read(file), agent_id=agent_id)
    if dry_run:
        emit_json(descriptor.to_json())
        return
    with opened(filled=False) as client:
        state = client.register(
            descriptor, location=location, token=token, by=who(by, "").by
        )
    if as_json:
        told = {"location": state.location, "owner": state.owner}
        emit_json({**state.descriptor.to_json(), **told, "revision": state.version})
        return
    able = len(state.descriptor.capabilities)
    what = "1 capability" if able == 1 else f"{able} capabilities"
    out = console()
    out.print(
        f"[ok]✓[/] [head]{state.descriptor.agent_id}[/] is registered, with {what}",
        soft_wrap=True,
    )
    out.print("  it stays only if heartbeats come: see docs/registry.md", style="faint")


@click.command(
    epilog="Example: orchestration registry token 'agent-carbon-*' --owner team-a"
)
@click.argument("pattern")
@click.option("--owner", required=True, help="Whose agents they are.")
@click.option(
    "--days",
    default=90.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True, max=36_500),
    help="How long it is good.",
)
@_json
def token(*, pattern: str, owner: str, days: float, as_json: bool) -> None:
    """Sign a token that lets its holder register agents of a PATTERN of ids.

    It is signed with the first of ORCHESTRATION_REGISTRY_SECRETS. No server is asked,
    and nothing is recorded: whoever has the secret can sign.
    """
    from datetime import UTC

    from orchestration.cli.output import console, emit_json
    from orchestration.core.registry.token import Grant, sign_token
    from orchestration.engine.registering import secrets_of
    from orchestration.errors import ConfigurationError
    from orchestration.settings import Settings

    secrets = secrets_of(Settings.from_env())
    if not secrets:
        raise ConfigurationError(
            "ORCHESTRATION_REGISTRY_SECRETS is not set, so nobody needs a token: set "
            "it, for the workers as well, to have tokens asked for"
        )
    expires_at = datetime.now(UTC) + timedelta(days=days)
    grant = Grant(
        pattern=pattern,
        owner=owner,
        expires_at_ms=math.floor(expires_at.timestamp() * 1_000),
    )
    try:
        signed = sign_token(secrets[0], grant)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    if as_json:
        told = {"pattern": pattern, "owner": owner, "expires_at": expires_at}
        emit_json({"token": signed, **told})
        return
    click.echo(signed)  # alone on stdout, whole, to be put where it is needed
    until = f"{expires_at.astimezone():%Y-%m-%d %H:%M}"
    console(stderr=True).print(
        f"{pattern} for {owner}, until {until}", style="faint", markup=False
    )


CARDS = (card, import_card, token)


def _read(file: IO[str]) -> object:
    try:
        return json.load(file)
    except ValueError as exc:
        raise click.BadParameter(f"{file.name} is no JSON: {exc}") from exc
