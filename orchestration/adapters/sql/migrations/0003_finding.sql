-- Lists of sagas, newest first, by what operators ask for. The columns never change, so
-- that updates of an open saga's row touch no index of these.

CREATE INDEX open_saga_started_at ON orch.open_saga (started_at, saga_id);
CREATE INDEX ended_saga_started_at ON orch.ended_saga (started_at, saga_id);
CREATE INDEX ended_saga_name ON orch.ended_saga (name, started_at, saga_id);

-- The few that were undone, among the many that were completed.
CREATE INDEX ended_saga_undone ON orch.ended_saga (started_at, saga_id)
WHERE state <> 'COMPLETED';
