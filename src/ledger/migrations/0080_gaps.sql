-- Stretches between two moments that can be restored, of which no moment can be, and since when and until when each was there.
CREATE TABLE gaps (
    source        VARCHAR(190) NOT NULL,
    begins        BIGINT       NOT NULL,
    ends          BIGINT       NOT NULL,
    seen_revision BIGINT       NOT NULL,
    since_at      BIGINT       NOT NULL,
    gone_at       BIGINT,
    PRIMARY KEY (source, begins, ends, seen_revision)
);
-- From here on gaps and breaks of chains are sealed, too.
