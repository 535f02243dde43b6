"""Discovery as a query in Postgres: from the registry's rows, by nothing of its code.

Version constraints are written by hand for each that random queries ask for, health is
reckoned from the heartbeats by its formula, and Postgres orders the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import create_engine

from orchestration.core.registry.query import Order, Query

__all__ = ["RegistryOracle"]

_FUNCTIONS = """
CREATE SCHEMA oracle;
CREATE TABLE oracle.beat (
    agent_id text PRIMARY KEY,
    cpu double precision, errors double precision, response_ms double precision,
    queue bigint
);
-- Numbers, whether it is a release, and the number of the prerelease.
CREATE FUNCTION oracle.key(v text) RETURNS integer[] LANGUAGE sql IMMUTABLE AS $$
    SELECT string_to_array(split_part(v, '-', 1), '.')::integer[] || CASE
        WHEN v LIKE '%-%'
        THEN ARRAY[0, split_part(split_part(v, '-', 2), '.', 2)::integer]
        ELSE '{1,0}'
    END
$$;
"""
_BEATS = """
INSERT INTO oracle.beat
SELECT *
FROM unnest(
    %s::text[], %s::double precision[], %s::double precision[], %s::double precision[],
    %s::bigint[]
)
ON CONFLICT (agent_id) DO UPDATE
SET cpu = excluded.cpu, errors = excluded.errors, response_ms = excluded.response_ms,
    queue = excluded.queue
