-- name: announce
-- Replace what a worker has announced, and what long gone workers said of the same.
WITH said AS (
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])
        AS s (kind, name, pool, content_hash)
), struck AS (
    DELETE FROM orch.announcement AS a
    WHERE (a.worker = %s AND (a.kind, a.name) NOT IN (SELECT kind, name FROM said))
        OR (
            a.worker <> %s
            AND (a.kind, a.name) IN (SELECT kind, name FROM said)
            AND a.last_seen < clock_timestamp() - interval '1 day'
        )
)
INSERT INTO orch.announcement AS a (worker, kind, name, pool, content_hash)
SELECT %s, kind, name, pool, content_hash FROM said
ON CONFLICT (worker, kind, name) DO UPDATE
SET pool = excluded.pool,
    content_hash = excluded.content_hash,
    is_up = true,
    last_seen = clock_timestamp()

-- name: still_up
WITH heard AS (
    UPDATE orch.announcement
    SET last_seen = clock_timestamp(), is_up = true
    WHERE worker = %s
    RETURNING 1
)
SELECT count(*) FROM heard

-- name: gone
UPDATE orch.announcement SET is_up = false WHERE worker = %s

-- name: live
-- What other live workers of these pools host.
SELECT pool, worker, name
FROM orch.announcement
WHERE worker <> %s
    AND pool = ANY (%s)
    AND kind IN ('agent', 'action', 'listener', 'handler', 'source', 'fitness')
    AND is_up
    AND last_seen > clock_timestamp() - make_interval(secs => %s)

-- name: known
-- The pool of every agent, action, listener, and of what swarms work with; the one announced last counts.
SELECT DISTINCT ON (name)
    name, pool,
    last_seen > clock_timestamp() - interval '1 day' AS heard_lately,
    clock_timestamp() AS now
FROM orch.announcement
WHERE kind IN ('agent', 'action', 'listener', 'handler', 'source', 'fitness')
ORDER BY name, last_seen DESC

-- name: offline
-- Which of these agents, or of what swarms work with, no live worker hosts.
SELECT wanted.agent_id
FROM unnest(%s::text[]) AS wanted (agent_id)
WHERE NOT EXISTS (
    SELECT FROM orch.announcement AS a
    WHERE a.kind IN ('agent', 'handler', 'source', 'fitness')
        AND a.name = wanted.agent_id
        AND a.is_up
        AND a.last_seen > clock_timestamp() - make_interval(secs => %s)
)

-- name: listed
-- Every worker and what it hosts, for people.
SELECT
    worker, kind, name, pool,
    is_up AND last_seen > clock_timestamp() - make_interval(secs => %s) AS is_live,
    last_seen
FROM orch.announcement
ORDER BY worker, kind, name
