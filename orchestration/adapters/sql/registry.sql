-- name: record
SELECT
    r.status, r.stands_at, clock_timestamp(),
    (r.agent).descriptor, (r.agent).location, (r.agent).owner, (r.agent).status,
    (r.agent).health_score, (r.agent).registered_at, (r.agent).changed_at,
    (r.agent).last_heartbeat_ms, (r.agent).violations, (r.agent).version
FROM orch.registry_record(
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::json, %s, %s, %s, %s
) AS r

-- name: swept
SELECT agent_id, version
FROM orch.registry_swept(
    %s, %s::uuid[], %s::text[], %s::bytea[], %s, %s, %s,
    %s::text[], %s::bigint[], %s::uuid[], %s::text[], %s::bytea[], %s::uuid[],
    %s::text[], %s::double precision[], %s::bigint[]
)

-- name: heal
SELECT orch.registry_heal(%s, %s, %s::json, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb)

-- name: states
-- Everybody who is registered, and who is shown of other regions.
SELECT
    descriptor, location, owner, status, health_score, registered_at, changed_at,
    last_heartbeat_ms, violations, version, '', NULL::timestamptz
FROM orch.agent
UNION ALL
SELECT
    descriptor, location, owner, status, health_score, registered_at, changed_at,
    last_heartbeat_ms, '{}'::jsonb, version, region, as_of
FROM orch.agent_shown

-- name: versions
SELECT agent_id, version FROM orch.agent
UNION ALL
SELECT agent_id, version FROM orch.agent_shown

-- name: some
-- Where these agents stand. Those without a row have null for all but the version.
SELECT
    coalesce(a.descriptor, x.descriptor), coalesce(a.location, x.location),
    coalesce(a.owner, x.owner), coalesce(a.status, x.status),
    coalesce(a.health_score, x.health_score),
    coalesce(a.registered_at, x.registered_at), coalesce(a.changed_at, x.changed_at),
    CASE WHEN a.agent_id IS NULL THEN x.last_heartbeat_ms ELSE a.last_heartbeat_ms END,
    coalesce(a.violations, '{}'),
    coalesce(a.version, x.version, orch.agent_version(wanted.agent_id)),
    coalesce(x.region, ''), x.as_of, wanted.agent_id
FROM unnest(%s::text[]) AS wanted (agent_id)
LEFT JOIN orch.agent AS a USING (agent_id)
LEFT JOIN orch.agent_shown AS x
    ON x.agent_id = wanted.agent_id AND a.agent_id IS NULL

-- name: rows_to_sweep
SELECT
    agent_id, version, status, interval_ms,
    (extract(epoch FROM registered_at) * 1000)::bigint, promises, violations
FROM orch.agent
ORDER BY agent_id

-- name: shown_stands
SELECT agent_id, version, status FROM orch.agent_shown

-- name: last_sweep
-- The time, where the stream of sweeps stands, and what the last one said.
SELECT clock_timestamp(), s.version, e.data, clock_timestamp() - e.recorded_at
FROM (SELECT 1) AS one
LEFT JOIN es.streams AS s ON s.name = 'registry-sweeps'
LEFT JOIN LATERAL (
    SELECT x.data, x.recorded_at
    FROM es.events AS x
    WHERE x.stream_id = s.stream_id AND x.type = 'HEALTH_SWEPT'
    ORDER BY x.version DESC
    LIMIT 1
) AS e ON true

-- name: history
-- The events of one agent, or of all (null), as they were at a moment (null: now).
SELECT e.version, e.type, e.data, e.recorded_at
FROM es.streams AS s
JOIN es.events AS e USING (stream_id)
WHERE s.category = 'registry'
    AND s.name <> 'registry-sweeps'
    AND (%(name)s::text IS NULL OR s.name = %(name)s)
    AND (%(at)s::timestamptz IS NULL OR e.recorded_at <= %(at)s)
ORDER BY s.stream_id, e.version

-- name: try_rebuild_lock
-- Until the end of the transaction; a session's lock would outlive a lost connection.
SELECT pg_try_advisory_xact_lock(hashtextextended('orch.registry rebuild', 0))
