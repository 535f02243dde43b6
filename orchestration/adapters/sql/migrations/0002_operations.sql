-- Locks, parents, search, limits, dead letters, notices and schedules of sagas, and
-- the functions that keep them in step with the events. `saga_start` and
-- `saga_transition` of 0001 stay for workers of the version before, which go on
-- while a new version is rolled out.

ALTER TABLE orch.open_saga
ADD parent text,
ADD has_locks boolean NOT NULL DEFAULT false,
-- Begun in a caller's transaction: whoever looks first sends the first steps.
ADD is_unsent boolean NOT NULL DEFAULT false;

-- As many rows as attempts are under way: read in whole once a second, they cost less
-- than an index that each attempt changes twice, and each renewal once.
DROP INDEX orch.lease_until;

-- Only of agents with a limit, so that others cost no index entry.
ALTER TABLE orch.lease ADD agent text;
CREATE INDEX lease_agent ON orch.lease (agent) WHERE agent IS NOT NULL;

-- Named locks. The row stays when the lock is free: `fence` never goes back.
CREATE TABLE orch.saga_lock (
    name text PRIMARY KEY,
    holder text,
    fence bigint NOT NULL DEFAULT 0
);
CREATE INDEX saga_lock_holder ON orch.saga_lock (holder) WHERE holder IS NOT NULL;

-- Who waits for a lock, and since when: the longest waits first.
CREATE TABLE orch.lock_wait (
    name text NOT NULL,
    saga_id text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (name, saga_id)
);
CREATE INDEX lock_wait_saga ON orch.lock_wait (saga_id);

-- What sagas are found by, beside state and name; kept as long as the saga's row.
CREATE TABLE orch.search_attributes (
    saga_id text PRIMARY KEY,
    attributes jsonb NOT NULL
);
CREATE INDEX search_attributes_attributes
ON orch.search_attributes USING gin (attributes jsonb_path_ops);

-- Undos that failed for good, until an operator or a later try settles them.
CREATE TABLE orch.dead_letter (
    saga_id text NOT NULL,
    step text NOT NULL,
    error jsonb NOT NULL,
    since timestamptz NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz,
    PRIMARY KEY (saga_id, step)
);
CREATE INDEX dead_letter_next_try_at ON orch.dead_letter (next_try_at);

-- Those that failed before there was a list of them wait for a person.
INSERT INTO orch.dead_letter (saga_id, step, error, since)
SELECT o.saga_id, f.step, coalesce(u.error, '{}'), e.recorded_at
FROM orch.open_saga AS o
CROSS JOIN LATERAL (
    SELECT x.recorded_at, convert_from(x.data, 'UTF8')::jsonb -> 'failed' AS failed
    FROM orch.saga_events(o.saga_id, 0) AS x
    WHERE x.event_type = 'COMPENSATION_FAILED'
    ORDER BY x.version DESC
    LIMIT 1
) AS e
CROSS JOIN LATERAL jsonb_array_elements_text(e.failed) AS f (step)
LEFT JOIN LATERAL (
    SELECT y.told -> 'error' AS error
    FROM (
        SELECT x.version, convert_from(x.data, 'UTF8')::jsonb AS told
        FROM orch.saga_events(o.saga_id, 0) AS x
        WHERE x.event_type = 'STEP_COMPENSATION_FAILED'
    ) AS y
    WHERE y.told ->> 'step' = f.step
    ORDER BY y.version DESC
    LIMIT 1
) AS u ON true
WHERE o.state = 'COMPENSATION_FAILED';

-- Words about sagas that need a person, until they are delivered.
CREATE TABLE orch.notice (
    notice_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    saga_id text NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    version bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    error jsonb,
    tries integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL
);
CREATE INDEX notice_due_at ON orch.notice (due_at);
CREATE INDEX notice_saga ON orch.notice (saga_id, notice_id);

