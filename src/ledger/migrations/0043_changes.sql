-- What was found when a backup was compared with those before it, and when somebody said that the change was meant.
CREATE TABLE changes (
    source         VARCHAR(190) NOT NULL,
    recovery_point VARCHAR(190) NOT NULL,
    revision       BIGINT       NOT NULL,
    as_of          BIGINT       NOT NULL,
    judged_at      BIGINT       NOT NULL,
    state          VARCHAR(16)  NOT NULL,
    found          TEXT         NOT NULL,
    accepted_at    BIGINT,
    PRIMARY KEY (source, recovery_point)
);

CREATE INDEX changes_by_revision ON changes (source, revision);
