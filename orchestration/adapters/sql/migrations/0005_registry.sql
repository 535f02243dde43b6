-- Which agents are registered: one row each, changed in the transaction of the events
-- that say so, and rebuildable from them. Who has left has no row any more; the version
-- of its stream is where it goes on if it comes again.

CREATE TABLE orch.agent (
    agent_id text PRIMARY KEY,
    version bigint NOT NULL,
    -- JSON as it was recorded: jsonb would write some numbers otherwise.
    descriptor json NOT NULL,
    location text NOT NULL,
    owner text NOT NULL,
    status text NOT NULL,
    health_score double precision NOT NULL,
    interval_ms bigint NOT NULL,
    registered_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    -- As far as events tell; null: not heard of since it registered.
    last_heartbeat_ms bigint,
    -- Its SLA, for sweeps, which need nothing else of the descriptor; null: no promise.
    promises text GENERATED ALWAYS AS (nullif(descriptor ->> 'sla', '{}')) STORED,
    -- The promises that it breaks: since when, epoch milliseconds, by term.
    violations jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 80);

-- Regions of which agents are copied, and how far. Who is worth how much follows from
-- reached_at; `standing` is what was recorded of it.
CREATE TABLE orch.region (
    region text PRIMARY KEY,
    version bigint NOT NULL DEFAULT 0, -- of the stream regions-<region>
    cursor bigint NOT NULL DEFAULT -1, -- the last number of its log that was read
    leaf bytea, -- what its log has there: another log has something else
    generation integer NOT NULL DEFAULT 1, -- grows with each copy made anew
    is_building boolean NOT NULL DEFAULT true, -- not read to the end yet
    standing text NOT NULL DEFAULT 'FRESH',
    reached_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    try_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    fault text NOT NULL DEFAULT ''
) WITH (fillfactor = 50);

-- Agents of other regions as these last told.
CREATE TABLE orch.agent_copy (
    region text NOT NULL,
    agent_id text NOT NULL,
    generation integer NOT NULL,
    version bigint NOT NULL, -- of its stream there
    descriptor json NOT NULL,
    location text NOT NULL,
    owner text NOT NULL,
    status text NOT NULL,
    health_score double precision NOT NULL,
    registered_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    last_heartbeat_ms bigint,
    is_contested boolean NOT NULL DEFAULT false,
    PRIMARY KEY (region, agent_id)
);
CREATE INDEX agent_copy_id ON orch.agent_copy (agent_id);

-- The copy that is shown under an id; none where an agent of our own has it.
CREATE TABLE orch.agent_shown (
    agent_id text PRIMARY KEY,
    version bigint NOT NULL, -- of its stream here
    region text NOT NULL,
    generation integer NOT NULL,
    copy_version bigint NOT NULL,
    descriptor json NOT NULL,
    location text NOT NULL,
    owner text NOT NULL,
    status text NOT NULL,
    health_score double precision NOT NULL,
    registered_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    last_heartbeat_ms bigint,
    as_of timestamptz NOT NULL
);

-- At which version an agent's stream stands; 0 if there is none.
CREATE FUNCTION orch.agent_version(p_agent text) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(s.version), 0)
    FROM es.streams AS s
    WHERE s.name = 'registry-' || p_agent
$$;

-- Record what became of one agent: the event and the row, all or nothing, if the agent
-- still stands at p_expected. Statuses: ok; conflict (it does not); full (there are
-- p_max_agents). What follows is where it stands now; `agent` is null if it is not
-- registered.
CREATE FUNCTION orch.registry_record(
    p_agent text,
    p_expected bigint,
    p_event_id uuid,
    p_type text,
    p_data bytea,
    p_correlation uuid,
    p_causation uuid,
    p_actor text,
    p_metadata bytea,
    p_descriptor json,
    p_location text,
    p_owner text,
    p_interval_ms bigint,
    p_max_agents integer
) RETURNS TABLE (status text, stands_at bigint, agent orch.agent)
LANGUAGE plpgsql AS $$
DECLARE
    v_row orch.agent;
    v_done record;
