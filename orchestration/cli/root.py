"""The group of all commands, and the one place where errors become exit codes."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click

from orchestration.cli.agents import agents
from orchestration.cli.bus import bus
from orchestration.cli.demo import demo
from orchestration.cli.doctor import doctor
from orchestration.cli.health import health
from orchestration.cli.migrate import migrate
from orchestration.cli.registry import registry
from orchestration.cli.route import route
from orchestration.cli.saga import saga
from orchestration.cli.swarm import swarm
from orchestration.cli.up import env, up

__all__ = ["main"]

_FAILED, _INTERRUPTED = 2, 130
_DRIVERS = ("sqlalchemy", "psycopg2", "redis", "kombu", "amqp")


class _Root(click.Group):
    """Prints what this project raises as one line; a traceback only on request."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own type
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            raise click.exceptions.Exit(_INTERRUPTED) from None
        except Exception as exc:
            sentence = _sentence(exc)
            if ctx.params["debug"] or sentence is None:
                raise
            from orchestration.cli.output import fail

            fail(sentence)
            raise click.exceptions.Exit(_FAILED) from exc

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order in which a newcomer needs them."""
        del ctx
        return list(self.commands)


@click.group(
    cls=_Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
    epilog="Start with `orchestration demo`, or `orchestration up -I your_module`.",
)
@click.version_option(
    package_name="agent-foundation-orchestration", prog_name="orchestration"
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(*, debug: bool) -> None:
    """Sagas on Celery, with an event store on Postgres behind them."""
    del debug
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a sign shows another; it is no reason to stop.
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # of TextIOWrapper


for _command in (
    demo,
    up,
    env,
    saga,
    swarm,
    agents,
    registry,
    bus,
    route,
    migrate,
    doctor,
    health,
):
    main.add_command(_command)


def _sentence(exc: Exception) -> str | None:
    """Return what an expected error says; None for one that is a bug."""
    from eventstore import EventStoreError
    from orchestration.adapters.embedded import EmbeddedServerError
    from orchestration.errors import OrchestrationError

    if isinstance(exc, OrchestrationError | EventStoreError | EmbeddedServerError):
        return str(exc)
    if type(exc).__module__.partition(".")[0] in _DRIVERS:
        first = str(exc).strip().partition("\n")[0]
        return f"{type(exc).__name__}: {first}"
    return None
