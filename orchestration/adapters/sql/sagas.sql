-- name: start
-- Begin a saga, or learn that it exists.
SELECT * FROM orch.saga_start(%s, %s, %s::uuid, %s::uuid, %s::uuid, %s, %s, %s, %s)

-- name: transition
-- Record a decision; see the function.
SELECT * FROM orch.saga_transition(
    %s, %s, %s::uuid[], %s::text[], %s::bytea[], %s::uuid, %s::uuid, %s, %s,
    %s, %s, %s, %s, %s, %s, %s, %s, %s::uuid, %s, %s, %s
)

-- name: read
-- A saga's events and the database's clock.
SELECT 'ok', clock_timestamp(), e.*
FROM (SELECT 1) AS one
LEFT JOIN orch.saga_events(%s, 0) AS e ON true

-- name: claim_due
-- The sagas whose time to be looked at has come; each is pushed back at once, so that
-- a sweep that dies with one in hand leaves it to a later sweep.
WITH due AS (
    SELECT saga_id
    FROM orch.open_saga
    WHERE check_at <= clock_timestamp()
    ORDER BY check_at
    LIMIT %s
    FOR UPDATE SKIP LOCKED
)
UPDATE orch.open_saga AS o
SET resends = o.resends + 1,
    check_at = clock_timestamp()
        + least(interval '10 s' * power(2, least(o.resends, 10)), interval '5 min')
FROM due
WHERE o.saga_id = due.saga_id
RETURNING o.saga_id, o.check_at

-- name: look_earlier
-- Bring a saga's next look forward, unless it has moved on.
UPDATE orch.open_saga
SET check_at = least(check_at, %s)
WHERE saga_id = %s AND version = %s

-- name: expired
-- Attempts whose holder has not been heard of in time, though it could have been.
SELECT saga_id, step, direction, attempt
FROM orch.lease
WHERE until < clock_timestamp()
    AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => %s)
ORDER BY until
LIMIT %s

-- name: forget_lease
DELETE FROM orch.lease
WHERE saga_id = %s AND step = %s AND direction = %s AND attempt = %s
    AND until < clock_timestamp()

-- name: put_off
-- Let a lease that cannot be dealt with now not stand before others that can.
UPDATE orch.lease
SET until = clock_timestamp() + interval '1 min'
WHERE saga_id = %s AND step = %s AND direction = %s AND attempt = %s
    AND until < clock_timestamp()

-- name: renew
-- Prolong the leases of one process; tell which it still holds, and whose doing is in
-- vain since the saga has given up. An undo is never in vain.
UPDATE orch.lease AS l
SET until = least(clock_timestamp() + make_interval(secs => %s), l.hard_until)
FROM unnest(%s::text[], %s::text[], %s::text[], %s::uuid[])
    AS mine (saga_id, step, direction, owner)
JOIN orch.open_saga AS o ON o.saga_id = mine.saga_id
WHERE l.saga_id = mine.saga_id
    AND l.step = mine.step
    AND l.direction = mine.direction
    AND l.owner = mine.owner
RETURNING l.owner::text, o.gives_up AND l.direction = 'do'

-- name: wait_for
-- Note for the status what a saga waits for.
UPDATE orch.open_saga SET waiting_for = %s WHERE saga_id = %s

-- name: waiting_for
SELECT waiting_for FROM orch.open_saga WHERE saga_id = %s

-- name: over
-- Which of these sagas are no longer on their way.
SELECT s.saga_id
FROM unnest(%s::text[]) AS s (saga_id)
LEFT JOIN orch.open_saga AS o USING (saga_id)
WHERE o.saga_id IS NULL OR o.state NOT IN ('RUNNING', 'COMPENSATING')

-- name: list
-- Sagas, newest first; open ones and ended ones.
SELECT *
FROM (
    SELECT saga_id, name, state, started_at, NULL::timestamptz, waiting_for
    FROM orch.open_saga
    WHERE (%s::text IS NULL OR state = %s) AND (%s::text IS NULL OR name = %s)
    UNION ALL
    (
        SELECT saga_id, name, state, started_at, ended_at, NULL
        FROM orch.ended_saga
        WHERE (%s::text IS NULL OR state = %s) AND (%s::text IS NULL OR name = %s)
        ORDER BY ended_at DESC
        LIMIT %s
    )
) AS found
ORDER BY started_at DESC
LIMIT %s

-- name: heal
-- Rebuild a saga's side tables from what its events fold to; see the function.
SELECT orch.saga_heal(
    %s, %s, %s, %s, %s, %s, %s, %s,
    %s::text[], %s::text[], %s::integer[], %s::uuid[], %s::timestamptz[], %s
)

-- name: claim_tick
-- One process per slot of a schedule, on the database's clock; none if it is taken.
-- A slot far from the one on record is new, whichever side it lies on: the period was
-- changed, or the clock was set back.
INSERT INTO orch.tick AS t (name, slot)
VALUES (%s, floor(extract(epoch FROM clock_timestamp()) / %s))
ON CONFLICT (name) DO UPDATE
SET slot = excluded.slot
WHERE t.slot NOT IN (excluded.slot, excluded.slot + 1)
RETURNING slot
