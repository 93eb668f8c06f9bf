-- Which public key of the store came after which: with each change of the
-- recipients the store gets another key, and the old one signs it. Who knows one of
-- them can follow to the key that is there now.
CREATE TABLE succession (
    new_key BLOB NOT NULL PRIMARY KEY,
    old_key BLOB NOT NULL,
    signature BLOB NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
