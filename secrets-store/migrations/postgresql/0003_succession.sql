-- Which public key of the store came after which: with each change of the
-- recipients the store gets another key, and the old one signs it. Who knows one of
-- them can follow to the key that is there now.
CREATE TABLE succession (
    new_key BYTEA NOT NULL PRIMARY KEY,
    old_key BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    changed_at BIGINT NOT NULL
);
