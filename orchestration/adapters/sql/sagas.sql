-- name: begin
-- Begin a saga, or learn that it exists.
SELECT * FROM orch.saga_begin(
    %s, %s, %s::uuid, %s::uuid, %s::uuid, %s, %s, %s, %s, %s, %s, %s, %s::jsonb
)

-- name: record
-- Record a decision; see the function.
SELECT * FROM orch.saga_record(
    %s, %s, %s::uuid[], %s::text[], %s::bytea[], %s::uuid, %s::uuid, %s, %s,
    %s, %s, %s, %s, %s, %s, %s, %s, %s::uuid, %s, %s, %s, %s, %s, %s, %s::jsonb
)

-- name: count_open
-- How many sagas are open, counted no further than asked.
SELECT count(*) FROM (SELECT FROM orch.open_saga LIMIT %s) AS found

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
SET check_at = clock_timestamp() + interval '10 s'
FROM due
WHERE o.saga_id = due.saga_id
RETURNING o.saga_id, o.is_unsent

-- name: look_at
-- Set a saga's next look, unless it has moved on.
UPDATE orch.open_saga
SET check_at = %s
WHERE saga_id = %s AND version = %s

-- name: take_locks
-- All locks of a saga or none; see the function.
SELECT orch.saga_locks(%s, %s::text[])

-- name: next_in_line
-- Who has waited longest for each of these locks that is free.
SELECT DISTINCT ON (w.name) w.saga_id
FROM orch.lock_wait AS w
JOIN orch.saga_lock AS k ON k.name = w.name AND k.holder IS NULL
JOIN orch.open_saga AS o ON o.saga_id = w.saga_id
WHERE w.name = ANY (%s::text[])
    AND (o.state = 'COMPENSATING' OR o.state = 'RUNNING' AND NOT o.gives_up)
ORDER BY w.name, w.since, w.saga_id

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

-- name: find
-- Sagas, newest first; open ones and ended ones. A cursor is the start and id of the
-- last one seen. The arms have no conditions of their own: so Postgres pushes those
-- below into both, reads each by an index up to the limit, and leaves out the one
-- that `is_over` excludes.
SELECT
    found.saga_id, found.name, found.state, found.started_at, found.ended_at,
    found.waiting_for, found.parent, a.attributes
FROM (
    SELECT
        o.saga_id, o.name, o.state, o.started_at, NULL::timestamptz AS ended_at,
        o.waiting_for, o.parent, false AS is_over
    FROM orch.open_saga AS o
    UNION ALL
    SELECT e.saga_id, e.name, e.state, e.started_at, e.ended_at, NULL, NULL, true
    FROM orch.ended_saga AS e
) AS found
LEFT JOIN orch.search_attributes AS a USING (saga_id)
WHERE (%(is_over)s::boolean IS NULL OR found.is_over = %(is_over)s)
    AND (%(state)s::text IS NULL OR found.state = %(state)s)
    AND (%(name)s::text IS NULL OR found.name = %(name)s)
    AND (%(attributes)s::jsonb IS NULL OR a.attributes @> %(attributes)s::jsonb)
    AND (%(since)s::timestamptz IS NULL OR found.started_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR found.started_at < %(until)s)
    AND (
        %(after_at)s::timestamptz IS NULL
        OR (found.started_at, found.saga_id) < (%(after_at)s::timestamptz, %(after_id)s)
    )
ORDER BY found.started_at DESC, found.saga_id DESC
LIMIT %(limit)s

-- name: letters
-- Undos that failed for good, longest first.
SELECT d.saga_id, o.name, d.step, d.error, d.since, d.tries, d.next_try_at
FROM orch.dead_letter AS d
LEFT JOIN orch.open_saga AS o USING (saga_id)
WHERE (%s::text IS NULL OR d.saga_id = %s)
ORDER BY d.since, d.saga_id, d.step
LIMIT %s

-- name: due_letters
-- Sagas whose failed undos are to be tried again now; each is put off by a minute, so
-- that a process that dies with one leaves it to a later one.
UPDATE orch.dead_letter AS d
SET next_try_at = clock_timestamp() + interval '1 min'
WHERE (d.saga_id, d.step) IN (
    SELECT l.saga_id, l.step
    FROM orch.dead_letter AS l
    WHERE l.next_try_at <= clock_timestamp()
    ORDER BY l.next_try_at
    LIMIT %s
    FOR UPDATE SKIP LOCKED
)
RETURNING d.saga_id, d.step, d.tries, clock_timestamp()

-- name: due_notices
-- Words to deliver now, of each saga the oldest only; each is put off at once, longer
-- every time it fails: 10 s, 20 s, and so on up to 11 minutes.
UPDATE orch.notice AS n
SET tries = n.tries + 1,
    due_at = clock_timestamp() + interval '10 s' * power(2, least(n.tries, 6))
WHERE n.notice_id IN (
    SELECT d.notice_id
    FROM orch.notice AS d
    WHERE d.due_at <= clock_timestamp()
        AND NOT EXISTS (
            SELECT FROM orch.notice AS e
            WHERE e.saga_id = d.saga_id AND e.notice_id < d.notice_id
        )
    ORDER BY d.due_at, d.notice_id
    LIMIT %s
    FOR UPDATE SKIP LOCKED
)
RETURNING
    n.notice_id, n.saga_id, n.name, n.state, n.version, n.recorded_at, n.error, n.tries

-- name: put_off_notices
-- Wait with all words as long as with this one: nobody is there to take them.
UPDATE orch.notice AS n
SET due_at = failed.due_at
FROM orch.notice AS failed
WHERE failed.notice_id = %s AND n.due_at < failed.due_at

-- name: drop_notice
DELETE FROM orch.notice WHERE notice_id = %s

-- name: retire
-- Forget the rows of sagas that ended long ago; their events stay.
WITH gone AS (
    DELETE FROM orch.ended_saga
    WHERE saga_id IN (
        SELECT saga_id
        FROM orch.ended_saga
        WHERE ended_at < clock_timestamp() - make_interval(secs => %s)
        ORDER BY ended_at
        LIMIT %s
    )
    RETURNING saga_id
), found_by AS (
    DELETE FROM orch.search_attributes AS a USING gone WHERE a.saga_id = gone.saga_id
)
SELECT count(*) FROM gone

-- name: heal
-- Rebuild a saga's side tables from what its events fold to; see the functions.
SELECT
    orch.saga_heal(
        %(saga)s, %(version)s, %(name)s, %(state)s, %(is_over)s, %(gives_up)s,
        %(started_at)s, %(ended_at)s, %(steps)s::text[], %(directions)s::text[],
        %(attempts)s::integer[], %(owners)s::uuid[], %(until)s::timestamptz[],
        %(lease_s)s
    ),
    orch.saga_heal_beside(
        %(saga)s, %(parent)s, %(locks)s::text[], %(fences)s::bigint[],
        %(attributes)s::jsonb
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
