-- name: peer_page
-- Run in another region's database, by a role that reads es.log and es.events alone.
-- What its log has at our cursor, its head, where this page ends, and its events; all
-- of one snapshot. Sweeps count for the page's length, so that it is bounded.
WITH page AS MATERIALIZED (
    SELECT l.seq, l.position, l.leaf
    FROM es.log AS l
    WHERE l.category = 'registry' AND l.seq > %(after)s
    ORDER BY l.seq
    LIMIT %(limit)s
), told AS (
    SELECT p.seq, e.version, e.type, e.data, e.recorded_at
    FROM page AS p
    JOIN es.events AS e USING (position)
    WHERE e.type = ANY(%(types)s)
)
SELECT
    (SELECT l.leaf FROM es.log AS l WHERE l.seq = %(after)s),
    head.seq, head.leaf, (SELECT count(*) FROM page), last.seq, last.leaf,
    told.version, told.type, told.data, told.recorded_at
FROM (SELECT 1) AS one
LEFT JOIN (SELECT l.seq, l.leaf FROM es.log AS l ORDER BY l.seq DESC LIMIT 1) AS head
    ON true
LEFT JOIN (SELECT p.seq, p.leaf FROM page AS p ORDER BY p.seq DESC LIMIT 1) AS last
    ON true
LEFT JOIN told ON true
ORDER BY told.seq

-- name: due
-- Claim the regions that may be read now, until it is over or some seconds have passed.
WITH made AS (
    INSERT INTO orch.region (region, try_at)
    SELECT m.region, clock_timestamp() + %(hold)s
    FROM unnest(%(regions)s::text[]) AS m (region)
    ON CONFLICT (region) DO NOTHING
    RETURNING region
), claimed AS (
    UPDATE orch.region AS r
    SET try_at = clock_timestamp() + %(hold)s
    WHERE r.region = ANY(%(regions)s) AND r.try_at <= clock_timestamp()
    RETURNING r.region
)
SELECT region FROM made UNION ALL SELECT region FROM claimed

-- name: make
INSERT INTO orch.region (region) VALUES (%s) ON CONFLICT (region) DO NOTHING

-- name: place
SELECT cursor, leaf, generation, is_building FROM orch.region WHERE region = %s

-- name: lock_place
SELECT cursor, leaf, generation, is_building FROM orch.region WHERE region = %s
FOR UPDATE

-- name: restored
UPDATE orch.region
SET generation = generation + 1,
    cursor = -1,
    leaf = NULL,
    is_building = true,
    fault = ''
WHERE region = %s

-- name: moved
UPDATE orch.region
SET cursor = %s,
    leaf = %s,
    is_building = is_building AND NOT %s,
    reached_at = clock_timestamp(),
    try_at = clock_timestamp(),
    fault = ''
WHERE region = %s

-- name: failed
UPDATE orch.region
SET fault = %s,
    try_at = clock_timestamp() + %s
WHERE region = %s

-- name: copies
SELECT
    descriptor, location, owner, status, health_score, registered_at, changed_at,
    last_heartbeat_ms, '{}'::jsonb, version, '', NULL::timestamptz
FROM orch.agent_copy
WHERE region = %s AND generation = %s AND agent_id = ANY(%s)

-- name: copied
INSERT INTO orch.agent_copy (
    region, agent_id, generation, version, descriptor, location, owner, status,
    health_score, registered_at, changed_at, last_heartbeat_ms
)
SELECT %s, n.*
FROM unnest(
    %s::text[], %s::integer[], %s::bigint[], %s::json[], %s::text[], %s::text[],
    %s::text[], %s::double precision[], %s::timestamptz[], %s::timestamptz[],
    %s::bigint[]
) AS n
ON CONFLICT (region, agent_id) DO UPDATE
SET generation = excluded.generation,
    version = excluded.version,
    descriptor = excluded.descriptor,
    location = excluded.location,
    owner = excluded.owner,
    status = excluded.status,
    health_score = excluded.health_score,
    registered_at = excluded.registered_at,
    changed_at = excluded.changed_at,
    last_heartbeat_ms = excluded.last_heartbeat_ms

-- name: left
DELETE FROM orch.agent_copy
WHERE region = %s AND agent_id = ANY(%s)
RETURNING agent_id, is_contested

-- name: left_behind
-- Who was copied before the peer was restored, and is not there any more.
DELETE FROM orch.agent_copy
WHERE region = %s AND generation < %s
RETURNING agent_id, is_contested