BEGIN
    SELECT * INTO v_row FROM orch.agent AS a WHERE a.agent_id = p_agent FOR UPDATE;
    status := 'ok';
    IF p_expected <> coalesce(v_row.version, orch.agent_version(p_agent)) THEN
        status := 'conflict';
    ELSIF p_type = 'AGENT_REGISTERED' AND v_row.agent_id IS NULL THEN
        -- One at a time: two that count at once would both find the last place free.
        PERFORM pg_advisory_xact_lock(hashtextextended('orch.agent count', 0));
        IF p_max_agents <= (SELECT count(*) FROM orch.agent) THEN
            status := 'full';
        END IF;
    END IF;
    IF status = 'ok' THEN
        v_done := es.append_one(
            'registry-' || p_agent, p_expected, p_event_id, p_type, 1,
            p_correlation, p_causation, p_actor, p_metadata, p_data
        );
        IF v_done.status <> 'ok' THEN
            status := 'conflict';
        ELSIF p_type = 'AGENT_DEREGISTERED' THEN
            DELETE FROM orch.agent AS a WHERE a.agent_id = p_agent;
        ELSIF p_type = 'AGENT_UPDATED' THEN
            UPDATE orch.agent AS a
            SET version = v_done.version,
                descriptor = p_descriptor,
                location = p_location,
                owner = p_owner,
                interval_ms = p_interval_ms,
                changed_at = v_done.recorded_at
            WHERE a.agent_id = p_agent;
        ELSE
            DELETE FROM orch.agent_shown AS x WHERE x.agent_id = p_agent;
            -- Also over a row: somebody else's, whose agent is heard of no more.
            INSERT INTO orch.agent (
                agent_id, version, descriptor, location, owner, status, health_score,
                interval_ms, registered_at, changed_at
            ) VALUES (
                p_agent, v_done.version, p_descriptor, p_location, p_owner, 'ACTIVE', 1,
                p_interval_ms, v_done.recorded_at, v_done.recorded_at
            )
            ON CONFLICT (agent_id) DO UPDATE
            SET version = excluded.version,
                descriptor = excluded.descriptor,
                location = excluded.location,
                owner = excluded.owner,
                status = excluded.status,
                health_score = excluded.health_score,
                interval_ms = excluded.interval_ms,
                registered_at = excluded.registered_at,
                changed_at = excluded.changed_at,
                last_heartbeat_ms = NULL,
                violations = '{}';
        END IF;
    END IF;
    -- Anew: who waited for another finds what that left.
    SELECT * INTO v_row FROM orch.agent AS a WHERE a.agent_id = p_agent;
    stands_at := coalesce(v_row.version, orch.agent_version(p_agent));
    agent := v_row;
    RETURN NEXT;
END
$$;

