-- The whole current schema in one file: for readers, for restoring a single object,
-- and for the test that finds it equal to all migrations. The migrator does not
-- run it; it also keeps the table es.migration, which is not shown here. Run it in one
-- transaction.

CREATE SCHEMA es;

-- Roles, tables and the triggers that keep them append-only.

-- Roles belong to the whole cluster, and migrations of several databases may
-- run at once: whoever loses the race finds the role made.
DO $$
DECLARE
    v_role text;
    v_right text := CASE
        WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'SET'
    END;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['es_owner', 'es_writer', 'es_reader', 'es_sequencer'] LOOP
        IF to_regrole(v_role) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
    -- Whoever migrates must be able to act as the owner; superusers always can. Since
    -- version 16 the maker of a role is a member of it that may not, until granted so.
    IF NOT pg_has_role(current_user, 'es_owner', v_right) THEN
        EXECUTE format('GRANT es_owner TO %I', current_user);
    END IF;
END
$$;

ALTER SCHEMA es OWNER TO es_owner;
SET LOCAL ROLE es_owner;

-- Who this store is. Its id is in every hash: events cannot move between stores.
CREATE TABLE es.store (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    store_id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One head per stream. Updating it is the lock that orders a stream's events.
-- Version 0 is a stream without events; its head is the genesis hash.
CREATE TABLE es.streams (
    stream_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    category text NOT NULL, -- what stands before the first '-'
    version bigint NOT NULL,
    head bytea NOT NULL,
    recorded_at timestamptz NOT NULL -- of the newest event; never goes back
) WITH (fillfactor = 50); -- room for HOT updates: no index is touched

-- The events. No foreign key to streams: only the append functions write here,
-- and a row without its stream is what `verify` looks for. No checks either, here
-- and on streams: Postgres parses them anew for every statement, 9 % of an append;
-- the functions check instead.
CREATE TABLE es.events (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- not an order for readers
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    stream_id bigint NOT NULL,
    version bigint NOT NULL,
    event_id uuid NOT NULL,
    type text NOT NULL,
    schema_version integer NOT NULL,
    recorded_at timestamptz NOT NULL,
    correlation_id uuid,
    causation_id uuid,
    actor text NOT NULL,
    metadata bytea NOT NULL,
    salt bytea, -- null once erased
    content_type text NOT NULL DEFAULT 'application/json',
    data bytea, -- null once archived or erased
    meta_digest bytea NOT NULL,
    payload_digest bytea NOT NULL,
    hash bytea NOT NULL,
    UNIQUE (stream_id, version),
    UNIQUE (event_id, stream_id)
);
CREATE INDEX events_tx_position ON es.events (tx, position);
CREATE INDEX events_correlation ON es.events (correlation_id)
WHERE correlation_id IS NOT NULL;

-- The order for readers: dense, gap-free, written after commit by es.tick().
-- `seq` is the cursor of every subscription and the index of the Merkle leaf.
CREATE TABLE es.log (
    seq bigint PRIMARY KEY,
    position bigint NOT NULL UNIQUE,
    category text NOT NULL,
    leaf bytea NOT NULL CHECK (octet_length(leaf) = 32)
);
CREATE INDEX log_category_seq ON es.log (category, seq);

-- What has been numbered: all that `prev` sees. One row, one tick at a time.
-- Autovacuum's lock would make ticks fail; HOT pruning keeps one row small.
CREATE TABLE es.sequencer (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    prev pg_snapshot NOT NULL,
    next_seq bigint NOT NULL,
    system_identifier bigint NOT NULL, -- of the cluster whose ids `prev` holds
    foreign_tx_max xid8, -- newest id brought along from another cluster
    ticked_at timestamptz NOT NULL
) WITH (fillfactor = 10, autovacuum_enabled = false);

-- Signed roots of the Merkle tree over the log.
CREATE TABLE es.checkpoints (
    size bigint PRIMARY KEY,
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- How far each subscription has come; moves with the handler's own work.
CREATE TABLE es.subscriptions (
    name text PRIMARY KEY CHECK (name <> ''),
    last_seq bigint NOT NULL DEFAULT -1,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Folded state at a version, bound to the chain by that event's hash.
CREATE TABLE es.snapshots (
    stream_id bigint NOT NULL,
    version bigint NOT NULL,
    schema_version integer NOT NULL,
    event_hash bytea NOT NULL CHECK (octet_length(event_hash) = 32),
    data bytea NOT NULL,
    PRIMARY KEY (stream_id, version)
);

-- Payloads for ad-hoc queries. Never verify against it: jsonb reorders keys.
CREATE VIEW es.events_json AS
SELECT
    e.position, s.name AS stream, s.category, e.version, e.event_id, e.type,
    e.schema_version, e.recorded_at, e.correlation_id, e.causation_id, e.actor,
    convert_from(e.metadata, 'UTF8')::jsonb AS metadata,
    convert_from(e.data, 'UTF8')::jsonb AS data
FROM es.events AS e
JOIN es.streams AS s USING (stream_id);

INSERT INTO es.store DEFAULT VALUES;

-- Events that this very transaction made visible are numbered by the first tick.
INSERT INTO es.sequencer (prev, next_seq, system_identifier, ticked_at)
SELECT '1:1:'::pg_snapshot, 0, c.system_identifier, now()
FROM pg_control_system() AS c;

CREATE FUNCTION es.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% refused: %.% is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Append a correcting event instead.';
END
$$;

-- ENABLE ALWAYS: an ordinary trigger sleeps under session_replication_role = replica.
DO $$
DECLARE
    v_table text;
    v_op text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY[
        'store', 'streams', 'events', 'log', 'sequencer', 'checkpoints'
    ] LOOP
        FOREACH v_op IN ARRAY ARRAY['update', 'delete', 'truncate'] LOOP
            CONTINUE WHEN v_op = 'update' AND v_table IN ('streams', 'sequencer');
            EXECUTE format(
                'CREATE TRIGGER refuse_%s BEFORE %s ON es.%I FOR EACH %s '
                'EXECUTE FUNCTION es.refuse_change()',
                v_op, upper(v_op), v_table,
                CASE v_op WHEN 'truncate' THEN 'STATEMENT' ELSE 'ROW' END
            );
            EXECUTE format('ALTER TABLE es.%I ENABLE ALWAYS TRIGGER refuse_%s', v_table, v_op);
        END LOOP;
    END LOOP;
END
$$;

-- Hash preimages, version 1. Big-endian; every string carries its length, every
-- hash its purpose. The functions are plain expressions, so that the planner
-- folds them into the statement that calls them.

-- Length-prefixed bytes.
CREATE FUNCTION es.lp(p_bytes bytea) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT int4send(octet_length(p_bytes)) || p_bytes $$;

-- An id that may be absent: 00, or 01 and the id.
CREATE FUNCTION es.opt(p_id uuid) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN p_id IS NULL THEN '\x00'::bytea ELSE '\x01'::bytea || uuid_send(p_id) END $$;

CREATE FUNCTION es.payload_digest(p_salt bytea, p_content_type text, p_data bytea) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT sha256(
    'es1/payload\000'::bytea || p_salt
    || es.lp(convert_to(p_content_type, 'UTF8')) || es.lp(p_data)
)
$$;

CREATE FUNCTION es.meta_digest(
    p_metadata bytea, p_correlation uuid, p_causation uuid, p_actor text
) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT sha256(
    'es1/meta\000'::bytea || es.lp(p_metadata)
    || es.opt(p_correlation) || es.opt(p_causation) || es.lp(convert_to(p_actor, 'UTF8'))
)
$$;

-- The head of a stream before its first event.
CREATE FUNCTION es.genesis(p_stream text) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT sha256('es1/genesis\000'::bytea || uuid_send(st.store_id) || es.lp(convert_to(p_stream, 'UTF8')))
FROM es.store AS st
$$;

-- What the hash of an event says about the event, behind the hash before it.
CREATE FUNCTION es.event_tail(
    p_stream text, p_version bigint, p_event_id uuid, p_type text,
    p_schema integer, p_recorded_at timestamptz, p_meta_digest bytea, p_payload_digest bytea
) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT es.lp(convert_to(p_stream, 'UTF8'))
    || int8send(p_version) || uuid_send(p_event_id) || es.lp(convert_to(p_type, 'UTF8'))
    || int4send(p_schema)
    || int8send((extract(epoch FROM p_recorded_at) * 1000000)::bigint)
    || p_meta_digest || p_payload_digest
$$;

CREATE FUNCTION es.event_hash(p_previous bytea, p_tail bytea) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT sha256('es1/event\000'::bytea || p_previous || p_tail) $$;

-- Appending: one call, one round trip. Outcomes are statuses, not exceptions,
-- because catching one in SQL costs a subtransaction:
--   ok           stored
--   duplicate    these ids are stored with this very content; their version
--   conflict     the stream is not at the expected version; its real version
--   id_conflict  an id is stored with other content
-- Expected versions: n, 0 a new stream, -1 any, -2 a stream that exists.

-- Refuse what no event may be; sizes in bytes. The limit on the data stands in
-- eventstore/canonical.py too, which says it more kindly.
CREATE FUNCTION es.check_event(
    p_stream text, p_type text, p_schema integer, p_metadata bytea, p_data bytea
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
SELECT coalesce(
    p_stream <> '' AND octet_length(p_stream) <= 1020 AND p_type <> '' AND p_schema > 0
    AND octet_length(p_metadata) <= 1048576 AND octet_length(p_data) <= 1048576,
    false
)
$$;

CREATE FUNCTION es.refuse_event() RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE check_violation USING MESSAGE = 'not an event: stream and type must be named, '
        'versions of schemas begin at 1, data and metadata have at most 1048576 bytes';
END
$$;

-- Make a stream without events, unless another append is faster.
CREATE FUNCTION es.make_stream(p_stream text) RETURNS void
LANGUAGE sql
AS $$
INSERT INTO es.streams (name, category, version, head, recorded_at)
VALUES (p_stream, split_part(p_stream, '-', 1), 0, es.genesis(p_stream), clock_timestamp())
ON CONFLICT (name) DO NOTHING
$$;

-- Whether a stream at this version is as expected.
CREATE FUNCTION es.as_expected(p_version bigint, p_expected bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT p_expected = -1 OR p_version = p_expected OR (p_expected = -2 AND p_version > 0) $$;

-- What a stored event says to a second append of its id. The digest is made
-- anew with the stored salt: the first append's salt is not known to anyone else.
CREATE FUNCTION es.answer_retry(
    p_stream_id bigint, p_event_id uuid, p_type text, p_schema integer,
    p_meta_digest bytea, p_data bytea,
    OUT status text, OUT version bigint, OUT recorded_at timestamptz
)
LANGUAGE sql STABLE
AS $$
SELECT
    CASE WHEN (e.type, e.schema_version, e.meta_digest, e.payload_digest)
        IS NOT DISTINCT FROM
        (p_type, p_schema, p_meta_digest, es.payload_digest(e.salt, e.content_type, p_data))
    THEN 'duplicate' ELSE 'id_conflict' END,
    e.version,
    e.recorded_at
FROM es.events AS e
WHERE e.event_id = p_event_id AND e.stream_id = p_stream_id
$$;

-- Append one event.
CREATE FUNCTION es.append_one(
    p_stream text, p_expected bigint, p_event_id uuid, p_type text, p_schema integer,
    p_correlation uuid, p_causation uuid, p_actor text, p_metadata bytea, p_data bytea,
    OUT status text, OUT version bigint, OUT recorded_at timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_salt bytea := uuid_send(gen_random_uuid());
    v_payload bytea := es.payload_digest(v_salt, 'application/json', p_data);
    v_meta bytea := es.meta_digest(p_metadata, p_correlation, p_causation, p_actor);
    v_now timestamptz := clock_timestamp();
    v_stream bigint;
    v_version bigint;
    v_head bytea;
    v_at timestamptz;
BEGIN
    IF NOT es.check_event(p_stream, p_type, p_schema, p_metadata, p_data) THEN
        PERFORM es.refuse_event();
    END IF;
    LOOP
        -- The lock, the check and the new head in one statement. Time never goes
        -- back within a stream, even if the clock does or the lock was waited for.
        UPDATE es.streams AS s
        SET version = s.version + 1,
            recorded_at = greatest(s.recorded_at, v_now),
            head = es.event_hash(s.head, es.event_tail(
                p_stream, s.version + 1, p_event_id, p_type, p_schema,
                greatest(s.recorded_at, v_now), v_meta, v_payload
            ))
        WHERE s.name = p_stream AND es.as_expected(s.version, p_expected)
        RETURNING s.stream_id, s.version, s.head, s.recorded_at
        INTO v_stream, v_version, v_head, v_at;
        IF FOUND THEN
            INSERT INTO es.events (
                stream_id, version, event_id, type, schema_version, recorded_at,
                correlation_id, causation_id, actor, metadata, salt, data,
                meta_digest, payload_digest, hash
            ) VALUES (
                v_stream, v_version, p_event_id, p_type, p_schema, v_at,
                p_correlation, p_causation, p_actor, p_metadata, v_salt, p_data,
                v_meta, v_payload, v_head
            )
            ON CONFLICT (event_id, stream_id) DO NOTHING;
            IF FOUND THEN
                status := 'ok';
                version := v_version;
                recorded_at := v_at;
                RETURN;
            END IF;
            -- A retry: give the head back. The lock is ours, nobody saw it move.
            UPDATE es.streams AS s
            SET version = e.version, head = e.hash, recorded_at = e.recorded_at
            FROM es.events AS e
            WHERE s.stream_id = v_stream
              AND e.stream_id = v_stream AND e.version = v_version - 1;
        ELSE
            SELECT s.stream_id, s.version INTO v_stream, v_version
            FROM es.streams AS s
            WHERE s.name = p_stream;
            IF NOT FOUND THEN
                IF p_expected NOT IN (-1, 0) THEN
                    status := 'conflict';
                    version := 0;
                    RETURN;
                END IF;
                PERFORM es.make_stream(p_stream);
                CONTINUE;
            END IF;
        END IF;
        SELECT a.status, a.version, a.recorded_at INTO status, version, recorded_at
        FROM es.answer_retry(v_stream, p_event_id, p_type, p_schema, v_meta, p_data) AS a;
        IF status IS NOT NULL THEN
            RETURN;
        END IF;
        IF NOT es.as_expected(v_version, p_expected) THEN
            status := 'conflict';
            version := v_version;
            RETURN;
        END IF;
    END LOOP;
END
$$;

-- Appending several events, to one stream or to several, all or nothing.
-- Statuses and expected versions as in es.append_one.

-- Lock a stream's head; make the stream if it is missing and may be new.
CREATE FUNCTION es.lock_head(p_stream text, p_expected bigint) RETURNS es.streams
LANGUAGE plpgsql
AS $$
DECLARE
    v_head es.streams;
BEGIN
    LOOP
        SELECT * INTO v_head FROM es.streams AS s WHERE s.name = p_stream FOR NO KEY UPDATE;
        IF FOUND OR p_expected NOT IN (-1, 0) THEN
            RETURN v_head;
        END IF;
        PERFORM es.make_stream(p_stream);
    END LOOP;
END
$$;

-- May this batch be written behind this head? Ids first: a retry is answered
-- with what is stored even though the head has moved on.
CREATE FUNCTION es.check_batch(
    p_head es.streams, p_expected bigint, p_event_ids uuid[], p_types text[], p_schemas integer[],
    p_correlations uuid[], p_causations uuid[], p_actors text[], p_metadata bytea[], p_data bytea[],
    OUT status text, OUT version bigint, OUT recorded_at timestamptz
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_stored bigint;
    v_same bigint;
    v_distinct bigint;
    v_first bigint;
BEGIN
    -- OFFSET 0 keeps this a look-up per id. Joined freely, a long stream is read whole.
    SELECT count(DISTINCT n.id), count(e.version), min(e.version), max(e.version), max(e.recorded_at)
    INTO v_distinct, v_stored, v_first, version, recorded_at
    FROM unnest(p_event_ids) AS n (id)
    LEFT JOIN LATERAL (
        SELECT o.version, o.recorded_at
        FROM es.events AS o
        WHERE o.event_id = n.id AND o.stream_id = p_head.stream_id
        OFFSET 0
    ) AS e ON true;
    IF v_stored = 0 AND v_distinct = cardinality(p_event_ids) THEN
        version := coalesce(p_head.version, 0);
        status := CASE WHEN es.as_expected(version, p_expected) THEN 'ok' ELSE 'conflict' END;
        RETURN;
    END IF;
    SELECT count(*) INTO v_same
    FROM unnest(
        p_event_ids, p_types, p_schemas, p_correlations, p_causations, p_actors, p_metadata, p_data
    ) WITH ORDINALITY AS n (id, type, schema, correlation, causation, actor, metadata, data, nth)
    CROSS JOIN LATERAL (
        SELECT *
        FROM es.events AS o
        WHERE o.event_id = n.id AND o.stream_id = p_head.stream_id
        OFFSET 0
    ) AS e
    WHERE e.version = v_first + n.nth - 1
      AND e.type = n.type
      AND e.schema_version = n.schema
      AND e.meta_digest = es.meta_digest(n.metadata, n.correlation, n.causation, n.actor)
      AND e.payload_digest = es.payload_digest(e.salt, e.content_type, n.data);
    status := CASE WHEN v_same = cardinality(p_event_ids) THEN 'duplicate' ELSE 'id_conflict' END;
END
$$;

-- Write a batch that es.check_batch found good behind a head that is locked.
CREATE FUNCTION es.write_batch(
    p_head es.streams, p_event_ids uuid[], p_types text[], p_schemas integer[],
    p_correlations uuid[], p_causations uuid[], p_actors text[], p_metadata bytea[], p_data bytea[],
    OUT version bigint, OUT recorded_at timestamptz
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_at timestamptz := greatest(clock_timestamp(), p_head.recorded_at);
    v_hash bytea := p_head.head;
    v_version bigint := p_head.version + cardinality(p_event_ids);
    v_valid boolean;
    v_salts bytea[];
    v_metas bytea[];
    v_payloads bytea[];
    v_tails bytea[];
    v_hashes bytea[] := '{}';
    v_tail bytea;
BEGIN
    -- OFFSET 0 twice: salts and digests are made once, not wherever they are used.
    SELECT
        bool_and(es.check_event(p_head.name, d.type, d.schema, d.metadata, d.data)),
        array_agg(d.salt ORDER BY d.nth),
        array_agg(d.meta ORDER BY d.nth),
        array_agg(d.payload ORDER BY d.nth),
        array_agg(es.event_tail(
            p_head.name, p_head.version + d.nth, d.id, d.type, d.schema, v_at, d.meta, d.payload
        ) ORDER BY d.nth)
    INTO v_valid, v_salts, v_metas, v_payloads, v_tails
    FROM (
        SELECT
            s.*,
            es.meta_digest(s.metadata, s.correlation, s.causation, s.actor) AS meta,
            es.payload_digest(s.salt, 'application/json', s.data) AS payload
        FROM (
            SELECT n.*, uuid_send(gen_random_uuid()) AS salt
            FROM unnest(
                p_event_ids, p_types, p_schemas, p_correlations, p_causations, p_actors,
                p_metadata, p_data
            ) WITH ORDINALITY AS n (
                id, type, schema, correlation, causation, actor, metadata, data, nth
            )
            OFFSET 0
        ) AS s
        OFFSET 0
    ) AS d;
    IF NOT v_valid THEN
        PERFORM es.refuse_event();
    END IF;
    FOREACH v_tail IN ARRAY v_tails LOOP
        v_hash := es.event_hash(v_hash, v_tail);
        v_hashes := v_hashes || v_hash;
    END LOOP;
    INSERT INTO es.events (
        stream_id, version, event_id, type, schema_version, recorded_at,
        correlation_id, causation_id, actor, metadata, salt, data,
        meta_digest, payload_digest, hash
    )
    SELECT
        p_head.stream_id, p_head.version + n.nth, n.id, n.type, n.schema, v_at,
        n.correlation, n.causation, n.actor, n.metadata, n.salt, n.data,
        n.meta, n.payload, n.hash
    FROM unnest(
        p_event_ids, p_types, p_schemas, p_correlations, p_causations, p_actors,
        p_metadata, p_data, v_salts, v_metas, v_payloads, v_hashes
    ) WITH ORDINALITY AS n (
        id, type, schema, correlation, causation, actor,
        metadata, data, salt, meta, payload, hash, nth
    )
    ORDER BY n.nth; -- positions are drawn in this order
    UPDATE es.streams AS s
    SET version = v_version, head = v_hash, recorded_at = v_at
    WHERE s.stream_id = p_head.stream_id;
    version := v_version;
    recorded_at := v_at;
END
$$;

-- Append n >= 1 events to each of several streams. Heads are locked in the order
-- of the streams' names, so that two such appends cannot wait for each other.
-- Nothing is written unless every stream is ok; `aborted` marks streams that
-- were fine while another was not. p_lasts: index of each stream's last event.
CREATE FUNCTION es.append_many(
    p_streams text[], p_expected bigint[], p_lasts integer[],
    p_event_ids uuid[], p_types text[], p_schemas integer[],
    p_correlations uuid[], p_causations uuid[], p_actors text[], p_metadata bytea[], p_data bytea[]
) RETURNS TABLE (stream text, status text, version bigint, recorded_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_heads es.streams[] := array_fill(NULL::es.streams, ARRAY[cardinality(p_streams)]);
    v_status text[] := array_fill(NULL::text, ARRAY[cardinality(p_streams)]);
    v_version bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(p_streams)]);
    v_at timestamptz[] := array_fill(NULL::timestamptz, ARRAY[cardinality(p_streams)]);
    v_head es.streams;
    v_answer record;
    i integer;
    a integer;
    z integer;
BEGIN
    FOR i IN
        SELECT n.nth FROM unnest(p_streams) WITH ORDINALITY AS n (name, nth)
        ORDER BY n.name COLLATE "C"
    LOOP
        a := coalesce(p_lasts[i - 1], 0) + 1;
        z := p_lasts[i];
        v_head := es.lock_head(p_streams[i], p_expected[i]);
        v_heads[i] := v_head;
        SELECT c.status, c.version, c.recorded_at INTO v_answer
        FROM es.check_batch(
            v_head, p_expected[i], p_event_ids[a:z], p_types[a:z], p_schemas[a:z],
            p_correlations[a:z], p_causations[a:z], p_actors[a:z], p_metadata[a:z], p_data[a:z]
        ) AS c;
        v_status[i] := v_answer.status;
        v_version[i] := v_answer.version;
        v_at[i] := v_answer.recorded_at;
    END LOOP;
    IF 'ok' = ALL (v_status) THEN
        FOR i IN 1 .. cardinality(p_streams) LOOP
            a := coalesce(p_lasts[i - 1], 0) + 1;
            z := p_lasts[i];
            SELECT w.version, w.recorded_at INTO v_answer
            FROM es.write_batch(
                v_heads[i], p_event_ids[a:z], p_types[a:z], p_schemas[a:z],
                p_correlations[a:z], p_causations[a:z], p_actors[a:z], p_metadata[a:z], p_data[a:z]
            ) AS w;
            v_version[i] := v_answer.version;
            v_at[i] := v_answer.recorded_at;
        END LOOP;
    ELSE
        v_status := array_replace(v_status, 'ok', 'aborted');
    END IF;
    RETURN QUERY
    SELECT n.name, n.status, n.version, n.at
    FROM unnest(p_streams, v_status, v_version, v_at) AS n (name, status, version, at);
END
$$;

-- Append n >= 1 events to one stream, with ids and actor in common.
CREATE FUNCTION es.append(
    p_stream text, p_expected bigint, p_event_ids uuid[], p_types text[], p_schemas integer[],
    p_correlation uuid, p_causation uuid, p_actor text, p_metadata bytea[], p_data bytea[],
    OUT status text, OUT version bigint, OUT recorded_at timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_n integer[] := ARRAY[cardinality(p_event_ids)];
    v_correlations uuid[] := array_fill(p_correlation, v_n);
    v_causations uuid[] := array_fill(p_causation, v_n);
    v_actors text[] := array_fill(p_actor, v_n);
    v_head es.streams := es.lock_head(p_stream, p_expected);
BEGIN
    SELECT c.status, c.version, c.recorded_at INTO status, version, recorded_at
    FROM es.check_batch(
        v_head, p_expected, p_event_ids, p_types, p_schemas,
        v_correlations, v_causations, v_actors, p_metadata, p_data
    ) AS c;
    IF status = 'ok' THEN
        SELECT w.version, w.recorded_at INTO version, recorded_at
        FROM es.write_batch(
            v_head, p_event_ids, p_types, p_schemas,
            v_correlations, v_causations, v_actors, p_metadata, p_data
        ) AS w;
    END IF;
END
$$;

-- The sequencer: gives every committed event its place in es.log.

-- Number what has been committed since the last tick; returns how many events.
--
-- Call it so, each statement by itself:
--     BEGIN ISOLATION LEVEL REPEATABLE READ;
--     LOCK TABLE es.sequencer IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
--     SELECT es.tick();
--     COMMIT;
-- The lock comes before the snapshot, so no tick sees a `prev` older than the
-- last one. An event is new if the last tick's snapshot did not see its
-- transaction; whatever commits later is found by a later tick, however long
-- its transaction stayed open. Only such a difference is safe: serial positions
-- become visible out of order, and xmin stalls behind any open transaction.
--
-- After a restore into another cluster the stored ids mean nothing there: that
-- tick numbers whatever the log lacks, and until the new cluster has used up the
-- old ids every tick also asks the log.
CREATE FUNCTION es.tick() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now pg_snapshot := pg_current_snapshot();
    v_cluster bigint := (SELECT c.system_identifier FROM pg_control_system() AS c);
    v_state es.sequencer;
    v_from xid8;
    v_below xid8;
    v_count bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'repeatable read' THEN
        RAISE EXCEPTION 'es.tick() needs a REPEATABLE READ transaction, not %',
            current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state',
                  HINT = 'Use EventStore.sequence().';
    END IF;
    SELECT * INTO STRICT v_state FROM es.sequencer FOR UPDATE; -- fails if outdated
    v_below := pg_snapshot_xmax(v_now);
    IF v_state.system_identifier <> v_cluster THEN
        v_state.prev := '1:1:';
        v_state.foreign_tx_max := (SELECT e.tx FROM es.events AS e ORDER BY e.tx DESC LIMIT 1);
        v_below := '18446744073709551615'; -- old ids may lie beyond today's
    ELSIF v_state.foreign_tx_max < pg_snapshot_xmin(v_state.prev) THEN
        v_state.foreign_tx_max := NULL;
    END IF;
    v_from := pg_snapshot_xmin(v_state.prev);
    INSERT INTO es.log (seq, position, category, leaf)
    SELECT
        v_state.next_seq - 1 + row_number() OVER (ORDER BY n.position),
        n.position,
        s.category,
        sha256('\x00'::bytea || n.hash)
    FROM (
        SELECT e.position, e.stream_id, e.hash
        FROM es.events AS e
        WHERE e.tx >= v_from AND e.tx < v_below
          AND NOT pg_visible_in_snapshot(e.tx, v_state.prev)
          AND (
              v_state.foreign_tx_max IS NULL
              OR NOT EXISTS (SELECT FROM es.log AS l WHERE l.position = e.position)
          )
    ) AS n
    JOIN es.streams AS s USING (stream_id);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    UPDATE es.sequencer
    SET prev = v_now,
        next_seq = v_state.next_seq + v_count,
        system_identifier = v_cluster,
        foreign_tx_max = v_state.foreign_tx_max,
        ticked_at = clock_timestamp();
    RETURN v_count;
END
$$;

-- Who may do what. Nobody may write a table; the functions write as es_owner.
REVOKE ALL ON SCHEMA es FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA es FROM PUBLIC;
GRANT USAGE ON SCHEMA es TO es_writer, es_reader, es_sequencer;

GRANT EXECUTE ON FUNCTION
    es.append_one(text, bigint, uuid, text, integer, uuid, uuid, text, bytea, bytea),
    es.append(text, bigint, uuid[], text[], integer[], uuid, uuid, text, bytea[], bytea[]),
    es.append_many(
        text[], bigint[], integer[], uuid[], text[], integer[],
        uuid[], uuid[], text[], bytea[], bytea[]
    )
TO es_writer;

GRANT SELECT ON ALL TABLES IN SCHEMA es TO es_reader;
GRANT INSERT, UPDATE ON es.subscriptions TO es_reader; -- its own place, not events

GRANT EXECUTE ON FUNCTION es.tick() TO es_sequencer;
-- LOCK TABLE asks for a right to change the table; this one the triggers refuse.
GRANT TRUNCATE ON es.sequencer TO es_sequencer;

RESET ROLE;
