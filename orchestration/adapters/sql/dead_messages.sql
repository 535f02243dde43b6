-- name: bury
SELECT orch.bury_message(
    %s, %s, %s, %s, %s, %s, %s, %s::json, %s::json, %s,
    %s, %s::uuid, %s::uuid, %s, %s, %s
)

-- name: list
-- The newest first.
SELECT
    letter_id, message_id, agent_id, pattern, message_type, sender_id, correlation_id,
    reason, error, item, attempts, deaths, state, first_died_at, died_at, settled_at
FROM orch.dead_message
WHERE (%(ids)s::bigint[] IS NULL OR letter_id = ANY (%(ids)s))
    AND (%(state)s::text IS NULL OR state = %(state)s)
    AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
    AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(message_type)s::text IS NULL OR message_type = %(message_type)s)
    AND (%(message_id)s::text IS NULL OR message_id = %(message_id)s)
    AND (%(correlation_id)s::text IS NULL OR correlation_id = %(correlation_id)s)
    AND (%(since)s::timestamptz IS NULL OR died_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR died_at < %(until)s)
    AND (%(after)s::bigint IS NULL OR letter_id < %(after)s)
ORDER BY letter_id DESC
LIMIT %(limit)s

-- name: settle
SELECT letter_id, message_id, item, size FROM orch.settle_messages(%s, %s)

-- name: record
SELECT status FROM es.append_one(%s, -1, gen_random_uuid(), %s, 1, %s::uuid, NULL, %s, %s, %s)

-- name: retire
-- Forget what was put aside long ago, settled or not: its stream stays.
WITH old AS (
    SELECT letter_id
    FROM orch.dead_message
    WHERE died_at < clock_timestamp() - make_interval(secs => %s)
    ORDER BY died_at
    LIMIT %s
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM orch.dead_message AS d USING old
    WHERE d.letter_id = old.letter_id
    RETURNING 1
)
SELECT count(*) FROM gone