-- Sagas that beat starts. Each slot has an id of its own, so that it starts one. JSON
-- as it was given: jsonb would write some numbers otherwise.
CREATE TABLE orch.schedule (
    name text PRIMARY KEY,
    definition json NOT NULL,
    initial_data json NOT NULL,
    every_s double precision,
    cron text,
    next_at timestamptz NOT NULL,
    last_saga_id text,
    last_error text
);
CREATE INDEX schedule_next_at ON orch.schedule (next_at);

-- When an agent of limited rate may next be called (generic cell rate algorithm), and
-- the last time at which somebody has been told to ask again.
CREATE TABLE orch.agent_rate (
    agent text PRIMARY KEY,
    free_at timestamptz NOT NULL,
    ask_at timestamptz NOT NULL
);

-- Begin a saga: its first event and its rows, or the answer that it exists.
CREATE FUNCTION orch.saga_begin(
    p_saga text,
    p_name text,
    p_event_id uuid,
    p_correlation uuid,
    p_causation uuid,
    p_actor text,
    p_metadata bytea,
    p_data bytea,
    p_check_after interval,
    p_parent text,
    p_has_locks boolean,
    p_is_unsent boolean,
    p_attributes jsonb
) RETURNS TABLE (status text, recorded_at timestamptz)
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
        INSERT INTO orch.open_saga (
            saga_id, name, state, version, started_at, check_at, parent, has_locks,
            is_unsent
        ) VALUES (
            p_saga, p_name, 'RUNNING', v_done.version, v_done.recorded_at,
            v_done.recorded_at + p_check_after, p_parent, p_has_locks, p_is_unsent
        );
        IF p_attributes IS NOT NULL THEN
            INSERT INTO orch.search_attributes (saga_id, attributes)
            VALUES (p_saga, p_attributes);
        END IF;
    ELSIF v_done.status = 'id_conflict' AND EXISTS (
        SELECT FROM orch.saga_events(p_saga, 0) AS e
        WHERE e.version = 1 AND e.event_type = 'SAGA_STARTED' AND e.data = p_data
    ) THEN
        -- The same saga, begun by another producer or delivery.
        v_done.status := 'duplicate';
    END IF;
    RETURN QUERY SELECT v_done.status::text, v_done.recorded_at::timestamptz;
END
$$;

-- Whether an agent of limited use may be called now; seconds to wait, 0 if it may. Who
-- has to wait is given a time of its own: many that came again at once, and in vain,
-- would keep the workers busy with nothing else.
CREATE FUNCTION orch.agent_wait(
    p_agent text, p_max integer, p_per_s double precision, p_now timestamptz
) RETURNS double precision
LANGUAGE plpgsql AS $$
DECLARE
    v_soonest timestamptz;
    v_gap_s double precision;
    v_ask_at timestamptz;
BEGIN
    -- One at a time: two that count at once would both find the last place free.
    PERFORM pg_advisory_xact_lock(hashtextextended('orch.agent ' || p_agent, 0));
    IF p_max IS NOT NULL AND p_max <= (
        SELECT count(*) FROM orch.lease AS l WHERE l.agent = p_agent AND l.until > p_now
    ) THEN
        -- Nobody knows when a place will be free: twenty ask a second, all together.
        v_soonest := p_now + interval '0.25 s';
        v_gap_s := 0.05;
    ELSIF p_per_s IS NOT NULL THEN
        -- Twice as many as are let in, since not each will come.
        v_gap_s := 0.5 / p_per_s;
        SELECT r.free_at INTO v_soonest
        FROM orch.agent_rate AS r
        WHERE r.agent = p_agent AND r.free_at > p_now;
    END IF;
    IF v_soonest IS NOT NULL THEN
        INSERT INTO orch.agent_rate AS r (agent, free_at, ask_at)
        VALUES (p_agent, p_now, v_soonest)
        ON CONFLICT (agent) DO UPDATE
        SET ask_at = greatest(
            v_soonest,
            least(r.ask_at + make_interval(secs => v_gap_s), p_now + interval '5 s')
        )
        RETURNING r.ask_at INTO v_ask_at;
        RETURN extract(epoch FROM v_ask_at - p_now);
    END IF;
    IF p_per_s IS NOT NULL THEN
        INSERT INTO orch.agent_rate AS r (agent, free_at, ask_at)
        VALUES (p_agent, p_now + make_interval(secs => 1 / p_per_s), p_now)
        ON CONFLICT (agent) DO UPDATE
        -- What was not used a moment ago may still be: rounding costs no calls.
        SET free_at = greatest(r.free_at, p_now - make_interval(secs => 1 / p_per_s))
            + make_interval(secs => 1 / p_per_s);
    END IF;
    RETURN 0;