-- Record a sweep: the facts about all agents, then the transitions and the broken or
-- kept promises of those that still stand where the sweep saw them; whoever is being
-- changed this moment is left to the next sweep, with all facts about it. Returns the
-- recorded ones and their new versions, the last one last. Raises OR002 if another
-- sweep has been recorded since this one looked.
CREATE FUNCTION orch.registry_swept(
    p_expected bigint,
    p_own_ids uuid[],
    p_own_types text[],
    p_own_data bytea[],
    p_causation uuid,
    p_actor text,
    p_metadata bytea,
    p_agents text[],
    p_versions bigint[],
    p_event_ids uuid[],
    p_types text[],
    p_data bytea[],
    p_correlations uuid[],
    p_statuses text[],
    p_healths double precision[],
    p_heard_ms bigint[]
) RETURNS TABLE (agent_id text, version bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_done record;
    v_fact record;
    v_said jsonb;
    v_left text;
    v_n integer := cardinality(p_own_ids);
BEGIN
    -- First: it is what two sweeps wait for each other at.
    v_done := es.append(
        'registry-sweeps', p_expected, p_own_ids, p_own_types,
        array_fill(1, ARRAY[v_n]), NULL, p_causation, p_actor,
        array_fill(p_metadata, ARRAY[v_n]), p_own_data
    );
    IF v_done.status NOT IN ('ok', 'duplicate') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'OR002',
            MESSAGE = format('another sweep was first: %s is not %s', v_done.version, p_expected);
    END IF;
    -- One by one: the function for many streams copies its arrays for each of them.
    FOR v_fact IN
        SELECT f.*
        FROM unnest(
            p_agents, p_versions, p_event_ids, p_types, p_data, p_correlations,
            p_statuses, p_healths, p_heard_ms
        ) WITH ORDINALITY AS f (
            agent, expected, event_id, type, data, correlation, status, health,
            heard_ms, nth
        )
        ORDER BY f.agent, f.nth
    LOOP
        CONTINUE WHEN v_fact.agent = v_left;
        v_left := v_fact.agent;
        PERFORM FROM orch.agent AS a
        WHERE a.agent_id = v_fact.agent AND a.version = v_fact.expected
        FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        v_done := es.append_one(
            'registry-' || v_fact.agent, v_fact.expected, v_fact.event_id, v_fact.type,
            1, v_fact.correlation, p_causation, p_actor, p_metadata, v_fact.data
        );
        CONTINUE WHEN v_done.status <> 'ok';
        v_left := NULL;
        IF v_fact.type = 'AGENT_DEREGISTERED' THEN
            DELETE FROM orch.agent AS a WHERE a.agent_id = v_fact.agent;
        ELSE
            v_said := convert_from(v_fact.data, 'UTF8')::jsonb;
            UPDATE orch.agent AS a
            SET version = v_done.version,
                status = coalesce(v_fact.status, a.status),
                health_score = v_fact.health,
                last_heartbeat_ms = v_fact.heard_ms,
                violations = CASE v_fact.type
                    WHEN 'SLA_VIOLATED' THEN a.violations || jsonb_build_object(
                        v_said ->> 'term', v_said -> 'since_ms'
                    )
                    WHEN 'SLA_RESTORED' THEN a.violations - (v_said ->> 'term')
                    ELSE a.violations
                END,
                changed_at = v_done.recorded_at
            WHERE a.agent_id = v_fact.agent;
        END IF;
        agent_id := v_fact.agent;
        version := v_done.version;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Record how a copy is shown from now on (a null region: not any more), if the agent's
-- stream stands at p_expected and no agent of our own has the id. Returns its version;
-- null: it was not recorded.
CREATE FUNCTION orch.region_show(
    p_agent text,
    p_expected bigint,
    p_event_id uuid,
    p_type text,
    p_data bytea,
    p_correlation uuid,
    p_causation uuid,
    p_actor text,
    p_metadata bytea,
    p_region text,
    p_status text,
    p_as_of timestamptz
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_done record;
BEGIN
    -- First: whoever registers the id waits here, or this waits for them.
    v_done := es.append_one(
        'registry-' || p_agent, p_expected, p_event_id, p_type, 1,
        p_correlation, p_causation, p_actor, p_metadata, p_data
    );
    IF v_done.status <> 'ok' THEN
        RETURN NULL;
    END IF;
    DELETE FROM orch.agent_shown AS x WHERE x.agent_id = p_agent;
    IF p_region IS NOT NULL THEN
        INSERT INTO orch.agent_shown
        SELECT
            c.agent_id, v_done.version, c.region, c.generation, c.version, c.descriptor,
            c.location, c.owner, p_status, c.health_score, c.registered_at,
            v_done.recorded_at, c.last_heartbeat_ms, p_as_of
        FROM orch.agent_copy AS c
        WHERE c.region = p_region AND c.agent_id = p_agent;
    END IF;
    RETURN v_done.version;
END
$$;

-- Put an agent's row right by what its events up to p_version fold to; nothing, if they
-- have gone on since. A null descriptor: it is not registered.
CREATE FUNCTION orch.registry_heal(
    p_agent text,
    p_version bigint,
    p_descriptor json,
    p_location text,
    p_owner text,
    p_status text,
    p_health double precision,
    p_interval_ms bigint,
    p_registered_at timestamptz,
    p_changed_at timestamptz,
    p_heard_ms bigint,
    p_violations jsonb
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM orch.agent AS a WHERE a.agent_id = p_agent FOR UPDATE;
    -- Whoever records holds the stream's head until the row is right.
    PERFORM FROM es.streams AS s
    WHERE s.name = 'registry-' || p_agent AND s.version = p_version FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    DELETE FROM orch.agent AS a WHERE a.agent_id = p_agent;
    IF p_descriptor IS NOT NULL THEN
        INSERT INTO orch.agent (
            agent_id, version, descriptor, location, owner, status, health_score,
            interval_ms, registered_at, changed_at, last_heartbeat_ms, violations
        ) VALUES (
            p_agent, p_version, p_descriptor, p_location, p_owner, p_status, p_health,
            p_interval_ms, p_registered_at, p_changed_at, p_heard_ms, p_violations
        );
    END IF;
END
$$;
