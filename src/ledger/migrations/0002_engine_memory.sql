-- What engines remember of a source between backups. Losing it only costs them time.
CREATE TABLE engine_memory (
    source  VARCHAR(190) NOT NULL,
    name    VARCHAR(400) NOT NULL,
    content TEXT         NOT NULL,
    PRIMARY KEY (source, name)
);
