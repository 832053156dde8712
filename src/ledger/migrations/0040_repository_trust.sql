-- The repository that is meant by a name of the configuration: its own id, as it was at the first look or as it was accepted.
CREATE TABLE repositories (
    name       VARCHAR(190) NOT NULL,
    identity   VARCHAR(190) NOT NULL,
    adopted_at BIGINT       NOT NULL,
    PRIMARY KEY (name)
);

-- Whether the point went away before the end of the retention that was promised then, and not on purpose.
ALTER TABLE point_lifetimes ADD COLUMN gone_early BIGINT NOT NULL DEFAULT 0;

-- Whether the order in which the backups were published says that this one was dated by a wrong clock.
ALTER TABLE points ADD COLUMN suspect BIGINT NOT NULL DEFAULT 0;
