-- From when until when the configuration of the service had a source: ended_at is when it was found to be gone. A source that
-- went and came back has two rows.
CREATE TABLE configured (
    source   VARCHAR(190) NOT NULL,
    revision BIGINT       NOT NULL,
    began_at BIGINT       NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (source, revision)
);
