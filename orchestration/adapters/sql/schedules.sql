-- name: now
SELECT clock_timestamp()

-- name: save
-- Add a schedule or replace it. One with the same times keeps its next slot, so that a
-- program may add its schedules each time it starts.
INSERT INTO orch.schedule AS s (
    name, definition, initial_data, every_s, cron, next_at
) VALUES (
    %(name)s, %(definition)s::json, %(initial_data)s::json, %(every_s)s, %(cron)s,
    %(next_at)s
)
ON CONFLICT (name) DO UPDATE
SET definition = excluded.definition,
    initial_data = excluded.initial_data,
    every_s = excluded.every_s,
    cron = excluded.cron,
    next_at = CASE
        WHEN s.every_s IS NOT DISTINCT FROM excluded.every_s
            AND s.cron IS NOT DISTINCT FROM excluded.cron
            AND (
                %(first_at)s::timestamptz IS NULL
                OR s.next_at >= %(first_at)s::timestamptz
                -- Counted from another moment, its slots would be others.
                AND coalesce(
                    mod(
                        extract(epoch FROM s.next_at - %(first_at)s::timestamptz),
                        excluded.every_s::numeric
                    ) = 0,
                    true
                )
            )
        THEN s.next_at
        ELSE excluded.next_at
    END,
    last_error = CASE
        WHEN s.definition::text = excluded.definition::text
            AND s.initial_data::text = excluded.initial_data::text
        THEN s.last_error
    END
RETURNING
    name, definition, initial_data, every_s, cron, next_at, last_saga_id, last_error

-- name: remove
DELETE FROM orch.schedule WHERE name = %s RETURNING name

-- name: listed
SELECT
    name, definition, initial_data, every_s, cron, next_at, last_saga_id, last_error
FROM orch.schedule
ORDER BY name

-- name: due
-- Schedules with a slot that has come, the longest overdue first.
SELECT
    name, definition, initial_data, every_s, cron, next_at, last_saga_id, last_error,
    clock_timestamp()
FROM orch.schedule
WHERE next_at <= clock_timestamp()
ORDER BY next_at
LIMIT %s

-- name: move
-- Go on to the next slot, unless somebody has already.
UPDATE orch.schedule
SET next_at = %(next_at)s,
    last_saga_id = coalesce(%(saga_id)s, last_saga_id),
    last_error = %(error)s
WHERE name = %(name)s AND next_at = %(slot)s
