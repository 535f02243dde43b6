-- Side tables of sagas: mutable, derived from events, rebuilt from them if lost.
-- Each is changed in the transaction that appends the event it follows from.

-- Sagas that are not over. check_at is when the sweep should look at one.
CREATE TABLE orch.open_saga (
    saga_id text PRIMARY KEY,
    name text NOT NULL,
    state text NOT NULL,
    version bigint NOT NULL,
    gives_up boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL,
    check_at timestamptz,
    resends integer NOT NULL DEFAULT 0,
    waiting_for text
) WITH (fillfactor = 50);

CREATE INDEX open_saga_check_at ON orch.open_saga (check_at);

-- Sagas that are over, for lists; never read on the way of a running saga.
CREATE TABLE orch.ended_saga (
    saga_id text PRIMARY KEY,
    name text NOT NULL,
    state text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL
);

CREATE INDEX ended_saga_ended_at ON orch.ended_saga (ended_at);

-- Who holds which attempt, until when. Never renewed beyond hard_until.
CREATE TABLE orch.lease (
    saga_id text NOT NULL,
    step text NOT NULL,
    direction text NOT NULL,
    attempt integer NOT NULL,
    owner uuid NOT NULL,
    until timestamptz NOT NULL,
    hard_until timestamptz NOT NULL,
    PRIMARY KEY (saga_id, step, direction)
) WITH (fillfactor = 50);

CREATE INDEX lease_until ON orch.lease (until);

-- What each worker hosts: one row per agent, action and pool.
CREATE TABLE orch.announcement (
    worker text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    pool text NOT NULL,
    content_hash text NOT NULL DEFAULT '',
    is_up boolean NOT NULL DEFAULT true,
    last_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (worker, kind, name)
);

CREATE INDEX announcement_name ON orch.announcement (kind, name);

-- Which slot of each schedule has been run: two beats fire one tick once.
CREATE TABLE orch.tick (
    name text PRIMARY KEY,
    slot bigint NOT NULL
);

