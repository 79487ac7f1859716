-- +goose Up

-- Calls for help. raised_at says that a node told the operators, acked_at that one of them answered.
CREATE TABLE alerts (
    id        text        PRIMARY KEY,
    trip_id   text        NOT NULL REFERENCES trips,
    from_role text        NOT NULL,
    from_id   text        NOT NULL,
    client_id text        NOT NULL,
    text      text        NOT NULL,
    car_lng   double precision,
    car_lat   double precision,
    car_at    timestamptz,
    at        timestamptz NOT NULL,
    raised_at timestamptz,
    acked_at  timestamptz,
    UNIQUE (from_role, from_id, client_id),
    CHECK ((car_at IS NULL) = (car_lng IS NULL) AND (car_at IS NULL) = (car_lat IS NULL))
);
CREATE INDEX alerts_open ON alerts (at DESC, id DESC) WHERE acked_at IS NULL;
CREATE INDEX alerts_of_trip ON alerts (trip_id, at, id);

-- +goose Down
DROP TABLE alerts;
