-- What was done to repositories beside backups: `maintain` removes what is beyond its retention, `check` reads what is stored.
CREATE TABLE upkeep (
    id             VARCHAR(26)  NOT NULL,
    repository     VARCHAR(190) NOT NULL,
    operation      VARCHAR(16)  NOT NULL,
    outcome        VARCHAR(16)  NOT NULL,
    reason         TEXT         NOT NULL,
    hint           TEXT,
    started_at     BIGINT       NOT NULL,
    ended_at       BIGINT       NOT NULL,
    removed_points BIGINT       NOT NULL,
    freed_bytes    BIGINT       NOT NULL,
    read_bytes     BIGINT       NOT NULL,
    revision       BIGINT       NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (revision)
);

CREATE INDEX upkeep_by_repository ON upkeep (repository, operation, revision);

-- When each part of a repository's data was last read whole, and whether it was sound.
CREATE TABLE repository_parts (
    repository VARCHAR(190) NOT NULL,
    part       BIGINT       NOT NULL,
    read_at    BIGINT       NOT NULL,
    sound      SMALLINT     NOT NULL,
    PRIMARY KEY (repository, part)
);
