-- Side tables of swarms: mutable, derived from events, rebuilt from them if lost. A row
-- is changed in the transaction that appends the event it follows from.

-- Swarms that are not over. next_check_at is when the sweep should look at one; it is
-- moved only when it is far from where it should be, so that most updates touch no index.
CREATE TABLE orch.open_swarm (
    swarm_id text PRIMARY KEY,
    kind text NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    version bigint NOT NULL,
    started_at timestamptz NOT NULL,
    deadline timestamptz,
    iteration bigint NOT NULL DEFAULT 0,
    best double precision,
    convergence double precision NOT NULL DEFAULT 0,
    moved_at timestamptz NOT NULL,
    next_check_at timestamptz NOT NULL,
    resends integer NOT NULL DEFAULT 0,
    waiting_for text
) WITH (fillfactor = 50);

CREATE INDEX open_swarm_next_check_at ON orch.open_swarm (next_check_at);

-- Swarms that are over, for lists; never read on the way of a running swarm.
CREATE TABLE orch.ended_swarm (
    swarm_id text PRIMARY KEY,
    kind text NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    iteration bigint NOT NULL,
    best double precision,
    convergence double precision NOT NULL
);

CREATE INDEX ended_swarm_ended_at ON orch.ended_swarm (ended_at);

-- The last state of each swarm that was kept, for when Redis has lost the newest. What
-- counts is not that it is here but that its SHA-256 is the one on record.
CREATE TABLE orch.swarm_snapshot (
    swarm_id text PRIMARY KEY,
    iteration bigint NOT NULL,
    state bytea NOT NULL,
    taken_at timestamptz NOT NULL
);

-- Numbers do not compress: to try would only take time.
ALTER TABLE orch.swarm_snapshot ALTER COLUMN state SET STORAGE EXTERNAL;

-- Finds what says where a swarm stands among all that it has done, without reading that.
CREATE INDEX swarm_landmark ON es.events (stream_id, version) WHERE type IN (
    'SWARM_STARTED', 'SWARM_SENT_AGAIN', 'SWARM_ATTEMPT_FAILED', 'SWARM_PAUSED',
    'SWARM_RESUMED', 'SWARM_STOP_REQUESTED', 'SWARM_COMPLETED', 'SWARM_STOPPED',
    'SWARM_TIMED_OUT', 'SWARM_FAILED', 'SWARM_NON_DETERMINISTIC'
);

-- The events of one swarm after a version. Without p_whole, of those that tell of
-- iterations or ticks only the last, and none that tell of partitions: it says all that
-- the fold of the swarm's view wants to know of them. The stream's last event is always
-- among them, for the view has its version.
CREATE FUNCTION orch.swarm_events(p_swarm text, p_after bigint, p_whole boolean)
RETURNS TABLE (version bigint, event_type text, recorded_at timestamptz, data bytea)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_stream bigint := (
        SELECT s.stream_id FROM es.streams AS s WHERE s.name = 'swarm-' || p_swarm
    );
BEGIN
    IF p_whole THEN
        RETURN QUERY
        SELECT e.version::bigint, e.type, e.recorded_at, e.data
        FROM es.events AS e
        WHERE e.stream_id = v_stream AND e.version > p_after
        ORDER BY e.version;
        RETURN;
    END IF;
    RETURN QUERY
    WITH found AS (
        SELECT e.version
        FROM es.events AS e
        WHERE e.stream_id = v_stream
            AND e.type IN (
                'SWARM_STARTED', 'SWARM_SENT_AGAIN', 'SWARM_ATTEMPT_FAILED',
                'SWARM_PAUSED', 'SWARM_RESUMED', 'SWARM_STOP_REQUESTED',
                'SWARM_COMPLETED', 'SWARM_STOPPED', 'SWARM_TIMED_OUT', 'SWARM_FAILED',
                'SWARM_NON_DETERMINISTIC'
            )
        UNION
        SELECT max(e.version) FROM es.events AS e WHERE e.stream_id = v_stream
        UNION
        (
            SELECT e.version
            FROM es.events AS e
            WHERE e.stream_id = v_stream
                AND e.type IN ('SWARM_ITERATED', 'SWARM_TICKED')
            ORDER BY e.version DESC
            LIMIT 1
        )
    )
    SELECT e.version::bigint, e.type, e.recorded_at, e.data
    FROM found AS f
    JOIN es.events AS e ON e.stream_id = v_stream AND e.version = f.version
    WHERE e.version > p_after
    ORDER BY e.version;
END
$$;

