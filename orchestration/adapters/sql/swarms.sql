-- name: record
-- Record facts of a swarm; see the function.
SELECT * FROM orch.swarm_record(
    %s, %s, %s::uuid[], %s::text[], %s::bytea[], %s::uuid, %s::uuid, %s, %s, %s, %s, %s,
    %s, %s::timestamptz, %s::timestamptz, %s, %s, %s, %s, %s, %s
)

-- name: read
-- A swarm's events after a version, and the database's clock; all of them, or those that
-- say where it stands.
SELECT clock_timestamp(), e.*
FROM (SELECT 1) AS one
LEFT JOIN orch.swarm_events(%s, %s, %s) AS e ON true

-- name: snapshot
-- The last state that was kept.
SELECT iteration, state FROM orch.swarm_snapshot WHERE swarm_id = %s

-- name: heal
-- Put an open swarm's row right by what its events fold to, unless it has moved on: then
-- its row is right already, or it is over and must not have one again.
SELECT orch.swarm_row(
    s.swarm_id, s.kind, s.name, s.state, s.version, s.started_at, s.deadline,
    s.iteration, s.best, s.convergence, s.moved_at, s.still_s
)
FROM (VALUES (
    %s, %s, %s, %s, %s::bigint, %s::timestamptz, %s::timestamptz, %s::bigint,
    %s::double precision, %s::double precision, %s::timestamptz, %s::double precision
)) AS s (
    swarm_id, kind, name, state, version, started_at, deadline, iteration, best,
    convergence, moved_at, still_s
)
JOIN es.streams AS t ON t.name = 'swarm-' || s.swarm_id AND t.version = s.version
FOR SHARE OF t

-- name: hold
-- Have a swarm stand still until the transaction ends.
SELECT s.version FROM es.streams AS s WHERE s.name = 'swarm-' || %s FOR UPDATE

-- name: over
-- Which of these swarms are over: they have no row, or nobody has healed it.
SELECT s.swarm_id
FROM unnest(%s::text[]) AS s (swarm_id)
JOIN orch.ended_swarm AS e USING (swarm_id)

-- name: is_listed
SELECT true FROM orch.open_swarm WHERE swarm_id = %s

-- name: wait_for
-- Note for the status what a swarm waits for.
UPDATE orch.open_swarm SET waiting_for = %s WHERE swarm_id = %s

-- name: waiting_for
SELECT waiting_for FROM orch.open_swarm WHERE swarm_id = %s

-- name: claim_due
-- The swarms that stand still, and how often they have been sent since they did; each is
-- pushed back at once, twice as long every time.
WITH due AS (
    SELECT swarm_id
    FROM orch.open_swarm
    WHERE next_check_at <= clock_timestamp()
    ORDER BY next_check_at
    LIMIT %s
    FOR UPDATE SKIP LOCKED
)
UPDATE orch.open_swarm AS o
SET resends = o.resends + 1,
    next_check_at = clock_timestamp()
        + make_interval(secs => least(%s * power(2, least(o.resends + 1, 10)), 300))
FROM due
WHERE o.swarm_id = due.swarm_id
RETURNING o.swarm_id, o.resends

-- name: listed
-- Swarms, newest first: open ones and ended ones.
SELECT *
FROM (
    SELECT
        swarm_id, kind, name, state, started_at, NULL::timestamptz AS ended_at,
        iteration, best, convergence, waiting_for
    FROM orch.open_swarm
    UNION ALL
    SELECT
        swarm_id, kind, name, state, started_at, ended_at, iteration, best, convergence,
        NULL
    FROM orch.ended_swarm
) AS found
WHERE (%(state)s::text IS NULL OR found.state = %(state)s)
ORDER BY found.started_at DESC, found.swarm_id DESC
LIMIT %(limit)s

-- name: retire
-- Forget the rows and snapshots of swarms that ended long ago; their events stay.
WITH gone AS (
    DELETE FROM orch.ended_swarm
    WHERE swarm_id IN (
        SELECT swarm_id
        FROM orch.ended_swarm
        WHERE ended_at < clock_timestamp() - make_interval(secs => %s)
        ORDER BY ended_at
        LIMIT %s
    )
    RETURNING swarm_id
), kept AS (
    DELETE FROM orch.swarm_snapshot AS x USING gone WHERE x.swarm_id = gone.swarm_id
)
SELECT count(*) FROM gone
