-- +goose Up

-- The lease and the cursor of the outbox by shard, as in Postgres. A file has one node and so one shard.
CREATE TABLE relay_shards (
    shard      INTEGER NOT NULL PRIMARY KEY,
    cursor_id  INTEGER NOT NULL,
    holder     TEXT    NOT NULL DEFAULT '',
    expires_at INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO relay_shards (shard, cursor_id) SELECT 0, cursor_id FROM relay;
DROP TABLE relay;

-- +goose Down
CREATE TABLE relay (
    singleton  INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (singleton = 1),
    cursor_id  INTEGER NOT NULL DEFAULT 0,
    holder     TEXT    NOT NULL DEFAULT '',
    expires_at INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO relay (cursor_id) SELECT cursor_id FROM relay_shards;
DROP TABLE relay_shards;
