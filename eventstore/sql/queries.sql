-- Every statement that the Python side sends, by name. Parameters are the
-- driver's %s; functions and tables are in schema.sql.

-- name: append_one
-- One event, one round trip. A function in FROM takes a tenth longer; JSON writes
-- times the same way whatever the session's DateStyle is.
SELECT to_json(es.append_one(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s))::text;

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

-- name: subscription_exists
-- Asked first, so that the insert below is rare.
SELECT count(*) FROM es.subscriptions WHERE name = %s;

-- name: make_subscription
-- Before the first event of the log.
INSERT INTO es.subscriptions (name) VALUES (%s) ON CONFLICT (name) DO NOTHING;

-- name: lock_subscription
-- One consumer at a time; no row means that another one has it.
SELECT last_seq FROM es.subscriptions WHERE name = %s FOR UPDATE SKIP LOCKED;

-- name: subscription_position
-- Where a subscription stands, asked without waiting for its consumer.
SELECT last_seq FROM es.subscriptions WHERE name = %s;

-- name: move_subscription
-- In the transaction of the handler's work.
UPDATE es.subscriptions SET last_seq = %s, updated_at = now() WHERE name = %s;

-- name: store_id
-- What every genesis hash begins with.
SELECT store_id FROM es.store;

-- name: verify_events
-- Every hashed column as it is stored, in the order of the chains; eventstore/scan.py
-- knows the columns by their place. Columns of fixed length come first.
COPY (
    SELECT
        e.stream_id, e.version, e.event_id, e.schema_version, e.recorded_at,
        e.meta_digest, e.payload_digest, e.hash,
        e.type, e.actor, e.metadata, e.content_type, e.data, e.salt,
        e.correlation_id, e.causation_id,
        l.seq, l.category, l.leaf,
        s.name, s.category, s.version, s.head
    FROM es.events AS e
    LEFT JOIN es.streams AS s USING (stream_id)
    LEFT JOIN es.log AS l USING (position)
    WHERE %s::text IS NULL OR s.name = %s
    ORDER BY e.stream_id, e.version
) TO STDOUT (FORMAT binary);

-- name: verify_empty_streams
-- Heads behind which there is no event.
SELECT s.stream_id, s.name, s.category, s.version, s.head
FROM es.streams AS s
WHERE (%s::text IS NULL OR s.name = %s)
  AND NOT EXISTS (SELECT FROM es.events AS e WHERE e.stream_id = s.stream_id);

-- name: verify_log
-- First number that is not where a dense log has it, and how far it should reach.
SELECT
    (
        SELECT min(d.due)
        FROM (SELECT l.seq, row_number() OVER (ORDER BY l.seq) - 1 AS due FROM es.log AS l) AS d
        WHERE d.seq <> d.due
    ) AS gap,
    (SELECT count(*) FROM es.log) AS numbered,
    (SELECT q.next_seq FROM es.sequencer AS q) AS next_seq;

-- name: verify_log_rows
-- Numbers whose event is gone.
SELECT l.seq
FROM es.log AS l
LEFT JOIN es.events AS e USING (position)
WHERE e.position IS NULL
ORDER BY l.seq
LIMIT 1;

-- name: stats
-- The store in one row.
SELECT
    (SELECT count(*) FROM es.events) AS events,
    (SELECT count(*) FROM es.streams WHERE version > 0) AS streams,
    (SELECT next_seq FROM es.sequencer) AS numbered,
    (SELECT ticked_at FROM es.sequencer) AS last_tick_at,
    (SELECT max(recorded_at) FROM es.streams WHERE version > 0) AS last_event_at,
    pg_total_relation_size('es.events') AS events_bytes,
    pg_total_relation_size('es.log') AS log_bytes;

-- name: categories
-- How the numbered events are spread, largest first.
SELECT category, count(*) AS events
FROM es.log
GROUP BY category
ORDER BY count(*) DESC, category
LIMIT %s;

-- name: subscriptions
-- How far behind each subscription is.
SELECT s.name, s.last_seq, q.next_seq - 1 - s.last_seq AS behind
FROM es.subscriptions AS s
CROSS JOIN es.sequencer AS q
ORDER BY s.name;

-- name: unnumbered
-- Committed events that wait for the sequencer; the same rule as in es.tick().
SELECT
    count(*) AS events,
    coalesce(extract(epoch FROM clock_timestamp() - min(e.recorded_at)), 0)::float AS oldest_s
FROM es.events AS e
CROSS JOIN es.sequencer AS q
WHERE e.tx >= pg_snapshot_xmin(q.prev)
  AND NOT pg_visible_in_snapshot(e.tx, q.prev)
  AND NOT EXISTS (SELECT FROM es.log AS l WHERE l.position = e.position);

-- name: doctor_roles
-- The roles that exist, and whether they are more than they should be.
SELECT rolname, rolsuper OR rolbypassrls AS too_mighty, rolcanlogin
FROM pg_roles
WHERE rolname IN ('es_owner', 'es_writer', 'es_reader', 'es_sequencer');

-- name: doctor_triggers
-- Triggers that refuse changes, and whether they always fire.
SELECT c.relname, t.tgname, t.tgenabled = 'A' AND p.proname = 'refuse_change' AS always
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE c.relnamespace = to_regnamespace('es') AND NOT t.tgisinternal;

-- name: doctor_table_rights
-- Which of our roles may do what to which table, however they came by it.
SELECT r.rolname, c.relname, a.action
FROM pg_class AS c
CROSS JOIN pg_roles AS r
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS a (action)
WHERE c.relnamespace = to_regnamespace('es')
  AND c.relkind IN ('r', 'v')
  AND r.rolname IN ('es_writer', 'es_reader', 'es_sequencer')
  AND has_table_privilege(r.oid, c.oid, a.action);

-- name: doctor_functions
-- The functions, who may call them, and whether they run safely as their owner.
SELECT
    p.proname,
    p.prosecdef AND p.proowner = to_regrole('es_owner')
        AND 'search_path=pg_catalog, pg_temp' = ANY (p.proconfig) AS safe,
    ARRAY(
        SELECT r.rolname::text
        FROM pg_roles AS r
        WHERE r.rolname IN ('es_writer', 'es_reader', 'es_sequencer')
          AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
          AND has_schema_privilege(r.oid, p.pronamespace, 'USAGE')
        ORDER BY r.rolname
    ) AS callers
FROM pg_proc AS p
WHERE p.pronamespace = to_regnamespace('es');

-- name: doctor_owners
-- Tables that somebody else owns; an owner may switch triggers off.
SELECT c.relname, pg_get_userbyid(c.relowner) AS owner
FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace('es')
  AND c.relkind IN ('r', 'v')
  AND c.relname <> 'migration'
  AND pg_get_userbyid(c.relowner) <> 'es_owner'
ORDER BY c.relname;

-- name: doctor_settings
-- What the promises of durability and hashing rest on.
SELECT
    current_setting('server_encoding') AS encoding,
    current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes;
