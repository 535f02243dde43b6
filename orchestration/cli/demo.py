"""``orchestration demo``: three sagas on real servers, one of them under fire."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from orchestration.cli.scenes import Stage

__all__ = ["demo"]

_AGENTS = "examples.csrd.agents"
_LEASE_S = 5
_FAILED, _INTERRUPTED = 1, 130
# What of this process's variables could lead a demo to other servers or data.
_OURS = ("ORCHESTRATION_", "DATABASE_URL", "REDIS_URL", "CELERY_", "CSRD_", "KAFKA_")


@click.command()
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep database, logs and reports here, to look at them afterwards.",
)
def demo(*, keep: Path | None) -> None:
    """Make a report by a saga, undo one, kill a worker in a third; about 15 seconds.

    Runs on a Postgres, a Valkey and Celery workers of its own, whatever the
    environment says, and leaves none of them running. Exit 0 only if everything that
    it tells was seen to be so.
    """
    from orchestration.cli.output import console, fail
    from orchestration.cli.scenes import Untrue

    root = _examples()
    out = console()
    try:
        with _stage(out, root, keep) as stage:
            _play(stage)
    except KeyboardInterrupt:
        out.print("\nStopped; nothing is left running.", style="faint")
        raise click.exceptions.Exit(_INTERRUPTED) from None
    except Untrue as exc:
        fail(f"the demo failed: {exc}")
        raise click.exceptions.Exit(_FAILED) from exc
    _farewell(out, stage, keep)


def _play(stage: Stage) -> None:
    from orchestration.cli.scenes import failing, killed, reported, verified

    reported(stage)
    failing(stage)
    killed(stage)
    verified(stage)


@contextlib.contextmanager
def _stage(out: Console, root: Path, keep: Path | None) -> Iterator[Stage]:
    """Start servers and workers, and stop them whatever happens."""
    from orchestration.adapters.embedded import EmbeddedServers
    from orchestration.cli.scenes import Stage
    from orchestration.cli.stack import LocalStack, stoppable

    data_dir = keep / "stack" if keep else None
    reports = (keep / "reports" if keep else Path("var/csrd")).resolve()
    began = time.monotonic()
    out.print("\n[head]Agent Foundation: three sagas[/]", highlight=False)
    out.print(
        "On a real Postgres, Valkey and Celery, started for this demo only.\n",
        style="faint",
    )
    environment = _environment(root) | {
        "ORCHESTRATION_LEASE_S": str(_LEASE_S),
        "CSRD_HOME": str(reports),
    }
    with stoppable(), EmbeddedServers(data_dir) as servers:
        stack = LocalStack(servers, environment)
        with Stage.open(stack, out, reports, lease_s=_LEASE_S) as stage:
            stage.raise_curtain(_AGENTS, began)
            yield stage


def _examples() -> Path:
    """Return the folder that holds ``examples``, made importable.

    Raises:
        click.ClickException: It is not here, or lacks what it needs.
    """
    for folder in ("", str(Path.cwd())):
        if folder:
            sys.path.insert(0, folder)
        with contextlib.suppress(ImportError):
            found = importlib.util.find_spec(_AGENTS)
            if found is not None and found.origin is not None:
                break
    else:
        raise click.ClickException(
            "the demo plays the example in examples/csrd, which is part of the "
            "repository and not of the installed package: run `make demo` in a checkout"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise click.ClickException(
            "the example draws with matplotlib, which is not installed: "
            "pip install 'agent-foundation-orchestration[embedded,examples]'"
        )
    return Path(found.origin).parents[2]


def _environment(root: Path) -> dict[str, str]:
    """Return this process's variables without those that name other servers."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    paths = [str(root), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}


def _farewell(out: Console, stage: Stage, keep: Path | None) -> None:
    """Say where to look next."""
    report = _shown(stage.report)
    out.print("\n[head]Look at it[/]")
    out.print(f"  the report   {report / 'report.html'}", soft_wrap=True)
    out.print(f"  as XBRL      {report / 'instance.xbrl'}", soft_wrap=True)
    if keep:
        out.print(f"  the logs     {_shown(keep / 'stack' / 'logs')}", soft_wrap=True)
        out.print("\n[head]Ask the events[/]")
        out.print(f"  orchestration up --data-dir {_shown(keep / 'stack')}")
        out.print('  eval "$(orchestration env)"        [faint]in another terminal[/]')
        out.print(f"  orchestration saga show {stage.last_saga[:8]}")
        out.print(f"  orchestration saga history {stage.last_saga[:8]}")
        out.print("  python -m eventstore verify")
    else:
        out.print("\n[head]Ask the events[/]")
        out.print("  orchestration demo --keep var/demo   [faint]keeps the database[/]")
        out.print("  orchestration up --data-dir var/demo/stack")
        out.print(
            '  eval "$(orchestration env)"          [faint]in another terminal[/]'
        )
        out.print("  orchestration saga show              [faint]or list, history[/]")
    out.print("\n[head]Make your own[/]")
    out.print(
        "  README.md, \u201cFive minutes\u201d: two agents, a saga, and its undoing"
    )
    out.print("  docs/sagas.md: steps, retries, pivots, unknown outcomes\n")
    out.print("Everything that was started has been stopped.", style="faint")


def _shown(path: Path) -> Path:
    """Return a path as short as it can be typed from here."""
    with contextlib.suppress(ValueError):
        return path.resolve().relative_to(Path.cwd())
    return path
