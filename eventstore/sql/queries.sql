-- Every statement that the Python side sends, by name. Parameters are the
-- driver's %s; functions and tables are in schema.sql.

-- name: append_one
-- One event, one round trip.
SELECT status, version, recorded_at
FROM es.append_one(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s);

-- name: append_many
-- Several events or streams, one round trip, all or nothing.
SELECT stream, status, version, recorded_at
FROM es.append_many(
    %s::text[], %s::bigint[], %s::integer[],
    %s::uuid[], %s::text[], %s::integer[],
    %s::uuid[], %s::uuid[], %s::text[], %s::bytea[], %s::bytea[]
);

-- name: read_stream
-- A stream in the order of its versions; committed heads have no gaps before them.
SELECT
    s.name AS stream, e.version, e.event_id, e.type, e.schema_version, e.recorded_at,
    e.correlation_id, e.causation_id, e.actor, e.metadata, e.data, e.hash,
    NULL::bigint AS seq
FROM es.events AS e
JOIN es.streams AS s USING (stream_id)
WHERE s.name = %s AND e.version > %s
ORDER BY e.version
LIMIT %s;

-- name: read_all
-- Everything, in the order of the log.
SELECT
    s.name AS stream, e.version, e.event_id, e.type, e.schema_version, e.recorded_at,
    e.correlation_id, e.causation_id, e.actor, e.metadata, e.data, e.hash,
    l.seq
FROM es.log AS l
JOIN es.events AS e USING (position)
JOIN es.streams AS s USING (stream_id)
WHERE l.seq > %s
ORDER BY l.seq
LIMIT %s;

-- name: read_category
-- One category, in the order of the log.
SELECT
    s.name AS stream, e.version, e.event_id, e.type, e.schema_version, e.recorded_at,
    e.correlation_id, e.causation_id, e.actor, e.metadata, e.data, e.hash,
    l.seq
FROM es.log AS l
JOIN es.events AS e USING (position)
JOIN es.streams AS s USING (stream_id)
WHERE l.category = %s AND l.seq > %s
ORDER BY l.seq
LIMIT %s;

-- name: lock_sequencer
-- The first statement of a tick's transaction: before any snapshot.
LOCK TABLE es.sequencer IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;

-- name: tick
-- Number what was committed since the last tick.
SELECT es.tick();
