-- +goose Up

-- Where each trip stands. What the rider sees of it is the event numbered version.
CREATE TABLE trips (
    id           text        PRIMARY KEY,
    version      bigint      NOT NULL CHECK (version > 0),
    state        text        NOT NULL CHECK (state IN
                             ('requested', 'reserved', 'arrived', 'on_trip', 'completed', 'expired', 'cancelled')),
    rider        text        NOT NULL,
    driver       text        CHECK (driver <> ''),
    region       text        NOT NULL,
    requested_at timestamptz NOT NULL,
    ended_at     timestamptz,
    charged      boolean     NOT NULL DEFAULT false,
    CHECK (state IN ('requested', 'expired', 'cancelled') OR driver IS NOT NULL)
);
-- The two promises no lock in a process can give: at most one active trip per driver and per rider.
CREATE UNIQUE INDEX trips_one_per_driver ON trips (driver)
    WHERE state IN ('requested', 'reserved', 'arrived', 'on_trip');
CREATE UNIQUE INDEX trips_one_per_rider ON trips (rider)
    WHERE state IN ('requested', 'reserved', 'arrived', 'on_trip');
CREATE INDEX trips_open ON trips (requested_at, id) WHERE state = 'requested';
CREATE INDEX trips_uncharged ON trips (ended_at, id) WHERE state = 'completed' AND NOT charged;
CREATE INDEX trips_of_rider ON trips (rider, requested_at DESC, id DESC);
CREATE INDEX trips_of_driver ON trips (driver, requested_at DESC, id DESC) WHERE driver IS NOT NULL;

-- Every move of every trip. n is drawn after the guarded write of the trip, and so after every wait for a unique index:
-- events that depend on each other are in the order of n. No foreign key: the statement that writes an event has just
-- written its trip, and the check would be one more lookup and lock per move.
CREATE TABLE trip_events (
    trip_id text   NOT NULL,
    seq     bigint NOT NULL CHECK (seq > 0),
    n       bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    kind    text   NOT NULL,
    payload json   NOT NULL, -- the event with the trip after it; json keeps it as it was written
    PRIMARY KEY (trip_id, seq)
);

-- What each command id led to, so that a command sent twice has one effect.
CREATE TABLE commands (
    actor_role text   NOT NULL,
    actor_id   text   NOT NULL,
    id         text   NOT NULL,
    print      text   NOT NULL,
    trip_id    text   NOT NULL,
    seq        bigint NOT NULL,
    PRIMARY KEY (actor_role, actor_id, id)
);

-- What was committed and must still be told. Order by (xid, id) and read only below the oldest running transaction:
-- ids alone are drawn before the commit and become visible out of order.
CREATE TABLE outbox (
    xid     xid8        NOT NULL DEFAULT pg_current_xact_id(),
    id      bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    topic   text        NOT NULL,
    region  text        NOT NULL,
    kind    text        NOT NULL,
    trip_id text        NOT NULL,
    payload json        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (xid, id)
);

-- One row: how far the outbox was told, and who may tell it until when, by this server's clock.
CREATE TABLE relay (
    singleton  boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    cursor_xid xid8        NOT NULL DEFAULT '0',
    cursor_id  bigint      NOT NULL DEFAULT 0,
    holder     text        NOT NULL DEFAULT '',
    expires_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO relay DEFAULT VALUES;

CREATE TABLE chat (
    trip_id   text        NOT NULL REFERENCES trips,
    seq       bigint      NOT NULL CHECK (seq > 0),
    from_role text        NOT NULL,
    from_id   text        NOT NULL,
    client_id text        NOT NULL,
    text      text        NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (trip_id, seq),
    UNIQUE (trip_id, from_role, from_id, client_id)
);

CREATE TABLE charges (
    trip_id     text        PRIMARY KEY REFERENCES trips,
    rider       text        NOT NULL,
    reference   text        NOT NULL UNIQUE,
    minor       bigint      NOT NULL,
    currency    text        NOT NULL,
    provider_id text        NOT NULL,
    at          timestamptz NOT NULL
);
CREATE INDEX charges_of_rider ON charges (rider, at DESC, trip_id DESC);

-- +goose Down
DROP TABLE charges, chat, relay, outbox, commands, trip_events, trips;
