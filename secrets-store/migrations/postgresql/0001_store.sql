-- The store itself: one row. `store_key` is age ciphertext for the recipients;
-- `recipients_tag` authenticates the list of recipients under that key.
-- Times are Unix seconds, so that every database keeps them alike.
CREATE TABLE store (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    id TEXT NOT NULL,
    store_key BYTEA NOT NULL,
    recipients_tag BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE recipients (
    public_key TEXT NOT NULL PRIMARY KEY,
    added_at BIGINT NOT NULL
);

CREATE TABLE secrets (
    name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    retained_by TEXT,
    retained_at BIGINT,
    CHECK ((retained_by IS NULL) = (retained_at IS NULL))
);

-- One row a value. `ciphertext` repeats name, generation and id, authenticated.
CREATE TABLE generations (
    name TEXT NOT NULL REFERENCES secrets (name) ON DELETE CASCADE,
    generation BIGINT NOT NULL CHECK (generation BETWEEN 1 AND 4294967295),
    id TEXT NOT NULL UNIQUE,
    ciphertext BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (name, generation)
);