END
$$;

-- Take all of a saga's locks, or none and wait in line. The fences, in the order of
-- the names, or null. In the transaction that records it; the saga's row is locked.
CREATE FUNCTION orch.saga_locks(p_saga text, p_names text[]) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    v_since timestamptz;
    v_fences bigint[];
BEGIN
    SELECT o.started_at INTO v_since FROM orch.open_saga AS o
    WHERE o.saga_id = p_saga FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO orch.saga_lock (name)
    SELECT DISTINCT n.name FROM unnest(p_names) AS n (name) ORDER BY n.name
    ON CONFLICT (name) DO NOTHING;
    PERFORM FROM orch.saga_lock AS k WHERE k.name = ANY (p_names)
    ORDER BY k.name FOR UPDATE;
    INSERT INTO orch.lock_wait (name, saga_id, since)
    SELECT DISTINCT n.name, p_saga, v_since FROM unnest(p_names) AS n (name)
    ON CONFLICT (name, saga_id) DO NOTHING;
    IF EXISTS (
        SELECT FROM orch.saga_lock AS k
        WHERE k.name = ANY (p_names) AND k.holder <> p_saga
    ) OR EXISTS (
        -- Who has waited longer comes first, so that nobody waits for ever.
        SELECT FROM orch.lock_wait AS w
        JOIN orch.open_saga AS o USING (saga_id)
        WHERE w.name = ANY (p_names) AND w.saga_id <> p_saga
            AND (o.state = 'COMPENSATING' OR o.state = 'RUNNING' AND NOT o.gives_up)
            AND (w.since, w.saga_id) < (v_since, p_saga)
    ) THEN
        RETURN NULL;
    END IF;
    UPDATE orch.saga_lock AS k
    SET holder = p_saga, fence = k.fence + 1
    WHERE k.name = ANY (p_names);
    DELETE FROM orch.lock_wait AS w WHERE w.saga_id = p_saga;
    SELECT array_agg(k.fence ORDER BY n.nth) INTO v_fences
    FROM unnest(p_names) WITH ORDINALITY AS n (name, nth)
    JOIN orch.saga_lock AS k USING (name);
    RETURN v_fences;
END
$$;

