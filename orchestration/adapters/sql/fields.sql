-- name: clock
-- How many ticks are done, and when the last ended, as far as that is on record; the
-- version of the stream; and the database's clock.
SELECT clock_timestamp(), c.tick, c.at, coalesce(s.version, 0)
FROM (SELECT 1) AS one
LEFT JOIN orch.field_clock AS c ON true
LEFT JOIN es.streams AS s ON s.name = 'field-clock'

-- name: evaporate
-- Record that ticks are done; see the function.
SELECT * FROM orch.fields_evaporate(
    %s, %s::uuid, %s::bytea, %s::uuid, %s::uuid, %s, %s, %s, %s::timestamptz
)

-- name: read
-- What is known of some work; locked, so that of two swarms that end at once one waits.
SELECT told FROM orch.standing_field WHERE field = %s FOR UPDATE

-- name: look
SELECT told FROM orch.standing_field WHERE field = %s

-- name: events
-- All that happened on one stream, oldest first.
SELECT e.data
FROM es.streams AS s
JOIN es.events AS e USING (stream_id)
WHERE s.name = %s
ORDER BY e.version

-- name: lay
-- Record what a swarm has learned; see the function.
SELECT orch.field_lay(
    %s, %s, %s::uuid, %s::bytea, %s::uuid, %s, %s, %s::uuid, %s, %s, %s, %s, %s, %s::bytea
)

-- name: is_any
SELECT true FROM orch.standing_field LIMIT 1

-- name: listed
-- Fields, the one laid on last first.
SELECT handler, source, layout, tick, laid_at, told
FROM orch.standing_field
ORDER BY laid_at DESC
LIMIT %s
