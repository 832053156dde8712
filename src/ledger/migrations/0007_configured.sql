-- From when until when the configuration of the service had a source (`work` is empty), and asked for its works at the times of
-- a schedule: ended_at is when that was found to be over. What went and came back has two rows.
CREATE TABLE configured (
    source   VARCHAR(190) NOT NULL,
    revision BIGINT       NOT NULL,
    work     VARCHAR(32)  NOT NULL,
    schedule VARCHAR(190) NOT NULL,
    zone     VARCHAR(64)  NOT NULL,
    jitter   BIGINT       NOT NULL,
    began_at BIGINT       NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (source, revision)
);
