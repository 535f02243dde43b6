-- Messages that could not be delivered. The row is what people look at and act upon; the
-- message's stream tells how it got here, and what was done about it.

CREATE TABLE orch.dead_message (
    letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL,
    agent_id text NOT NULL,
    -- The subscription for which it came; empty if it was sent to the agent.
    pattern text NOT NULL,
    message_type text NOT NULL,
    sender_id text NOT NULL,
    correlation_id text NOT NULL,
    reason text NOT NULL,
    -- json and not jsonb, which refuses some texts that JSON has.
    error json NOT NULL,
    item json NOT NULL,
    attempts integer NOT NULL,
    deaths integer NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'REDRIVEN', 'DISCARDED')),
    first_died_at timestamptz NOT NULL,
    died_at timestamptz NOT NULL,
    settled_at timestamptz,
    UNIQUE (message_id, agent_id, pattern)
);

CREATE INDEX dead_message_agent ON orch.dead_message (agent_id, letter_id);
CREATE INDEX dead_message_open ON orch.dead_message (letter_id) WHERE state = 'OPEN';
CREATE INDEX dead_message_died_at ON orch.dead_message (died_at);

-- Put a message aside and record it; one that is here already, and open, is not put here
-- twice, though it may have been delivered twice. Returns whether it is new here.
CREATE FUNCTION orch.bury_message(
    p_message_id text,
    p_agent_id text,
    p_pattern text,
    p_message_type text,
    p_sender_id text,
    p_correlation_id text,
    p_reason text,
    p_error json,
    p_item json,
    p_attempts integer,
    p_stream text,
    p_correlation uuid,
    p_causation uuid,
    p_actor text,
    p_metadata bytea,
    p_data bytea
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    INSERT INTO orch.dead_message AS d (
        message_id, agent_id, pattern, message_type, sender_id, correlation_id, reason,
        error, item, attempts, first_died_at, died_at
    ) VALUES (
        p_message_id, p_agent_id, p_pattern, p_message_type, p_sender_id,
        p_correlation_id, p_reason, p_error, p_item, p_attempts, v_now, v_now
    )
    ON CONFLICT (message_id, agent_id, pattern) DO UPDATE
    SET reason = excluded.reason,
        error = excluded.error,
        item = excluded.item,
        attempts = excluded.attempts,
        deaths = d.deaths + 1,
        died_at = excluded.died_at,
        state = 'OPEN',
        settled_at = NULL
    WHERE d.state <> 'OPEN';
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM es.append_one(
        p_stream, -1, gen_random_uuid(), 'MESSAGE_DEAD_LETTERED', 1,
        p_correlation, p_causation, p_actor, p_metadata, p_data
    );
    RETURN true;
END
$$;

-- Take open letters out, to be sent again or given up: whoever else asks for them at the
-- same moment gets none of them. Each is recorded in its message's stream by the caller,
-- in the same transaction.
CREATE FUNCTION orch.settle_messages(p_ids bigint[], p_state text)
RETURNS TABLE (letter_id bigint, message_id text, item json, size integer)
LANGUAGE sql AS $$
    UPDATE orch.dead_message AS d
    SET state = p_state, settled_at = clock_timestamp()
    FROM (
        SELECT o.letter_id
        FROM orch.dead_message AS o
        WHERE o.letter_id = ANY (p_ids)
            AND o.state = 'OPEN'
            AND (p_state = 'DISCARDED' OR o.reason <> 'MALFORMED')
        ORDER BY o.letter_id
        FOR UPDATE SKIP LOCKED
    ) AS mine
    WHERE d.letter_id = mine.letter_id
    RETURNING d.letter_id, d.message_id, d.item, octet_length(d.item::text)
$$;