"""
_AGENTS = """
DROP TABLE IF EXISTS oracle.agent;
CREATE TABLE oracle.agent AS
SELECT
    a.agent_id COLLATE "C" AS agent_id,
    a.status,
    a.location,
    -- As answers tell it: four digits.
    round(10000 * CASE WHEN b.agent_id IS NULL THEN a.health_score ELSE
        (1 - b.errors)
        * (2000 / greatest(b.response_ms, 2000))
        * (1 - greatest(b.cpu - 0.7::double precision, 0))
    END) / 10000 AS health,
    coalesce(
        b.queue::double precision
        / coalesce((d.said #>> '{metadata,max_concurrent_requests}')::integer, 10),
        0
    ) AS load,
    oracle.key(d.said ->> 'version') AS k,
    ARRAY(
        SELECT split_part(c, '@', 1)
        FROM jsonb_array_elements_text(d.said -> 'capabilities') AS c
    ) AS names,
    ARRAY(SELECT jsonb_array_elements_text(d.said -> 'capabilities')) AS capabilities,
    ARRAY(SELECT jsonb_array_elements_text(d.said -> 'service_types')) AS kinds,
    ARRAY(SELECT jsonb_array_elements_text(d.said -> 'tags')) AS tags,
    (d.said ->> 'cost_per_request')::double precision AS cost,
    (d.said #>> '{sla,max_latency_ms}')::double precision AS latency_ms,
    (d.said #>> '{sla,availability}')::double precision AS availability
FROM orch.agent AS a
CROSS JOIN LATERAL (SELECT a.descriptor::jsonb AS said) AS d
LEFT JOIN oracle.beat AS b USING (agent_id);
"""
_RANGES: Mapping[str, str] = {
    ">=2.0.0": "k >= '{2,0,0,1,0}' AND k[4] = 1",
    ">1.0": "k > '{1,0,0,1,0}' AND k[4] = 1",
    "=1.2.0": "k = '{1,2,0,1,0}'",
    "^1.2": "k >= '{1,2,0,1,0}' AND k[1] = 1 AND k[4] = 1",
    "~1.4": "k[1:2] = '{1,4}' AND k[4] = 1",
    "~=2.1": "k >= '{2,1,0,1,0}' AND k[1] = 2 AND k[4] = 1",
    "!=1.0.0": "k <> '{1,0,0,1,0}' AND k[4] = 1",
    "<2": "k[1] < 2 AND k[4] = 1",
    "1.x": "k[1] = 1 AND k[4] = 1",
    ">=1.1,<3 || ^0.3": "(k[1] IN (1, 2) AND k >= '{1,1,0,1,0}' OR k[1:2] = '{0,3}')"
    " AND k[4] = 1",
    ">=3.0.0-rc.0": "k >= '{3,0,0,0,0}' AND (k[4] = 1 OR k[1:3] = '{3,0,0}')",
    ">=1.1": "k >= '{1,1,0,1,0}' AND k[4] = 1",
    "^1.0": "k[1] = 1 AND k[4] = 1",
    "2.x": "k[1] = 2 AND k[4] = 1",
    ">=2.0.0-rc.0": "k >= '{2,0,0,0,0}' AND (k[4] = 1 OR k[1:3] = '{2,0,0}')",
    "1.0.0": "k = '{1,0,0,1,0}'",
    "!=1.1.0": "k <> '{1,1,0,1,0}' AND k[4] = 1",
}
_ORDERS: Mapping[Order, str] = {
    Order.AGENT_ID: "agent_id",
    Order.COST: "elsewhere, cost, round(health * 100) DESC, load, agent_id",
    Order.HEALTH: "elsewhere, round(health * 100) DESC, load, agent_id",
}


class RegistryOracle:
    """Answers queries from the rows of one database, as they stood at ``read``."""

    def __init__(self, database_url: str) -> None:
        self._engine = create_engine(database_url)
        self._run(_FUNCTIONS)

    def close(self) -> None:
        self._engine.dispose()

    def beats(self, heartbeats: Iterable[tuple[str, Mapping[str, float]]]) -> None:
        """Take in the last heartbeats of agents."""
        told = list(heartbeats)
        names = ("cpu_usage", "error_rate", "response_time_ms", "queue_size")
        columns = [[metrics[name] for _, metrics in told] for name in names]
        with self._engine.begin() as connection:
            parameters = ([one for one, _ in told], *columns)
            connection.exec_driver_sql(_BEATS, parameters)

    def read(self) -> None:
        """Take in the rows as they are now."""
        self._run(_AGENTS)

    def answer(self, query: Query) -> list[str]:
        """Return the agents that answer a query, the best first."""
        wheres, given = _wheres(query)
        statement = (
            "SELECT agent_id FROM (SELECT *, location <> coalesce(%s, location)"
            f" AS elsewhere FROM oracle.agent WHERE {' AND '.join(wheres)}) AS found"
            f" ORDER BY {_ORDERS[Order(query.order)]} LIMIT %s"
        )
        parameters = (query.location_preference, *given, query.max_results)
        with self._engine.connect() as connection:
            rows = connection.exec_driver_sql(statement, parameters).all()
        return [row[0] for row in rows]

    def _run(self, statement: str) -> None:
        with self._engine.begin() as connection:
            # Without parameters: the driver leaves % alone.
            connection.connection.cursor().execute(statement)


def _wheres(query: Query) -> tuple[list[str], list[Any]]:
    plain = [one for one in query.capabilities if "@" not in one]
    conditions: list[tuple[str, Any]] = [
        ("status = ANY(%s)", [str(one) for one in query.statuses]),
        ("health >= %s", query.min_health_score),
        ("names @> %s::text[]", plain),
        ("tags @> %s::text[]", list(query.tags)),
    ]
    if query.service_types:
        kinds = [str(one) for one in query.service_types]
        conditions.append(("kinds && %s::text[]", kinds))
    for wanted in query.capabilities:
        name, _, constraint = wanted.partition("@")
        if constraint:
            releases = (
                "EXISTS (SELECT FROM unnest(capabilities) AS c, LATERAL (SELECT"
                " oracle.key(split_part(c, '@', 2)) AS k) AS release"
                " WHERE split_part(c, '@', 1) = %s AND c LIKE '%%@%%'"
                f" AND {_RANGES[constraint]})"
            )
            conditions.append((releases, name))
    limits = [
        ("cost <= %s", query.max_cost),
        ("latency_ms <= %s", query.max_latency_ms),
        ("availability >= %s", query.min_availability),
    ]
    conditions += [(text, limit) for text, limit in limits if limit is not None]
    wheres = [text for text, _ in conditions]
    if query.version_constraint is not None:
        wheres.append(f"({_RANGES[query.version_constraint]})")
    return wheres, [value for _, value in conditions]
