"""``orchestration up`` runs everything on this machine; ``env`` tells where."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from rich.console import Console

    from orchestration.cli.stack import LocalStack

__all__ = ["env", "up"]

_LOOK_EVERY_S = 0.3
_FLOWER_PORT = 5555
_EX_CONFIG = 78
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0


@click.command(epilog="Example: orchestration up -I examples.csrd.agents")
@click.option(
    "-I",
    "--include",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="A module that defines agents; may be given again.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep data, passwords and logs here.  [default: a temporary folder]",
)
@click.option("-c", "--concurrency", default=2, show_default=True, metavar="N")
@click.option("--broker", metavar="URL", help="A broker to use, redis:// or amqp://.")
@click.option(
    "--flower/--no-flower", "with_flower", default=True, help="Run Flower as well."
)
@click.option("--flower-port", default=_FLOWER_PORT, show_default=True, metavar="PORT")
def up(
    *,
    modules: tuple[str, ...],
    data_dir: Path | None,
    concurrency: int,
    broker: str | None,
    with_flower: bool,
    flower_port: int,
) -> None:
    """Run Postgres, Valkey, workers, beat and Flower here until Ctrl-C.

    Servers that DATABASE_URL, REDIS_URL or CELERY_BROKER_URL name are used instead of
    local ones. Nothing is left running afterwards, whatever ends this command.
    """
    import sys

    from orchestration.adapters.embedded import EmbeddedServers
    from orchestration.cli.output import console
    from orchestration.cli.running import published
    from orchestration.cli.stack import LocalStack, expect_modules, stoppable

    sys.path.insert(0, str(Path.cwd()))  # where the workers look, too
    expect_modules(modules)
    environment = dict(os.environ) | ({"CELERY_BROKER_URL": broker} if broker else {})
    out = console()
    servers = EmbeddedServers.from_environment(environment, data_dir)
    try:
        with stoppable(), servers:
            stack = LocalStack(servers, environment)
            flower = flower_port if with_flower else 0
            flower = _start(stack, out, modules, concurrency, flower)
            with published(servers.environment):
                _tell(stack, out, modules, flower)
                _watch(stack, out)
    except KeyboardInterrupt:
        pass
    out.print("Stopped; nothing is left running.", style="faint")


@click.command(epilog='Use: eval "$(orchestration env)"')
def env() -> None:
    """Print the addresses of the running `orchestration up`, for eval."""
    from orchestration.cli.running import newest_stack

    found = newest_stack()
    if found is None:
        raise click.ClickException(
            "no `orchestration up` runs for this user: start one in another terminal"
        )
    click.echo(_exports(found))


def _start(
    stack: LocalStack,
    out: Console,
    modules: tuple[str, ...],
    concurrency: int,
    flower_port: int,
) -> int:
    """Start everything and return Flower's port, 0 if there is none."""
    from orchestration.adapters.schema import migrate_all
    from orchestration.cli.stack import free_port

    began = time.monotonic()
    migrate_all(stack.servers.database_url)
    worker = stack.worker("worker", modules=modules, concurrency=concurrency)
    parts = [worker, stack.chores(), stack.beat()]
    with out.status("starting workers …"):
        for part in parts:
            stack.start(part)
        stack.wait_ready(*parts)
    if flower_port:
        flower_port = free_port(flower_port)
        stack.start(stack.flower(flower_port))
    out.print(f"[ok]✓[/] up after {time.monotonic() - began:.1f} s")
    return flower_port


def _tell(
    stack: LocalStack, out: Console, modules: tuple[str, ...], flower: int
) -> None:
    """Say what runs where, and what to type elsewhere."""
    from rich.table import Table

    environment = stack.servers.environment
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="key")
    grid.add_column(overflow="fold")
    grid.add_row("Postgres", _address(environment["DATABASE_URL"]))
    grid.add_row("Redis", _address(environment["REDIS_URL"]))
    grid.add_row("broker", _address(environment["CELERY_BROKER_URL"]))
    hosted = ", ".join(modules) or "no agents: name their module by -I"
    grid.add_row("worker", hosted)
    grid.add_row("", "and a worker for chores, and beat")
    if flower:
        grid.add_row("Flower", f"http://127.0.0.1:{flower}")
    grid.add_row("logs", str(stack.logs))
    out.print(grid)
    out.print("\nIn another terminal:\n", style="faint")
    # Plain, so that it can be copied whatever the width.
    click.echo('eval "$(orchestration env)"      # or, the same:')
    click.echo(_exports(environment) + "\n")
    out.print("Ctrl-C stops everything.", style="faint")


def _watch(stack: LocalStack, out: Console) -> None:
    """Say when a process died, and start workers and beat again."""
    from orchestration.adapters.embedded import EmbeddedServerError

    due: dict[str, float] = {}
    pauses: dict[str, float] = {}
    while True:
        time.sleep(_LOOK_EVERY_S)
        for name, code in stack.ended().items():
            if not stack.is_part(name):
                raise EmbeddedServerError(
                    f"{name} {_how(code)}, and nothing works without it; its log "
                    f"ends:\n{stack.last_words(name)}"
                )
            if name not in due:
                pause_s = pauses.get(name, _FIRST_PAUSE_S)
                pauses[name] = min(2 * pause_s, _LONGEST_PAUSE_S)
                for_good = code == _EX_CONFIG
                due[name] = float("inf") if for_good else time.monotonic() + pause_s
                _mourn(stack, out, name, code, pause_s)
            elif time.monotonic() > due[name]:
                del due[name]
                stack.restart(name)
                out.print(f"[ok]✓[/] {name} is starting again")


def _mourn(
    stack: LocalStack, out: Console, name: str, code: int, pause_s: float
) -> None:
    """Say that a process died, why as far as is known, and what happens now."""
    then = f"started again in {pause_s:.0f} s"
    if code == _EX_CONFIG:
        then = "not started again: its configuration is wrong"
    out.print(f"[bad]✗[/] {name} {_how(code)}; {then}", markup=True)
    if code > 0:
        out.print(stack.last_words(name), style="faint", markup=False)


def _how(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _address(url: str) -> str:
    """Return an address without its password."""
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    where = f"{parts.hostname or ''}:{parts.port}" if parts.port else parts.hostname
    return f"{scheme}://{where or ''}{parts.path}"


def _exports(environment: dict[str, str]) -> str:
    return "\n".join(
        f"export {name}={shlex.quote(value)}" for name, value in environment.items()
    )
