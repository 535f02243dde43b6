-- name: ticks
-- How old the newest slot of each schedule is, seconds; periods come from the caller.
SELECT t.name, extract(epoch FROM clock_timestamp())::double precision - t.slot * p.period_s
FROM unnest(%s::text[], %s::double precision[]) AS p (name, period_s)
JOIN orch.tick AS t USING (name)

-- name: server
SELECT current_setting('server_version'), clock_timestamp()
