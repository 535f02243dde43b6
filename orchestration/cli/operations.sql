-- name: ticks
-- How old the newest slot of each schedule is, seconds; periods come from the caller.
SELECT t.name, extract(epoch FROM clock_timestamp())::double precision - t.slot * p.period_s
FROM unnest(%s::text[], %s::double precision[]) AS p (name, period_s)
JOIN orch.tick AS t USING (name)

-- name: server
SELECT current_setting('server_version'), clock_timestamp()

-- name: letters_left
-- Undos that are not tried again by themselves: how many, since when, and one saga.
SELECT count(*), min(d.since), min(d.saga_id)
FROM orch.dead_letter AS d
JOIN orch.open_saga AS o USING (saga_id)
WHERE d.next_try_at IS NULL AND o.state = 'COMPENSATION_FAILED'

-- name: notices_left
-- Words that were not taken at once: how many, and since when.
SELECT count(*), min(recorded_at)
FROM orch.notice
WHERE tries > 1 OR recorded_at < clock_timestamp() - interval '2 min'

-- name: schedules_in_error
-- Schedules whose last start was refused, and why.
SELECT name, last_error FROM orch.schedule WHERE last_error IS NOT NULL ORDER BY name

-- name: registered
-- How many agents are registered, and since when the first of them, seconds.
SELECT count(*), extract(epoch FROM clock_timestamp() - min(registered_at))::double precision
FROM orch.agent
