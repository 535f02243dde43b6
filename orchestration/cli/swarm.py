"""``orchestration swarm …``: swarms begun, watched, done again, and acted upon."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli.options import json_pairs

if TYPE_CHECKING:
    from orchestration.swarm import SwarmOrchestrator, SwarmReport

__all__ = ["swarm"]

_NOT_DONE = 1
# Of SwarmStatus; spelled out, so that --help loads nothing.
_STATES = (
    "RUNNING",
    "PAUSED",
    "COMPLETED",
    "STOPPED",
    "TIMED_OUT",
    "FAILED",
    "NON_DETERMINISTIC",
)

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_bounds = click.option(
    "--bounds",
    metavar="LOW:HIGH,…",
    help="Of each dimension.  [default: the usual ones of a standard function]",
)
_dims = click.option(
    "--dims", type=click.IntRange(1), metavar="N", help="So many, all with one bounds."
)
_seed = click.option("--seed", type=click.IntRange(0), metavar="N")
_new_id = click.option("--id", "swarm_id", help="The swarm's id.  [default: a new one]")
_swarm_id = click.argument("swarm_id", required=False, metavar="[ID]")


class _Swarm(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order in which they are needed."""
        del ctx
        return list(self.commands)


@click.group(cls=_Swarm)
def swarm() -> None:
    """Start swarms, see how they stand, and do them again.

    Where an ID is asked for, its beginning will do; where it may be left out, the
    newest swarm is meant.
    """


@swarm.command(
    epilog="Examples: orchestration swarm run --fitness rastrigin --dims 10; "
    "orchestration swarm run task.toml --set agents_required=50"
)
@click.argument("file", required=False, metavar="[FILE.json|FILE.toml]")
@click.option("--fitness", metavar="NAME", help="Search where this is least.")
@_bounds
@_dims
@click.option("--objective", metavar="TEXT", help="Share out work: what it is for.")
@click.option("--handler", metavar="NAME", help="What does a partition of it.")
@_seed
@click.option(
    "--set",
    "others",
    metavar="NAME=JSON",
    multiple=True,
    callback=json_pairs,
    help="Anything else, as agents=100 or behavior=FORAGING; may be given again.",
)
@_new_id
@_json
def run(
    *,
    file: str | None,
    others: Mapping[str, Any],
    as_json: bool,
    **given: Any,  # noqa: ANN401 - what click hands over
) -> None:
    """Start a swarm and show it until it is over.

    A file, or the options, say what it does: with a fitness it searches where that is
    least, with an objective it shares out work in partitions. What is said here goes
    before what the file says. Exit code 0 if it was completed, else 1.
    """
    from orchestration.cli.swarm_following import followed
    from orchestration.cli.swarm_starting import asked, begun

    wanted = asked(file, {**given, **others})

    async def act() -> SwarmReport:
        async with _opened() as swarms:
            return await followed(swarms, await begun(swarms, wanted), as_json=as_json)

    report = asyncio.run(act())
    if report.status != "COMPLETED":
        raise click.exceptions.Exit(_NOT_DONE)


@swarm.command(
    epilog="Example: orchestration swarm tune --fitness rastrigin --dims 10 "
    "--evaluations 20000"
)
@click.argument("file", required=False, metavar="[FILE.json|FILE.toml]")
@click.option("--fitness", metavar="NAME", help="What searches look for the least of.")
@_bounds
@_dims
@click.option("--generations", type=click.IntRange(1), metavar="N")
@click.option(
    "--evaluations",
    type=click.IntRange(1),
    metavar="N",
    help="With how many values each search is tried: as many as it is to have later.",
)
@_seed
@click.option(
    "--set",
    "others",
    metavar="NAME=JSON",
    multiple=True,
    callback=json_pairs,
    help="Anything else, as candidates=24 or searches=15; may be given again.",
)
@_new_id
@_json
def tune(
    *,
    file: str | None,
    others: Mapping[str, Any],
    as_json: bool,
    **given: Any,  # noqa: ANN401 - what click hands over
) -> None:
    """Find settings with which searches find more, and show them.

    They evolve: an iteration is a generation, and each of its settings is tried by a
    task of its own. Exit code 0 if it was completed, else 1.
    """
    from orchestration.cli.swarm_following import followed
    from orchestration.cli.swarm_starting import asked

    wanted = asked(file, {**given, **others})
    if not wanted.fitness:
        raise click.UsageError("only a search can be tuned: name its fitness")

    async def act() -> SwarmReport:
        async with _opened() as swarms:
            begun = swarms.start_tuning(wanted.fitness, wanted.bounds, **wanted.told)
            return await followed(swarms, await begun, as_json=as_json)

    report = asyncio.run(act())
    if report.status != "COMPLETED":
        raise click.exceptions.Exit(_NOT_DONE)


