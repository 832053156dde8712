-- Pages that were raised to prove that pages arrive, and when the one who got one said so.
CREATE TABLE test_pages (
    revision     BIGINT NOT NULL,
    code         BIGINT NOT NULL,
    raised_at    BIGINT NOT NULL,
    ends_at      BIGINT NOT NULL,
    confirmed_at BIGINT,
    PRIMARY KEY (revision)
);
