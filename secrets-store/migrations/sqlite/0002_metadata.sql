-- What stands beside the values is authenticated too (`tag`), a value can have a
-- public part, a rotation can be asked for, and who did what is recorded.
ALTER TABLE secrets ADD COLUMN rotation_by TEXT;
ALTER TABLE secrets ADD COLUMN rotation_at INTEGER;
-- Empty only until the program has computed it, in the transaction of this file.
ALTER TABLE secrets ADD COLUMN tag BLOB NOT NULL DEFAULT x'';

ALTER TABLE generations ADD COLUMN public_part TEXT;

CREATE TABLE audit (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    done_at INTEGER NOT NULL,
    -- user@host, and the deployment for which it was done.
    person TEXT NOT NULL,
    owner TEXT,
    action TEXT NOT NULL,
    name TEXT,
    generation INTEGER,
    detail TEXT
) STRICT;

CREATE INDEX audit_name ON audit (name);
