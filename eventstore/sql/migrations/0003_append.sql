-- Appending: one call, one round trip. Outcomes are statuses, not exceptions,
-- because catching one in SQL costs a subtransaction:
--   ok           stored
--   duplicate    these ids are stored with this very content; their version
--   conflict     the stream is not at the expected version; its real version
--   id_conflict  an id is stored with other content
-- Expected versions: n, 0 a new stream, -1 any, -2 a stream that exists.
SET LOCAL ROLE es_owner;

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

RESET ROLE;
