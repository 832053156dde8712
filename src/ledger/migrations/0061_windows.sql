-- As-of time with which the restore window begins that a point is part of: from then on any moment up to it can be restored. NULL where
-- the point cannot be restored.
ALTER TABLE points ADD COLUMN window_from BIGINT;

-- A drill that stopped within an increment verifies no point: whether it did is read from an index alone.
CREATE INDEX runs_by_point_time ON runs (source, recovery_point, operation, outcome, ended_revision, recovery_point_time);
