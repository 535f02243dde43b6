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

RESET ROLE;
