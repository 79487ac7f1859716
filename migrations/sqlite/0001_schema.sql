-- +goose Up

-- Times are whole microseconds since 1970, UTC. The tables are those of Postgres; see there for why.

-- Where each trip stands. What the rider sees of it is the event numbered version.
CREATE TABLE trips (
    id           TEXT    NOT NULL PRIMARY KEY,
    version      INTEGER NOT NULL CHECK (version > 0),
    state        TEXT    NOT NULL CHECK (state IN
                         ('requested', 'reserved', 'arrived', 'on_trip', 'completed', 'expired', 'cancelled')),
    rider        TEXT    NOT NULL,
    driver       TEXT    CHECK (driver <> ''),
    region       TEXT    NOT NULL,
    requested_at INTEGER NOT NULL,
    ended_at     INTEGER,
    charged      INTEGER NOT NULL DEFAULT 0 CHECK (charged IN (0, 1)),
    CHECK (state IN ('requested', 'expired', 'cancelled') OR driver IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX trips_one_per_driver ON trips (driver)
    WHERE state IN ('requested', 'reserved', 'arrived', 'on_trip');
CREATE UNIQUE INDEX trips_one_per_rider ON trips (rider)
    WHERE state IN ('requested', 'reserved', 'arrived', 'on_trip');
CREATE INDEX trips_open ON trips (requested_at, id) WHERE state = 'requested';
CREATE INDEX trips_uncharged ON trips (ended_at, id) WHERE state = 'completed' AND charged = 0;
CREATE INDEX trips_of_rider ON trips (rider, requested_at DESC, id DESC);
CREATE INDEX trips_of_driver ON trips (driver, requested_at DESC, id DESC) WHERE driver IS NOT NULL;

-- Every move of every trip, in the order of commits by n.
CREATE TABLE trip_events (
    n       INTEGER PRIMARY KEY,
    trip_id TEXT    NOT NULL REFERENCES trips (id),
    seq     INTEGER NOT NULL CHECK (seq > 0),
    kind    TEXT    NOT NULL,
    payload TEXT    NOT NULL, -- the event, with the trip after it, as JSON
    UNIQUE (trip_id, seq)
) STRICT;

-- What each command id led to, so that a command sent twice has one effect.
CREATE TABLE commands (
    actor_role TEXT    NOT NULL,
    actor_id   TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    print      TEXT    NOT NULL,
    trip_id    TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    PRIMARY KEY (actor_role, actor_id, id)
) STRICT, WITHOUT ROWID;

-- What was committed and must still be told. AUTOINCREMENT, because told rows are deleted and without it the ids of the
-- last ones would be given out again, below the cursor.
CREATE TABLE outbox (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    topic   TEXT    NOT NULL,
    region  TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    trip_id TEXT    NOT NULL,
    payload TEXT    NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

-- One row: how far the outbox was told, and who may tell it until when.
CREATE TABLE relay (
    singleton  INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (singleton = 1),
    cursor_id  INTEGER NOT NULL DEFAULT 0,
    holder     TEXT    NOT NULL DEFAULT '',
    expires_at INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO relay DEFAULT VALUES;

CREATE TABLE chat (
    trip_id   TEXT    NOT NULL REFERENCES trips (id),
    seq       INTEGER NOT NULL CHECK (seq > 0),
    from_role TEXT    NOT NULL,
    from_id   TEXT    NOT NULL,
    client_id TEXT    NOT NULL,
    text      TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (trip_id, seq),
    UNIQUE (trip_id, from_role, from_id, client_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE charges (
    trip_id     TEXT    NOT NULL PRIMARY KEY REFERENCES trips (id),
    rider       TEXT    NOT NULL,
    reference   TEXT    NOT NULL UNIQUE,
    minor       INTEGER NOT NULL,
    currency    TEXT    NOT NULL,
    provider_id TEXT    NOT NULL,
    at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX charges_of_rider ON charges (rider, at DESC, trip_id DESC);

-- +goose Down
DROP TABLE charges;
DROP TABLE chat;
DROP TABLE relay;
DROP TABLE outbox;
DROP TABLE commands;
DROP TABLE trip_events;
DROP TABLE trips;
