-- Standing fields: what runs of the same work have learned of its groups. Both tables
-- follow from events and are changed in the transaction that appends these.

-- Fields of which something is left; one that has faded comes back from its events, with
-- what is left of it, when somebody lays on it again.
CREATE TABLE orch.standing_field (
    field uuid PRIMARY KEY,
    handler text NOT NULL,
    source text NOT NULL,
    layout text NOT NULL,
    tick bigint NOT NULL, -- up to which beat has evaporated it
    fades_at bigint NOT NULL, -- the tick at which nothing is left of it
    -- JSON as it was recorded: jsonb would write some numbers otherwise.
    told json NOT NULL,
    laid_at timestamptz NOT NULL
);

-- How many ticks are done, and when the last one ended; one row, or none yet.
CREATE TABLE orch.field_clock (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    tick bigint NOT NULL,
    at timestamptz NOT NULL
);

-- Record what a swarm has laid on a field, and what that makes of the field; in the
-- transaction of the swarm's end. Statuses: ok; duplicate; conflict (others were first).
CREATE FUNCTION orch.field_lay(
    p_stream text,
    p_expected bigint,
    p_event_id uuid,
    p_data bytea,
    p_causation uuid,
    p_actor text,
    p_metadata bytea,
    p_field uuid,
    p_handler text,
    p_source text,
    p_layout text,
    p_tick bigint,
    p_fades_at bigint,
    p_told bytea
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_done record;
BEGIN
    SELECT a.status, a.recorded_at INTO v_done
    FROM es.append_one(
        p_stream, p_expected, p_event_id, 'FIELD_LAID', 1,
        p_field, p_causation, p_actor, p_metadata, p_data
    ) AS a;
    IF v_done.status = 'ok' THEN
        INSERT INTO orch.standing_field AS f (
            field, handler, source, layout, tick, fades_at, told, laid_at
        ) VALUES (
            p_field, p_handler, p_source, p_layout, p_tick, p_fades_at,
            convert_from(p_told, 'UTF8')::json, v_done.recorded_at
        ) ON CONFLICT (field) DO UPDATE
        SET tick = greatest(f.tick, excluded.tick),
            fades_at = excluded.fades_at,
            told = excluded.told,
            laid_at = excluded.laid_at;
    END IF;
    RETURN v_done.status;
END
$$;

-- Record that ticks are done, and forget fields of which nothing is left. Nothing happens
-- if the clock does not stand where the caller took it to be: others were first.
-- Returns how many fields were evaporated and how many of them forgotten; null: none was.
CREATE FUNCTION orch.fields_evaporate(
    p_expected bigint,
    p_event_id uuid,
    p_data bytea,
    p_correlation uuid,
    p_causation uuid,
    p_actor text,
    p_metadata bytea,
    p_tick bigint,
    p_at timestamptz
) RETURNS TABLE (evaporated bigint, forgotten bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_status text;
BEGIN
    SELECT a.status INTO v_status
    FROM es.append_one(
        'field-clock', p_expected, p_event_id, 'FIELDS_EVAPORATED', 1,
        p_correlation, p_causation, p_actor, p_metadata, p_data
    ) AS a;
    IF v_status <> 'ok' THEN
        RETURN QUERY SELECT NULL::bigint, NULL::bigint;
        RETURN;
    END IF;
    INSERT INTO orch.field_clock AS c (tick, at) VALUES (p_tick, p_at)
    ON CONFLICT (is_only) DO UPDATE SET tick = excluded.tick, at = excluded.at;
    UPDATE orch.standing_field AS f SET tick = p_tick WHERE f.tick < p_tick;
    GET DIAGNOSTICS evaporated = ROW_COUNT;
    DELETE FROM orch.standing_field AS f WHERE f.fades_at <= p_tick;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN NEXT;
END
$$;
