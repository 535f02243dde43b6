-- The sequencer: gives every committed event its place in es.log.
SET LOCAL ROLE es_owner;

-- Number what has been committed since the last tick; returns how many events.
--
-- Call it so, each statement by itself:
--     BEGIN ISOLATION LEVEL REPEATABLE READ;
--     LOCK TABLE es.sequencer IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
--     SELECT es.tick();
--     COMMIT;
-- The lock comes before the snapshot, so no tick sees a `prev` older than the
-- last one. An event is new if the last tick's snapshot did not see its
-- transaction; whatever commits later is found by a later tick, however long
-- its transaction stayed open. Only such a difference is safe: serial positions
-- become visible out of order, and xmin stalls behind any open transaction.
--
-- After a restore into another cluster the stored ids mean nothing there: that
-- tick numbers whatever the log lacks, and until the new cluster has used up the
-- old ids every tick also asks the log.
CREATE FUNCTION es.tick() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now pg_snapshot := pg_current_snapshot();
    v_cluster bigint := (SELECT c.system_identifier FROM pg_control_system() AS c);
    v_state es.sequencer;
    v_from xid8;
    v_below xid8;
    v_count bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'repeatable read' THEN
        RAISE EXCEPTION 'es.tick() needs a REPEATABLE READ transaction, not %',
            current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state',
                  HINT = 'Use EventStore.sequence().';
    END IF;
    SELECT * INTO STRICT v_state FROM es.sequencer FOR UPDATE; -- fails if outdated
    v_below := pg_snapshot_xmax(v_now);
    IF v_state.system_identifier <> v_cluster THEN
        v_state.prev := '1:1:';
        v_state.foreign_tx_max := (SELECT e.tx FROM es.events AS e ORDER BY e.tx DESC LIMIT 1);
        v_below := '18446744073709551615'; -- old ids may lie beyond today's
    ELSIF v_state.foreign_tx_max < pg_snapshot_xmin(v_state.prev) THEN
        v_state.foreign_tx_max := NULL;
    END IF;
    v_from := pg_snapshot_xmin(v_state.prev);
    INSERT INTO es.log (seq, position, category, leaf)
    SELECT
        v_state.next_seq - 1 + row_number() OVER (ORDER BY n.position),
        n.position,
        s.category,
        sha256('\x00'::bytea || n.hash)
    FROM (
        SELECT e.position, e.stream_id, e.hash
        FROM es.events AS e
        WHERE e.tx >= v_from AND e.tx < v_below
          AND NOT pg_visible_in_snapshot(e.tx, v_state.prev)
          AND (
              v_state.foreign_tx_max IS NULL
              OR NOT EXISTS (SELECT FROM es.log AS l WHERE l.position = e.position)
          )
    ) AS n
    JOIN es.streams AS s USING (stream_id);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    UPDATE es.sequencer
    SET prev = v_now,
        next_seq = v_state.next_seq + v_count,
        system_identifier = v_cluster,
        foreign_tx_max = v_state.foreign_tx_max,
        ticked_at = clock_timestamp();
    RETURN v_count;
END
$$;

RESET ROLE;
