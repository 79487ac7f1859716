-- +goose Up

-- Calls for help; see Postgres for what the columns say.
CREATE TABLE alerts (
    id        TEXT    NOT NULL PRIMARY KEY,
    trip_id   TEXT    NOT NULL REFERENCES trips (id),
    from_role TEXT    NOT NULL,
    from_id   TEXT    NOT NULL,
    client_id TEXT    NOT NULL,
    text      TEXT    NOT NULL,
    car_lng   REAL,
    car_lat   REAL,
    car_at    INTEGER,
    at        INTEGER NOT NULL,
    raised_at INTEGER,
    acked_at  INTEGER,
    UNIQUE (from_role, from_id, client_id),
    CHECK ((car_at IS NULL) = (car_lng IS NULL) AND (car_at IS NULL) = (car_lat IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX alerts_open ON alerts (at DESC, id DESC) WHERE acked_at IS NULL;
CREATE INDEX alerts_of_trip ON alerts (trip_id, at, id);

-- +goose Down
DROP TABLE alerts;
