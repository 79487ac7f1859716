-- +goose Up

-- What was given back of a charge, once per trip; see Postgres for why it is kept like this.
CREATE TABLE refunds (
    trip_id     TEXT    NOT NULL PRIMARY KEY REFERENCES charges (trip_id),
    reference   TEXT    NOT NULL UNIQUE,
    minor       INTEGER NOT NULL,
    currency    TEXT    NOT NULL,
    reason      TEXT    NOT NULL CHECK (reason <> ''),
    state       TEXT    NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'done', 'failed')),
    provider_id TEXT    NOT NULL DEFAULT '',
    asked_at    INTEGER NOT NULL,
    ended_at    INTEGER,
    CHECK ((state = 'asked') = (ended_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX refunds_open ON refunds (asked_at, trip_id) WHERE state = 'asked';

-- +goose Down
DROP TABLE refunds;
