-- When the newest canary was written that a recovery point has itself. NULL where it has none.
ALTER TABLE points ADD COLUMN canary_at BIGINT;
