-- Record facts of a swarm that shares out partitions, each of them once, whatever else
-- has been recorded meanwhile; nothing of it if the swarm is over or has no row. Statuses
-- by fact: ok; duplicate (it is on record); conflict (another fact of that id is: the
-- partition is done, the attempt settled, or the tick told already).
-- p_iteration and p_convergence, if they are given, go into the swarm's row.
CREATE FUNCTION orch.partition_record(
    p_swarm text,
    p_event_ids uuid[],
    p_types text[],
    p_data bytea[],
    p_correlation uuid,
    p_causation uuid,
    p_actor text,
    p_metadata bytea,
    p_iteration bigint,
    p_convergence double precision
) RETURNS TABLE (status text, version bigint, recorded_at timestamptz, db_now timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    v_done record;
    i integer;
BEGIN
    FOR i IN 1 .. cardinality(p_event_ids) LOOP
        SELECT a.status, a.version, a.recorded_at INTO v_done
        FROM es.append_one(
            'swarm-' || p_swarm, -2, p_event_ids[i], p_types[i], 1,
            p_correlation, p_causation, p_actor, p_metadata, p_data[i]
        ) AS a;
        RETURN QUERY SELECT
            CASE v_done.status WHEN 'id_conflict' THEN 'conflict' ELSE v_done.status END,
            v_done.version::bigint, v_done.recorded_at, clock_timestamp();
    END LOOP;
    -- The stream's head is locked by now: an end is either committed or yet to come.
    IF p_iteration IS NULL THEN
        PERFORM FROM orch.open_swarm AS o WHERE o.swarm_id = p_swarm;
    ELSE
        UPDATE orch.open_swarm AS o
        SET iteration = greatest(o.iteration, p_iteration),
            convergence = greatest(o.convergence, p_convergence),
            moved_at = clock_timestamp(),
            waiting_for = NULL
        WHERE o.swarm_id = p_swarm;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'swarm % is over, or has no row', p_swarm USING ERRCODE = 'OR003';
    END IF;
END
$$;
