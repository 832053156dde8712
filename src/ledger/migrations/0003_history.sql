-- When this ledger began, one row: counters count from then, and drills before it are unknown.
CREATE TABLE ledger_origin (
    created_at BIGINT NOT NULL
);

-- A ledger that is older than this table began when it first heard of a source; a new one is dated when it is opened.
INSERT INTO ledger_origin (created_at) SELECT MIN(created_at) FROM sources HAVING COUNT(*) > 0;

-- Revision of the last change of what the history of promises is made from: points, drills, promises.
ALTER TABLE sources ADD COLUMN facts_revision BIGINT NOT NULL DEFAULT 0;

-- Every recovery point that was ever listed and from when until when it could be restored. One that vanished and came
-- back has two rows. Kept after the point is gone, because whether a promise was kept is asked of the past.
CREATE TABLE point_lifetimes (
    source        VARCHAR(190) NOT NULL,
    id            VARCHAR(190) NOT NULL,
    seen_revision BIGINT       NOT NULL,
    as_of         BIGINT       NOT NULL,
    finished      BIGINT       NOT NULL,
    chain_length  BIGINT       NOT NULL,
    available_at  BIGINT       NOT NULL,
    first_seen    BIGINT       NOT NULL,
    gone_at       BIGINT,
    gone_revision BIGINT,
    PRIMARY KEY (source, id, seen_revision)
);

CREATE INDEX point_lifetimes_by_end ON point_lifetimes (source, gone_at);

INSERT INTO point_lifetimes (source, id, seen_revision, as_of, finished, chain_length, available_at, first_seen)
    SELECT source, id, 0, as_of, finished, chain_length, finished, finished FROM points;

-- What was promised from when on. Appended to when it changes.
CREATE TABLE promises (
    source           VARCHAR(190)     NOT NULL,
    revision         BIGINT           NOT NULL,
    since            BIGINT           NOT NULL,
    rpo              BIGINT           NOT NULL,
    rto              BIGINT           NOT NULL,
    retention        BIGINT           NOT NULL,
    drill_interval   BIGINT           NOT NULL,
    max_chain_length BIGINT           NOT NULL,
    objective_ratio  DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (source, revision)
);

-- Scheduled runs that did not begin: `missed` occurrences from first_at to last_at.
CREATE TABLE missed_runs (
    source      VARCHAR(190) NOT NULL,
    operation   VARCHAR(16)  NOT NULL,
    kind        VARCHAR(16)  NOT NULL,
    first_at    BIGINT       NOT NULL,
    last_at     BIGINT       NOT NULL,
    missed      BIGINT       NOT NULL,
    reason      TEXT         NOT NULL,
    recorded_at BIGINT       NOT NULL,
    PRIMARY KEY (source, operation, kind, first_at)
);

-- Where a run's backup is: a source may move to another repository.
ALTER TABLE runs ADD COLUMN repository VARCHAR(190) NOT NULL DEFAULT '';

UPDATE runs SET repository = COALESCE((SELECT s.repository FROM sources s WHERE s.name = runs.source), '');
