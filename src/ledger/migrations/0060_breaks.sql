-- Moments at which a source did not continue its newest backup: what lies between that and the next full one is lost.
CREATE TABLE chain_breaks (
    id         VARCHAR(26)  NOT NULL,
    source     VARCHAR(190) NOT NULL,
    kind       VARCHAR(32)  NOT NULL,
    detail     TEXT         NOT NULL,
    parent     VARCHAR(64)  NOT NULL,
    lost_since BIGINT       NOT NULL,
    found_at   BIGINT       NOT NULL,
    revision   BIGINT       NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (revision)
);

CREATE INDEX chain_breaks_by_source ON chain_breaks (source, revision);
