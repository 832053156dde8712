-- What was written, in the order in which it was written: one entry per record and change, each bound to the one before.
-- Nothing here is ever changed or removed. docs/report.md says how the digests are made.
CREATE TABLE seals (
    position  BIGINT        NOT NULL,
    subject   VARCHAR(16)   NOT NULL,
    name      VARCHAR(700)  NOT NULL,
    content   VARCHAR(64)   NOT NULL,
    state     VARCHAR(1000) NOT NULL,
    sealed_at BIGINT        NOT NULL,
    seal      VARCHAR(64)   NOT NULL,
    PRIMARY KEY (position)
);

CREATE INDEX seals_by_name ON seals (subject, name, position);

-- One row, written once: how many of the first entries are of records that were there before there were seals.
CREATE TABLE seal_origin (
    adopted BIGINT NOT NULL
);
