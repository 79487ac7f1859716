-- +goose Up

-- What was given back of a charge, once per trip. A row is written before the provider is asked, so that whoever comes
-- after a crash goes on asking; the amount is copied from the charge, so that it can never be more.
CREATE TABLE refunds (
    trip_id     text        PRIMARY KEY REFERENCES charges,
    reference   text        NOT NULL UNIQUE,
    minor       bigint      NOT NULL,
    currency    text        NOT NULL,
    reason      text        NOT NULL CHECK (reason <> ''),
    state       text        NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'done', 'failed')),
    provider_id text        NOT NULL DEFAULT '',
    asked_at    timestamptz NOT NULL,
    ended_at    timestamptz,
    CHECK ((state = 'asked') = (ended_at IS NULL))
);
CREATE INDEX refunds_open ON refunds (asked_at, trip_id) WHERE state = 'asked';

-- +goose Down
DROP TABLE refunds;
