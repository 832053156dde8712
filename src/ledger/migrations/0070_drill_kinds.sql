-- From here on `kind` of a drill says what was drilled: `closed_chain`, `random`, `oldest`, `named`; empty is the newest recovery point, as
-- before. A version that does not know these must not read them. What the newest proof of a chain was is asked whenever the ledger is
-- read: from an index alone.
CREATE INDEX runs_by_kind ON runs (operation, kind, outcome, source, recovery_point_time);
