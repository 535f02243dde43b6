-- Hash preimages, version 1. Big-endian; every string carries its length, every
-- hash its purpose. The functions are plain expressions, so that the planner
-- folds them into the statement that calls them.
SET LOCAL ROLE es_owner;

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

RESET ROLE;