-- Record facts of a swarm, its row, and a snapshot if one is given, all or nothing, if
-- its stream stands at p_expected. Statuses: ok; duplicate (these very facts are on
-- record); conflict (others were first). The time is the database's.
-- Without p_is_listed an open swarm's row is left as it is: one that moves many times a
-- second need not say so every time.
-- The row is looked at again when the swarm has stood still for about p_still_s.
CREATE FUNCTION orch.swarm_record(
    p_swarm text,
    p_expected bigint,
    p_event_ids uuid[],
    p_types text[],
    p_data bytea[],
    p_correlation uuid,
    p_causation uuid,
    p_actor text,
    p_metadata bytea,
    p_kind text,
    p_name text,
    p_state text,
    p_is_over boolean,
    p_started_at timestamptz,
    p_deadline timestamptz,
    p_iteration bigint,
    p_best double precision,
    p_convergence double precision,
    p_still_s double precision,
    p_is_listed boolean,
    p_snapshot bytea
) RETURNS TABLE (status text, db_now timestamptz, version bigint, recorded_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    v_done record;
    v_count integer := cardinality(p_event_ids);
    v_at timestamptz;
BEGIN
    IF v_count = 1 THEN
        SELECT a.status, a.version, a.recorded_at INTO v_done
        FROM es.append_one(
            'swarm-' || p_swarm, p_expected, p_event_ids[1], p_types[1], 1,
            p_correlation, p_causation, p_actor, p_metadata, p_data[1]
        ) AS a;
    ELSE
        SELECT a.status, a.version, a.recorded_at INTO v_done
        FROM es.append(
            'swarm-' || p_swarm, p_expected, p_event_ids, p_types,
            array_fill(1, ARRAY[v_count]), p_correlation, p_causation, p_actor,
            array_fill(p_metadata, ARRAY[v_count]), p_data
        ) AS a;
    END IF;
    v_at := v_done.recorded_at;
    IF v_done.status <> 'ok' THEN
        RETURN QUERY SELECT
            CASE v_done.status WHEN 'duplicate' THEN 'duplicate' ELSE 'conflict' END,
            clock_timestamp(), v_done.version::bigint, v_at;
        RETURN;
    END IF;
    IF p_is_over THEN
        DELETE FROM orch.open_swarm AS o WHERE o.swarm_id = p_swarm;
        INSERT INTO orch.ended_swarm (
            swarm_id, kind, name, state, started_at, ended_at, iteration, best, convergence
        ) VALUES (
            p_swarm, p_kind, p_name, p_state, coalesce(p_started_at, v_at), v_at,
            p_iteration, p_best, p_convergence
        ) ON CONFLICT (swarm_id) DO NOTHING;
    ELSIF p_is_listed THEN
        PERFORM orch.swarm_row(
            p_swarm, p_kind, p_name, p_state, v_done.version::bigint,
            coalesce(p_started_at, v_at), p_deadline, p_iteration, p_best,
            p_convergence, v_at, p_still_s
        );
    END IF;
    IF p_snapshot IS NOT NULL THEN
        INSERT INTO orch.swarm_snapshot AS x (swarm_id, iteration, state, taken_at)
        VALUES (p_swarm, p_iteration, p_snapshot, v_at)
        ON CONFLICT (swarm_id) DO UPDATE
        SET iteration = excluded.iteration,
            state = excluded.state,
            taken_at = excluded.taken_at;
    END IF;
    RETURN QUERY SELECT 'ok'::text, clock_timestamp(), v_done.version::bigint, v_at;
END
$$;

-- Put an open swarm's row right.
CREATE FUNCTION orch.swarm_row(
    p_swarm text,
    p_kind text,
    p_name text,
    p_state text,
    p_version bigint,
    p_started_at timestamptz,
    p_deadline timestamptz,
    p_iteration bigint,
    p_best double precision,
    p_convergence double precision,
    p_moved_at timestamptz,
    p_still_s double precision
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_still interval := make_interval(secs => p_still_s);
BEGIN
    UPDATE orch.open_swarm AS o
    SET state = p_state,
        version = p_version,
        deadline = p_deadline,
        iteration = p_iteration,
        best = p_best,
        convergence = p_convergence,
        moved_at = p_moved_at,
        next_check_at = orch.swarm_check_at(
            o.next_check_at, p_moved_at, v_still
        ),
        resends = 0,
        waiting_for = NULL
    WHERE o.swarm_id = p_swarm AND o.version < p_version;
    IF NOT FOUND THEN
        INSERT INTO orch.open_swarm (
            swarm_id, kind, name, state, version, started_at, deadline, iteration,
            best, convergence, moved_at, next_check_at
        ) VALUES (
            p_swarm, p_kind, p_name, p_state, p_version, p_started_at, p_deadline,
            p_iteration, p_best, p_convergence, p_moved_at, p_moved_at + v_still
        ) ON CONFLICT (swarm_id) DO NOTHING;
    END IF;
END
$$;

-- When to look again: as planned, if that is about right.
CREATE FUNCTION orch.swarm_check_at(
    p_planned timestamptz, p_now timestamptz, p_after interval
) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN p_planned BETWEEN p_now + p_after / 2 AND p_now + p_after * 2 THEN p_planned
        ELSE p_now + p_after * 1.5
    END
$$;