-- Give back a saga's locks and its place in the line, and wake who waits.
CREATE FUNCTION orch.saga_unlock(p_saga text, p_now timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_names text[];
BEGIN
    SELECT array_agg(n.name) INTO v_names FROM (
        SELECT k.name FROM orch.saga_lock AS k WHERE k.holder = p_saga
        UNION
        SELECT w.name FROM orch.lock_wait AS w WHERE w.saga_id = p_saga
    ) AS n;
    -- In the order in which they are taken, so that nobody waits for each other.
    PERFORM FROM orch.saga_lock AS k WHERE k.holder = p_saga
    ORDER BY k.name FOR UPDATE;
    UPDATE orch.saga_lock AS k SET holder = NULL WHERE k.holder = p_saga;
    DELETE FROM orch.lock_wait AS w WHERE w.saga_id = p_saga;
    -- Who is locked is asking for the locks right now, and waits for this commit.
    UPDATE orch.open_saga AS o
    SET check_at = p_now
    WHERE o.saga_id IN (
        SELECT i.saga_id FROM orch.open_saga AS i
        WHERE i.saga_id IN (
            SELECT w.saga_id FROM orch.lock_wait AS w WHERE w.name = ANY (v_names)
        )
        FOR UPDATE SKIP LOCKED
    );
END
$$;

-- What a decision does beside its events and the saga's row, rare as it is:
--   reopen   {name, started_at, parent, has_locks, ended_at}: a saga that was over
--            goes on, or stays over since ended_at
--   kept     [step]: whose dead letters are still open; all others are settled
--   retried  [step]: undos that are being tried again
--   letters  [{step, error}]: undos that have failed for good
--   notice   {error}: somebody is to hear of the saga's state
CREATE FUNCTION orch.saga_beside(
    p_saga text, p_name text, p_state text, p_version bigint, p_now timestamptz,
    p_beside jsonb
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF p_beside ? 'kept' THEN
        DELETE FROM orch.dead_letter AS d
        WHERE d.saga_id = p_saga AND NOT p_beside -> 'kept' ? d.step;
    END IF;
    IF p_beside ? 'retried' THEN
        UPDATE orch.dead_letter AS d
        SET next_try_at = NULL
        WHERE d.saga_id = p_saga AND p_beside -> 'retried' ? d.step;
    END IF;
    IF p_beside ? 'letters' THEN
        INSERT INTO orch.dead_letter AS d (saga_id, step, error, since, next_try_at)
        SELECT
            p_saga, l ->> 'step', l -> 'error', p_now,
            CASE
                WHEN (p_beside ->> 'max_tries')::integer > 0 THEN
                    p_now + make_interval(secs => least(
                        86400, (p_beside ->> 'try_again_s')::double precision
                    ))
            END
        FROM jsonb_array_elements(p_beside -> 'letters') AS l
        ON CONFLICT (saga_id, step) DO UPDATE
        SET error = excluded.error,
            tries = d.tries + 1,
            next_try_at = CASE
                WHEN d.tries + 1 < (p_beside ->> 'max_tries')::integer THEN
                    p_now + make_interval(secs => least(
                        86400,
                        (p_beside ->> 'try_again_s')::double precision
                        * power(2, least(d.tries + 1, 20))
                    ))
            END;
    END IF;
    IF p_beside ? 'notice' THEN
        INSERT INTO orch.notice (
            saga_id, name, state, version, recorded_at, error, due_at
        ) VALUES (
            p_saga, p_name, p_state, p_version, p_now,
            nullif(p_beside #> '{notice,error}', 'null'), p_now
        );
    END IF;
END
$$;

-- Open a saga's row anew: by a late effect, or an operator, what was over goes on. The
-- append that follows tells whether the caller knows all that has happened.
CREATE FUNCTION orch.saga_reopen(
    p_saga text, p_state text, p_version bigint, p_reopen jsonb
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM orch.open_saga AS o WHERE o.saga_id = p_saga;
    IF NOT FOUND THEN
        INSERT INTO orch.open_saga (
            saga_id, name, state, version, started_at, parent, has_locks
        )
        SELECT p_saga, r.name, p_state, p_version, r.started_at, r.parent, r.has_locks
        FROM jsonb_to_record(p_reopen)
            AS r (name text, started_at timestamptz, parent text, has_locks boolean)
        ON CONFLICT (saga_id) DO NOTHING;
        DELETE FROM orch.ended_saga AS e WHERE e.saga_id = p_saga;
    END IF;
END
$$;

-- Record a decision: events, the saga's row and a lease, all or nothing, if the saga
-- still stands at p_expected. Statuses: ok; conflict (others were first); fenced (the
-- lease to drop is not the caller's any more); held (the lease to expire was renewed);
-- busy (the agent's limit is reached; the wait is in `version`, milliseconds); closed
-- (no open row). If ok, the events after p_read_after follow, unless that is null; if
-- not, all events follow, in their order.
CREATE FUNCTION orch.saga_record(
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
    p_read_after bigint,
    p_agent text,
    p_agent_max integer,
    p_agent_per_s double precision,
    p_beside jsonb
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
    v_row record;
    v_now timestamptz;
    v_done record;
    v_nth integer;
    v_wait_s double precision;
BEGIN
    IF p_beside ? 'reopen' THEN
        PERFORM orch.saga_reopen(p_saga, p_state, p_expected, p_beside -> 'reopen');
    END IF;
    status := 'ok';
    IF p_lease_op = 'drop' THEN
        -- Not locked, for the row comes first: whoever takes the lease away before the
        -- row is ours moves the row's version.
        PERFORM FROM orch.lease AS l
        WHERE l.saga_id = p_saga AND l.step = p_step AND l.direction = p_direction
            AND l.attempt = p_attempt AND l.owner = p_owner;
        IF NOT FOUND THEN
            status := 'fenced';
        END IF;
    ELSIF p_lease_op = 'expire' OR p_agent IS NOT NULL THEN
        PERFORM FROM orch.open_saga AS o
        WHERE o.saga_id = p_saga AND o.version = p_expected FOR UPDATE;
        IF NOT FOUND THEN
            status := 'conflict';
        ELSIF p_lease_op = 'expire' THEN
            DELETE FROM orch.lease AS l
            WHERE l.saga_id = p_saga AND l.step = p_step AND l.direction = p_direction
                AND l.attempt = p_attempt AND l.until < clock_timestamp();
            IF NOT FOUND AND EXISTS (
                SELECT FROM orch.lease AS l
                WHERE l.saga_id = p_saga AND l.step = p_step AND l.direction = p_direction
            ) THEN
                status := 'held';
            END IF;
        ELSE
            -- The agent is asked for those only who can begin at once.
            v_now := clock_timestamp();
            v_wait_s := orch.agent_wait(p_agent, p_agent_max, p_agent_per_s, v_now);
            IF v_wait_s > 0 THEN
                status := 'busy';
                db_now := v_now;
                version := ceil(v_wait_s * 1000);
                RETURN NEXT;
                RETURN;
            END IF;
        END IF;
    END IF;

    -- The row's lock, the check of its version and its new state in one statement.
    IF p_is_over THEN
        DELETE FROM orch.open_saga AS o
        WHERE o.saga_id = p_saga AND o.version = p_expected AND status = 'ok'
        RETURNING o.name, o.started_at, o.parent, o.has_locks INTO v_row;
    ELSE
        UPDATE orch.open_saga AS o
        SET version = p_expected + cardinality(p_event_ids),
            state = p_state,
            gives_up = p_gives_up,
            is_unsent = false,
            -- A look that is due earlier than need be finds nothing to do, and sets
            -- the next; moving it at every step would touch its index every time.
            check_at = CASE
                WHEN p_check_at IS NULL AND p_state NOT IN ('RUNNING', 'COMPENSATING')
                THEN NULL
                ELSE least(o.check_at, p_check_at)
            END,
            waiting_for = NULL
        WHERE o.saga_id = p_saga AND o.version = p_expected AND status = 'ok'
        RETURNING o.name, o.started_at, o.parent, o.has_locks INTO v_row;
    END IF;
    -- After the lock, so that time spent waiting for it counts.
    v_now := clock_timestamp();
    IF v_row IS NULL THEN
        SELECT coalesce(max(
            -- Also if another has just healed the row: nothing was recorded here.
            CASE
                WHEN o.version <> p_expected OR status = 'ok' THEN 'conflict'
                ELSE status
            END
        ), 'closed') INTO status
        FROM orch.open_saga AS o WHERE o.saga_id = p_saga;
        RETURN QUERY
        SELECT status, v_now, e.version, e.event_type, e.recorded_at, e.data
        FROM (SELECT 1) AS one
        LEFT JOIN orch.saga_events(p_saga, 0) AS e ON true;
        RETURN;
    END IF;

    IF p_lease_op = 'drop' THEN
        DELETE FROM orch.lease AS l
        WHERE l.saga_id = p_saga AND l.step = p_step AND l.direction = p_direction
            AND l.attempt = p_attempt AND l.owner = p_owner;
    END IF;

    -- One by one: for the two or three events of a decision the function for batches
    -- would take longer. An assignment, since a query would take longer, too.
    FOR v_nth IN 1..cardinality(p_event_ids) LOOP
        v_done := es.append_one(
            'saga-' || p_saga, p_expected + v_nth - 1, p_event_ids[v_nth],
            p_types[v_nth], 1, p_correlation, p_causation, p_actor, p_metadata,
            p_data[v_nth]
        );
        EXIT WHEN v_done.status <> 'ok';
    END LOOP;
    IF v_done.status <> 'ok' THEN
        -- The row disagrees with the stream: undo the rest, let the caller heal.
        RAISE EXCEPTION USING
            ERRCODE = 'OR001',
            MESSAGE = format('saga %s: its row stands at %s, append says %s', p_saga, p_expected, v_done.status);
    END IF;
    IF p_is_over THEN
        INSERT INTO orch.ended_saga (saga_id, name, state, started_at, ended_at)
        VALUES (
            p_saga, v_row.name, p_state, v_row.started_at,
            -- What is told of a saga that stays over does not end it anew.
            coalesce((p_beside #>> '{reopen,ended_at}')::timestamptz, v_now)
        )
        ON CONFLICT (saga_id) DO UPDATE
        SET state = excluded.state, ended_at = excluded.ended_at;
        IF v_row.has_locks THEN
            PERFORM orch.saga_unlock(p_saga, v_now);
        END IF;
    END IF;
    IF v_row.parent IS NOT NULL AND p_state NOT IN ('RUNNING', 'COMPENSATING') THEN
        UPDATE orch.open_saga AS o SET check_at = v_now WHERE o.saga_id = v_row.parent;
    END IF;
    IF p_lease_op = 'take' THEN
        INSERT INTO orch.lease AS l (
            saga_id, step, direction, attempt, owner, until, hard_until, agent
        ) VALUES (
            p_saga, p_step, p_direction, p_attempt, p_owner,
            v_now + make_interval(secs => least(p_lease_s, p_limit_s)),
            v_now + make_interval(secs => p_limit_s), p_agent
        ) ON CONFLICT (saga_id, step, direction) DO UPDATE
        SET attempt = excluded.attempt,
            owner = excluded.owner,
            until = excluded.until,
            hard_until = excluded.hard_until,
            agent = excluded.agent;
    END IF;
    IF p_beside IS NOT NULL THEN
        PERFORM orch.saga_beside(
            p_saga, v_row.name, p_state, v_done.version, v_done.recorded_at, p_beside
        );
    END IF;
    IF p_read_after IS NULL THEN
        db_now := v_now;
        version := v_done.version;
        recorded_at := v_done.recorded_at;
        RETURN NEXT;
    ELSE
        RETURN QUERY
        SELECT status, v_now, e.version, e.event_type, e.recorded_at, e.data
        FROM orch.saga_events(p_saga, p_read_after) AS e;
    END IF;
END
$$;

-- Rebuild what 0001's saga_heal does not know of: parent, locks, search attributes.
CREATE FUNCTION orch.saga_heal_beside(
    p_saga text,
    p_parent text,
    p_locks text[],
    p_fences bigint[],
    p_attributes jsonb
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE orch.open_saga AS o
    SET parent = p_parent, has_locks = cardinality(p_locks) > 0
    WHERE o.saga_id = p_saga
        AND (o.parent, o.has_locks) IS DISTINCT FROM (p_parent, cardinality(p_locks) > 0);
    IF FOUND THEN
        INSERT INTO orch.saga_lock AS k (name, holder, fence)
        SELECT n.name, p_saga, n.fence
        FROM unnest(p_locks, p_fences) AS n (name, fence)
        WHERE n.fence IS NOT NULL
        ON CONFLICT (name) DO UPDATE
        SET holder = coalesce(k.holder, excluded.holder),
            fence = greatest(k.fence, excluded.fence);
    END IF;
    IF p_attributes IS NOT NULL THEN
        INSERT INTO orch.search_attributes (saga_id, attributes)
        VALUES (p_saga, p_attributes)
        ON CONFLICT (saga_id) DO NOTHING;
    END IF;
END
$$;
