-- name: record
-- Record facts of a swarm that shares out partitions; see the function.
SELECT * FROM orch.partition_record(
    %s, %s::uuid[], %s::text[], %s::bytea[], %s::uuid, %s::uuid, %s, %s, %s, %s
)

-- name: open
-- Swarms of this kind that are not over, the oldest first.
SELECT swarm_id FROM orch.open_swarm WHERE kind = %s ORDER BY started_at LIMIT %s

-- name: head
-- The hash of a swarm's last event.
SELECT encode(head, 'hex') FROM es.streams WHERE name = 'swarm-' || %s

-- name: results
-- What came of partitions, in the order in which they were done.
SELECT e.data
FROM es.streams AS s
JOIN es.events AS e USING (stream_id)
WHERE s.name = 'swarm-' || %s AND e.type = 'PARTITION_COMMITTED'
ORDER BY e.version
