-- +goose Up

-- The outbox in shards by region, so that many nodes relay it, each some shards; trips.ShardOf knows the same rule. A node
-- of an earlier build that still runs goes on to insert without naming the column.
ALTER TABLE outbox ADD COLUMN shard integer NOT NULL GENERATED ALWAYS AS (get_byte(decode(md5(region), 'hex'), 15) % 16) STORED;
CREATE INDEX outbox_shard ON outbox (shard, xid, id);

-- One row per shard: how far it was told, and who may tell it until when, by this server's clock. A holder that is empty
-- has let go, and until expires_at the shard waits for the node that it let go for. The rows are written every second.
CREATE TABLE relay_shards (
    shard      integer     PRIMARY KEY,
    cursor_xid xid8        NOT NULL,
    cursor_id  bigint      NOT NULL,
    holder     text        NOT NULL DEFAULT '',
    expires_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO relay_shards (shard, cursor_xid, cursor_id)
SELECT n, cursor_xid, cursor_id FROM relay, generate_series(0, 15) AS n;

-- The row of relay is what nodes of earlier builds work by. Those of this build hold it together, as 'shards', and leave
-- its cursor alone: a row that waits is never behind it.

-- +goose Down
DROP TABLE relay_shards;
DROP INDEX outbox_shard;
ALTER TABLE outbox DROP COLUMN shard;
