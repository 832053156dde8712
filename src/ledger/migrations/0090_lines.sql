-- What a restore of an increment works through, its full and what is replayed, and the latter alone, in bytes. NULL for a full, and where
-- it cannot be restored. Not sealed: a listing puts right what was changed here.
ALTER TABLE points ADD COLUMN line_bytes BIGINT;
ALTER TABLE points ADD COLUMN replay_bytes BIGINT;

-- Since when an increment that is listed cannot be restored: what it continues is not there any more. NULL as long as it can.
ALTER TABLE point_lifetimes ADD COLUMN unrestorable_at BIGINT;
