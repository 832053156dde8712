-- Times are microseconds since 1970-01-01 UTC, durations seconds, sizes bytes, truth values 0 or 1.
-- Only types and statements that SQLite, PostgreSQL and MySQL share.

-- One row. Every write increments it: the order of events does not depend on a clock that may jump,
-- and a reader can tell whether anything changed without reading everything.
CREATE TABLE ledger_revision (
    revision BIGINT NOT NULL
);

INSERT INTO ledger_revision (revision) VALUES (0);

CREATE TABLE sources (
    name       VARCHAR(190) NOT NULL,
    kind       VARCHAR(32)  NOT NULL,
    repository VARCHAR(190) NOT NULL,
    created_at BIGINT       NOT NULL,
    PRIMARY KEY (name)
);

-- What the repository listed when it was last read. Never the truth about what is stored: the repository is.
CREATE TABLE points (
    source        VARCHAR(190) NOT NULL,
    id            VARCHAR(190) NOT NULL,
    kind          VARCHAR(16)  NOT NULL,
    as_of         BIGINT       NOT NULL,
    finished      BIGINT       NOT NULL,
    chain_length  BIGINT       NOT NULL,
    logical_bytes BIGINT       NOT NULL,
    stored_bytes  BIGINT       NOT NULL,
    row_count     BIGINT       NOT NULL,
    PRIMARY KEY (source, id)
);

CREATE INDEX points_as_of ON points (source, as_of);

CREATE TABLE runs (
    id                  VARCHAR(26)  NOT NULL,
    source              VARCHAR(190) NOT NULL,
    operation           VARCHAR(16)  NOT NULL,
    kind                VARCHAR(16)  NOT NULL,
    outcome             VARCHAR(16)  NOT NULL,
    reason              TEXT         NOT NULL,
    hint                TEXT,
    process             VARCHAR(100) NOT NULL,
    started_at          BIGINT       NOT NULL,
    ended_at            BIGINT,
    begun_revision      BIGINT       NOT NULL,
    ended_revision      BIGINT,
    recovery_point      VARCHAR(190),
    recovery_point_time BIGINT,
    duration_seconds    DOUBLE PRECISION,
    rto_seconds         DOUBLE PRECISION,
    over_rto            SMALLINT     NOT NULL,
    logical_bytes       BIGINT       NOT NULL,
    added_bytes         BIGINT       NOT NULL,
    row_count           BIGINT       NOT NULL,
    chain_length        BIGINT       NOT NULL,
    check_count         BIGINT       NOT NULL,
    mismatch_count      BIGINT       NOT NULL,
    verified_rows       BIGINT       NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (begun_revision),
    UNIQUE (ended_revision)
);

CREATE INDEX runs_counters ON runs (source, operation, kind, outcome, started_at, ended_revision, over_rto, rto_seconds);
CREATE INDEX runs_by_begin ON runs (source, operation, begun_revision);
CREATE INDEX runs_by_point ON runs (source, recovery_point, operation, outcome, ended_revision);
CREATE INDEX runs_by_end ON runs (operation, outcome, ended_at, source, rto_seconds);
CREATE INDEX runs_by_outcome ON runs (outcome, source, operation);

CREATE TABLE run_stages (
    run_id   VARCHAR(26)      NOT NULL,
    position BIGINT           NOT NULL,
    name     VARCHAR(64)      NOT NULL,
    seconds  DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (run_id, position),
    FOREIGN KEY (run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE TABLE run_checks (
    run_id   VARCHAR(26) NOT NULL,
    position BIGINT      NOT NULL,
    name     TEXT        NOT NULL,
    expected TEXT        NOT NULL,
    actual   TEXT        NOT NULL,
    ok       SMALLINT    NOT NULL,
    PRIMARY KEY (run_id, position),
    FOREIGN KEY (run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE TABLE run_tables (
    run_id        VARCHAR(26) NOT NULL,
    position      BIGINT      NOT NULL,
    name          TEXT        NOT NULL,
    rows_expected BIGINT      NOT NULL,
    rows_restored BIGINT      NOT NULL,
    digest_ok     SMALLINT    NOT NULL,
    PRIMARY KEY (run_id, position),
    FOREIGN KEY (run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE TABLE run_details (
    run_id   VARCHAR(26) NOT NULL,
    position BIGINT      NOT NULL,
    name     TEXT        NOT NULL,
    content  TEXT        NOT NULL,
    PRIMARY KEY (run_id, position),
    FOREIGN KEY (run_id) REFERENCES runs (id) ON DELETE CASCADE
);