@swarm.command("list")
@click.option(
    "--state",
    metavar="STATE",
    type=click.Choice(_STATES, case_sensitive=False),
    help="Only those that stand so, as RUNNING.",
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@_json
def list_swarms(*, state: str | None, limit: int, as_json: bool) -> None:
    """List swarms, newest first."""
    from datetime import UTC, datetime

    from orchestration.cli.output import console, emit_json
    from orchestration.cli.swarm_views import swarms_table

    async def act() -> Any:  # noqa: ANN401 - summaries, whose class is not loaded here
        async with _opened() as swarms:
            return await swarms.list(state=state, limit=limit)

    found = asyncio.run(act())
    if as_json:
        emit_json(found)
    elif found:
        console().print(swarms_table(found, datetime.now(UTC)))
    else:
        console().print("no swarms" + (" of that kind" if state else " yet"))


@swarm.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@_json
def fields(*, limit: int, as_json: bool) -> None:
    """Show what is left of what runs have learned of their work.

    A later run with the same handler and data begins with it: the longest first.
    """
    from datetime import UTC, datetime

    from orchestration.cli.output import console, emit_json
    from orchestration.cli.swarm_views import fields_table

    async def act() -> Any:  # noqa: ANN401 - summaries, whose class is not loaded here
        async with _opened() as swarms:
            return await swarms.fields(limit=limit)

    found = asyncio.run(act())
    if as_json:
        emit_json(found)
    elif found:
        console().print(fields_table(found, datetime.now(UTC)))
    else:
        console().print("nothing has been learned yet")


@swarm.command()
@_swarm_id
@click.option("--follow", "-f", "following", is_flag=True, help="Until it is over.")
@_json
def show(*, swarm_id: str | None, following: bool, as_json: bool) -> None:
    """Show how one swarm stands, or what came of it."""
    from orchestration.cli.swarm_following import followed, meant, told

    async def act() -> None:
        async with _opened() as swarms:
            wanted = await meant(swarms, swarm_id)
            if following:
                await followed(swarms, wanted, as_json=as_json)
            else:
                told(await swarms.status(wanted), as_json=as_json)

    asyncio.run(act())


@swarm.command()
@_swarm_id
@click.option(
    "--every",
    "every_ms",
    default=100,
    show_default=True,
    type=click.IntRange(min=10),
    metavar="MS",
    help="At most one frame in this time.",
)
@click.option("--positions", is_flag=True, help="With --json: of every agent.")
@_json
def watch(
    *, swarm_id: str | None, every_ms: int, positions: bool, as_json: bool
) -> None:
    """Watch a swarm move until it is over; it is no slower for that.

    Its agents are drawn by their first two dimensions. With --json, or into a pipe, a
    frame is a line.
    """
    from orchestration.cli.swarm_following import meant, watched

    if positions and not as_json:
        raise click.UsageError("--positions goes with --json")

    async def act() -> None:
        async with _opened() as swarms:
            wanted = await meant(swarms, swarm_id)
            await watched(
                swarms, wanted, every_ms=every_ms, as_json=as_json, positions=positions
            )

    asyncio.run(act())


@swarm.command()
@_swarm_id
@click.option(
    "-I",
    "--include",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="A module that defines the fitness or handler; may be given again.",
)
@click.option(
    "--call-handler",
    is_flag=True,
    help="Do partitions again; what the handler does besides is done once more.",
)
@_json
def replay(
    *, swarm_id: str | None, modules: tuple[str, ...], call_handler: bool, as_json: bool
) -> None:
    """Do every iteration again from the seed, and compare each hash.

    Of work in partitions the hashes of results, of agents at each tick, and of the end
    are computed again from what is on record.

    Exit code 0 if all came out as they are on record, 1 if one did not.
    """
    from orchestration.cli.output import console, emit_json
    from orchestration.cli.swarm_following import meant
    from orchestration.cli.swarm_starting import imported
    from orchestration.cli.swarm_views import replay_view

    imported(modules)

    async def act() -> Any:  # noqa: ANN401 - a SwarmReplay, whose class is not loaded here
        async with _opened() as swarms:
            wanted = await meant(swarms, swarm_id)
            return await swarms.replay(wanted, call_handler=call_handler)

    done = asyncio.run(act())
    if as_json:
        emit_json(done)
    else:
        console().print(replay_view(done), soft_wrap=True)
    if not done.is_equal:
        raise click.exceptions.Exit(_NOT_DONE)


def _acting(name: str, text: str) -> None:
    """Add the command that does this to a swarm."""

    def command(*, swarm_id: str | None, by: str, why: str, as_json: bool) -> None:
        from orchestration.cli.swarm_following import meant, told

        async def act() -> None:
            async with _opened() as swarms:
                wanted = await meant(swarms, swarm_id)
                do: Callable[..., Any] = getattr(swarms, name)
                told(await do(wanted, by=by, why=why), as_json=as_json)

        asyncio.run(act())

    options = (
        _json,
        click.option("--why", default="", metavar="TEXT", help="Is recorded."),
        click.option("--by", default="", metavar="NAME", help="Is recorded, too."),
        click.argument("swarm_id", metavar="ID"),
    )
    for option in options:
        command = option(command)
    swarm.command(name, help=text)(command)


_acting("pause", "Let what runs end, and begin nothing; its time stands still.")
_acting("resume", "Go on after a pause.")
_acting("stop", "End it as it stands, once what runs has ended.")


@contextlib.asynccontextmanager
async def _opened() -> AsyncIterator[SwarmOrchestrator]:
    """Connect to the servers that the environment names."""
    from orchestration.cli.session import expect_server
    from orchestration.settings import Settings
    from orchestration.swarm import SwarmOrchestrator

    expect_server("DATABASE_URL", Settings.from_env().database_url, 5432)
    async with SwarmOrchestrator() as swarms:
        yield swarms