-- Begin a saga: its first event and its row, or the answer that it exists.
CREATE FUNCTION orch.saga_start(
    p_saga text,
    p_name text,
    p_event_id uuid,
    p_correlation uuid,
    p_causation uuid,
    p_actor text,
    p_metadata bytea,
    p_data bytea,
    p_check_after interval
) RETURNS TABLE (status text, version bigint, recorded_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    v_done record;
BEGIN
    SELECT a.status, a.version, a.recorded_at INTO v_done
    FROM es.append_one(
        'saga-' || p_saga, 0, p_event_id, 'SAGA_STARTED', 1,
        p_correlation, p_causation, p_actor, p_metadata, p_data
    ) AS a;
    IF v_done.status = 'ok' THEN
        INSERT INTO orch.open_saga (saga_id, name, state, version, started_at, check_at)
        VALUES (
            p_saga, p_name, 'RUNNING', v_done.version, v_done.recorded_at,
            v_done.recorded_at + p_check_after
        );
    END IF;
    IF v_done.status = 'id_conflict' AND EXISTS (
        SELECT FROM orch.saga_events(p_saga, 0) AS e
        WHERE e.version = 1 AND e.event_type = 'SAGA_STARTED' AND e.data = p_data
    ) THEN
        -- The same saga, begun by another producer or delivery.
        v_done.status := 'duplicate';
    END IF;
    RETURN QUERY SELECT v_done.status::text, v_done.version::bigint, v_done.recorded_at::timestamptz;
END
$$;

-- The events of one saga after a version, as the fold wants them.
CREATE FUNCTION orch.saga_events(p_saga text, p_after bigint)
RETURNS TABLE (version bigint, event_type text, recorded_at timestamptz, data bytea)
LANGUAGE sql STABLE AS $$
    SELECT e.version, e.type, e.recorded_at, e.data
    FROM es.streams AS s
    JOIN es.events AS e USING (stream_id)
    WHERE s.name = 'saga-' || p_saga AND e.version > p_after
    ORDER BY e.version
$$;

-- Record a decision: events, the saga's row and a lease, all or nothing, if the saga
-- still stands at p_expected. Statuses: ok; duplicate (this very decision is recorded
-- already); conflict (others were first); fenced (the lease to drop is not the
-- caller's any more); held (the lease to expire was renewed); closed (no open row).
-- Unless it is ok and p_read_after is null, the events after p_read_after follow.
CREATE FUNCTION orch.saga_transition(
    p_saga text,
    p_expected bigint,
    p_event_ids uuid[],
    p_types text[],
    p_data bytea[],
    p_correlation uuid,
    p_causation uuid,
    p_actor text,
    p_metadata bytea,
    p_state text,
    p_is_over boolean,
    p_gives_up boolean,
    p_check_at timestamptz,
    p_lease_op text,
    p_step text,
    p_direction text,
    p_attempt integer,
    p_owner uuid,
    p_lease_s double precision,
    p_limit_s double precision,
    p_read_after bigint
) RETURNS TABLE (
    status text,
    db_now timestamptz,
    version bigint,
    event_type text,
    recorded_at timestamptz,
    data bytea
)
LANGUAGE plpgsql AS $$
DECLARE
    v_row orch.open_saga%ROWTYPE;
    v_now timestamptz;
    v_status text := 'ok';
    v_done record;
    v_count integer := cardinality(p_event_ids);
BEGIN
    SELECT * INTO v_row FROM orch.open_saga AS o WHERE o.saga_id = p_saga FOR UPDATE;
    -- After the lock, so that time spent waiting for it counts.
    v_now := clock_timestamp();
    IF NOT FOUND THEN
        v_status := 'closed';
    ELSIF v_row.version <> p_expected THEN
        v_status := 'conflict';
    ELSIF p_lease_op = 'drop' THEN
        DELETE FROM orch.lease AS l
        WHERE l.saga_id = p_saga AND l.step = p_step AND l.direction = p_direction
            AND l.attempt = p_attempt AND l.owner = p_owner;
        IF NOT FOUND THEN
            v_status := 'fenced';
        END IF;
    ELSIF p_lease_op = 'expire' THEN
        DELETE FROM orch.lease AS l
        WHERE l.saga_id = p_saga AND l.step = p_step AND l.direction = p_direction
            AND l.attempt = p_attempt AND l.until < v_now;
        IF NOT FOUND AND EXISTS (
            SELECT FROM orch.lease AS l
            WHERE l.saga_id = p_saga AND l.step = p_step AND l.direction = p_direction
        ) THEN
            v_status := 'held';
        END IF;
    END IF;

    IF v_status = 'ok' THEN
        IF v_count = 1 THEN
            SELECT a.status, a.version INTO v_done
            FROM es.append_one(
                'saga-' || p_saga, p_expected, p_event_ids[1], p_types[1], 1,
                p_correlation, p_causation, p_actor, p_metadata, p_data[1]
            ) AS a;
        ELSE
            SELECT a.status, a.version INTO v_done
            FROM es.append(
                'saga-' || p_saga, p_expected, p_event_ids, p_types,
                array_fill(1, ARRAY[v_count]), p_correlation, p_causation, p_actor,
                array_fill(p_metadata, ARRAY[v_count]), p_data
            ) AS a;
        END IF;
        IF v_done.status <> 'ok' THEN
            -- The row disagrees with the stream: undo the lease, let the caller heal.
            RAISE EXCEPTION USING
                ERRCODE = 'OR001',
                MESSAGE = format('saga %s: its row stands at %s, append says %s', p_saga, p_expected, v_done.status);
        END IF;
        IF p_is_over THEN
            DELETE FROM orch.open_saga AS o WHERE o.saga_id = p_saga;
            INSERT INTO orch.ended_saga (saga_id, name, state, started_at, ended_at)
            VALUES (p_saga, v_row.name, p_state, v_row.started_at, v_now)
            ON CONFLICT (saga_id) DO UPDATE
            SET state = excluded.state, ended_at = excluded.ended_at;
        ELSE
            UPDATE orch.open_saga AS o
            SET version = v_done.version,
                state = p_state,
                gives_up = p_gives_up,
                check_at = p_check_at,
                resends = 0,
                waiting_for = NULL
            WHERE o.saga_id = p_saga;
        END IF;
        IF p_lease_op = 'take' THEN
            INSERT INTO orch.lease AS l (
                saga_id, step, direction, attempt, owner, until, hard_until
            ) VALUES (
                p_saga, p_step, p_direction, p_attempt, p_owner,
                v_now + make_interval(secs => least(p_lease_s, p_limit_s)),
                v_now + make_interval(secs => p_limit_s)
            ) ON CONFLICT (saga_id, step, direction) DO UPDATE
            SET attempt = excluded.attempt,
                owner = excluded.owner,
                until = excluded.until,
                hard_until = excluded.hard_until;
        END IF;
        IF p_read_after IS NULL THEN
            RETURN QUERY SELECT v_status, v_now, v_done.version::bigint,
                NULL::text, NULL::timestamptz, NULL::bytea;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    SELECT v_status, v_now, e.version, e.event_type, e.recorded_at, e.data
    FROM (SELECT 1) AS one
    LEFT JOIN orch.saga_events(p_saga, coalesce(p_read_after, 0)) AS e ON true;
END
$$;

-- Rebuild a saga's row, and the leases of its open attempts, from what its events up
-- to p_version fold to; nothing, if they have gone on since.
CREATE FUNCTION orch.saga_heal(
    p_saga text,
    p_version bigint,
    p_name text,
    p_state text,
    p_is_over boolean,
    p_gives_up boolean,
    p_started_at timestamptz,
    p_ended_at timestamptz,
    p_steps text[],
    p_directions text[],
    p_attempts integer[],
    p_owners uuid[],
    p_hard_until timestamptz[],
    p_lease_s double precision
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_is_new boolean := false;
BEGIN
    -- The row is the lock: who appends holds it, and without a row nobody appends.
    PERFORM FROM orch.open_saga AS o WHERE o.saga_id = p_saga FOR UPDATE;
    IF NOT FOUND AND NOT p_is_over THEN
        INSERT INTO orch.open_saga (saga_id, name, state, version, started_at)
        VALUES (p_saga, p_name, p_state, 0, p_started_at)
        ON CONFLICT (saga_id) DO NOTHING;
        v_is_new := FOUND;
        IF NOT v_is_new THEN
            RETURN; -- another healer was faster
        END IF;
    END IF;
    IF p_version IS DISTINCT FROM (
        SELECT s.version FROM es.streams AS s WHERE s.name = 'saga-' || p_saga
    ) THEN
        DELETE FROM orch.open_saga AS o WHERE o.saga_id = p_saga AND v_is_new;
        RETURN;
    END IF;
    IF p_is_over THEN
        DELETE FROM orch.open_saga AS o WHERE o.saga_id = p_saga;
        INSERT INTO orch.ended_saga (saga_id, name, state, started_at, ended_at)
        VALUES (p_saga, p_name, p_state, p_started_at, p_ended_at)
        ON CONFLICT (saga_id) DO NOTHING;
        RETURN;
    END IF;
    UPDATE orch.open_saga AS o
    SET state = p_state,
        version = p_version,
        gives_up = p_gives_up,
        check_at = clock_timestamp()
    WHERE o.saga_id = p_saga AND o.version <> p_version;
    INSERT INTO orch.lease (saga_id, step, direction, attempt, owner, until, hard_until)
    SELECT
        p_saga, r.step, r.direction, r.attempt, r.owner,
        least(clock_timestamp() + make_interval(secs => p_lease_s), r.hard_until),
        r.hard_until
    FROM unnest(p_steps, p_directions, p_attempts, p_owners, p_hard_until)
        AS r (step, direction, attempt, owner, hard_until)
    ON CONFLICT (saga_id, step, direction) DO NOTHING;
END
$$;
