"""With what a router begins: its settings, and the routes of a file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from orchestration.core.routing.affinity import AffinitySettings
from orchestration.core.routing.budget import BudgetSettings
from orchestration.core.routing.ejection import EjectionSettings
from orchestration.core.routing.model import RouteRule
from orchestration.core.routing.rates import Rate
from orchestration.core.routing.settings import RouterSettings
from orchestration.core.routing.slow_start import SlowStartSettings
from orchestration.core.routing.table import RouteTable
from orchestration.errors import ConfigurationError, InvalidRoute
from orchestration.settings import Settings

__all__ = ["read_routes", "router_settings"]

_READERS: Final = {".json": json.loads, ".toml": tomllib.loads}
_PARTS: Final = frozenset({"rules", "routes"})
_ROUTE: Final = frozenset({"targets", "strategy"})


def router_settings(settings: Settings) -> RouterSettings:
    """Return what this process's settings say of routers."""
    limited = settings.route_rate_per_s > 0
    return RouterSettings(
        location=settings.location,
        rate=Rate(
            calls_per_s=settings.route_rate_per_s, burst=settings.route_rate_burst
        )
        if limited
        else None,
        ejection=EjectionSettings(
            consecutive_failures=settings.route_ejection_failures,
            base_ejection_s=settings.route_ejection_s,
            max_ejected_share=settings.route_max_ejected_share,
        ),
        slow_start=SlowStartSettings(window_s=settings.route_slow_start_s),
        affinity=AffinitySettings(idle_s=settings.route_affinity_idle_s),
        retries=BudgetSettings(share=settings.route_retry_share),
        max_attempts=settings.route_max_attempts,
        cache_ttl_s=settings.route_cache_ttl_s,
        record_rate=settings.route_record_rate,
    )


def read_routes(path: Path | str, table: RouteTable | None = None) -> RouteTable:
    """Return a table with the routes of a file, beside those it has already.

    The file has a list ``rules``, each with the fields of ``RouteRule``, and a table
    ``routes``, which has ``targets`` and perhaps a ``strategy`` by recipient.

    Args:
        path: TOML or JSON, by its suffix.
        table: The routes that there are.

    Raises:
        ConfigurationError: It cannot be read, or holds something else.
        InvalidRoute: One of its routes is not sound; all faults of it are named.
    """
    held = _content(Path(path))
    table = table or RouteTable()
    rules, routes = held.get("rules", []), held.get("routes", {})
    if not isinstance(rules, list) or not isinstance(routes, dict):
        raise ConfigurationError(
            f"the routes file {path}: 'rules' is a list and 'routes' a table; see "
            "docs/routing.md"
        )
    for nth, one in enumerate(rules, 1):
        table = table.with_rule(_rule(one, nth))
    for recipient_id, one in routes.items():
        if not isinstance(one, dict) or "targets" not in one or one.keys() - _ROUTE:
            fault = "give it targets, and perhaps a strategy, and nothing else"
            raise InvalidRoute(f"static:{recipient_id}", [fault])
        table = table.with_static(recipient_id, **one)
    return table


def _content(path: Path) -> Mapping[str, Any]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigurationError(f"the routes file {path}: name a .toml or .json file")
    try:
        held = reader(path.read_text("utf-8"))
    except OSError as exc:
        raise ConfigurationError(
            f"the routes file {path} cannot be read ({exc.strerror}): name one that is "
            "there"
        ) from exc
    except ValueError as exc:  # JSON's, TOML's and UTF-8's
        raise ConfigurationError(
            f"the routes file {path} is no {path.suffix[1:].upper()}: {exc}"
        ) from exc
    if not isinstance(held, dict) or held.keys() - _PARTS:
        raise ConfigurationError(
            f"the routes file {path}: it may hold 'rules' and 'routes', and nothing "
            "else; see docs/routing.md"
        )
    return held


def _rule(given: object, nth: int) -> RouteRule:
    if not isinstance(given, dict):
        raise InvalidRoute(f"number {nth}", ["give it as a table of its fields"])
    name = str(given.get("name", f"number {nth}"))
    try:
        return RouteRule(**given)
    except TypeError as exc:
        raise InvalidRoute(name, [str(exc).partition("() ")[2]]) from exc