-- name: append
-- An event about a region, whose row is locked; a crash leaves both or neither.
WITH done AS (
    SELECT a.version
    FROM orch.region AS r, es.append_one(
        'regions-' || r.region, r.version, %(event_id)s, %(type)s, 1,
        NULL, %(causation)s, %(actor)s, %(metadata)s, %(data)s
    ) AS a
    WHERE r.region = %(region)s
)
UPDATE orch.region AS r
SET version = done.version
FROM done
WHERE r.region = %(region)s
RETURNING r.version

-- name: lock_standing
SELECT
    version, standing, extract(epoch FROM clock_timestamp() - reached_at)::float8
FROM orch.region
WHERE region = %s
FOR UPDATE

-- name: stand
UPDATE orch.region SET standing = %s WHERE region = %s

-- name: contests
-- Ids that are, or are no longer, those of an agent of ours as well.
SELECT c.agent_id, c.registered_at, a.registered_at
FROM orch.agent_copy AS c
LEFT JOIN orch.agent AS a USING (agent_id)
WHERE c.region = %s AND c.is_contested <> (a.agent_id IS NOT NULL)
ORDER BY c.agent_id
LIMIT %s

-- name: contest
UPDATE orch.agent_copy SET is_contested = %s WHERE region = %s AND agent_id = %s

-- name: to_show
-- Ids under which something else is to be shown than is: the copy that came first, as
-- much as its region is worth. While a region is read from the beginning, what is shown
-- of it stays.
WITH best AS (
    SELECT DISTINCT ON (c.agent_id)
        c.agent_id, c.region, c.generation, c.version, r.reached_at,
        CASE
            WHEN r.standing = 'LOST' THEN 'INACTIVE'
            WHEN r.standing = 'STALE' AND c.status = 'ACTIVE' THEN 'DEGRADED'
            ELSE c.status
        END AS status
    FROM orch.agent_copy AS c
    JOIN orch.region AS r USING (region)
    WHERE NOT r.is_building
        AND NOT EXISTS (SELECT FROM orch.agent AS a WHERE a.agent_id = c.agent_id)
    ORDER BY c.agent_id, c.registered_at, c.region COLLATE "C"
), differing AS (
    SELECT
        coalesce(b.agent_id, x.agent_id) AS agent_id, b.region, b.status, b.reached_at,
        x.region AS before
    FROM best AS b
    FULL JOIN orch.agent_shown AS x USING (agent_id)
    WHERE (b.region, b.generation, b.version, b.status)
        IS DISTINCT FROM (x.region, x.generation, x.copy_version, x.status)
        AND NOT EXISTS (
            SELECT FROM orch.region AS r WHERE r.region = x.region AND r.is_building
        )
    ORDER BY 1
    LIMIT %s
)
SELECT
    c.descriptor, c.location, c.owner, d.status, c.health_score, c.registered_at,
    c.changed_at, c.last_heartbeat_ms, '{}'::jsonb, c.version, d.region, d.reached_at, d.agent_id,
    d.before, orch.agent_version(d.agent_id)
FROM differing AS d
LEFT JOIN orch.agent_copy AS c ON c.region = d.region AND c.agent_id = d.agent_id
ORDER BY d.agent_id

-- name: show
SELECT orch.region_show(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: gone_regions
SELECT region FROM orch.region WHERE NOT region = ANY(%s) FOR UPDATE SKIP LOCKED

-- name: forget_copies
DELETE FROM orch.agent_copy WHERE region = ANY(%s)

-- name: forget_region
DELETE FROM orch.region AS r
WHERE r.region = ANY(%s)
    AND NOT EXISTS (SELECT FROM orch.agent_shown AS x WHERE x.region = r.region)

-- name: overview
SELECT
    r.region, r.cursor, r.is_building, r.fault,
    extract(epoch FROM clock_timestamp() - r.reached_at)::float8,
    (SELECT count(*) FROM orch.agent_copy AS c WHERE c.region = r.region),
    (SELECT count(*) FROM orch.agent_shown AS x WHERE x.region = r.region)
FROM orch.region AS r
ORDER BY r.region

-- name: claims
-- Every id that is that of more than one region's agent, and since when it is each's.
WITH claims AS (
    SELECT c.agent_id, c.region, c.registered_at FROM orch.agent_copy AS c
    UNION ALL
    SELECT a.agent_id, %s, a.registered_at
    FROM orch.agent AS a
    WHERE EXISTS (SELECT FROM orch.agent_copy AS c WHERE c.agent_id = a.agent_id)
)
SELECT agent_id, region, registered_at
FROM claims
WHERE agent_id IN (SELECT o.agent_id FROM claims AS o GROUP BY 1 HAVING count(*) > 1)
ORDER BY agent_id, region
