-- From here on points, vanished marks and identities of repositories are sealed, too. A version that does not know these
-- seals must not open the ledger: it would call them a forgery.
CREATE INDEX point_lifetimes_gone_early ON point_lifetimes (gone_early, source);
