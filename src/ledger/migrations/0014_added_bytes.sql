-- Bytes that backups added are summed whenever the ledger is read: from an index alone, like the other counters.
CREATE INDEX runs_added ON runs (operation, source, kind, added_bytes);
