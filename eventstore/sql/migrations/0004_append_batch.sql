-- Appending several events, to one stream or to several, all or nothing.
-- Statuses and expected versions as in es.append_one.
SET LOCAL ROLE es_owner;

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

RESET ROLE;
