#!/usr/bin/env bash
# Makes the fixtures of the tests in before_test.go with an earlier build of the
# program. The old node lets people ride, its payment provider goes away so that
# jobs pile up, its relay loses the lease so that the outbox fills, and it is
# killed. The answers are what it says over HTTP when it is started again.
# Usage: make.sh OLD_PROGRAM FOLDER sqlite
#    or: ci/with-services make.sh OLD_PROGRAM FOLDER postgres
# The fixtures beside it are of commit 4c2e35e.
set -euo pipefail
old=$1 out=$2 kind=$3
work=$(mktemp -d)
trap 'kill -9 $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
base=127.0.0.1:18431 admin=127.0.0.1:18432 provider=127.0.0.1:18433
redis=${RIDEHAIL_TEST_REDIS:-}
if [ "$kind" = sqlite ]; then db=$work/ridehail.db url='' yes=1 topics=4; else db=$RIDEHAIL_TEST_POSTGRES url=$redis yes=t topics=3; fi
cli() { redis-cli -u "$redis" "$@"; }
query() {
  if [ "$kind" = postgres ]; then psql -Atqc "$1" "$db"; else python3 -c '
import sqlite3, sys
print("\n".join("|".join(map(str, r)) for r in sqlite3.connect(sys.argv[1], 5, isolation_level=None).execute(sys.argv[2])))' "$db" "$1"; fi
}
node() {
  "$old" serve --name old-node --dev-tokens --listen $base --admin $admin --database "$db" --redis "$url" --speed 40 "$@" &
  node=$!
  until curl -sf http://$base/readyz >/dev/null; do sleep 0.1; done
}

"$old" payments --listen $provider --webhook http://$base/v1/payments/webhook & pay=$!
node --provider http://$provider
"$old" drivers --server http://$base --speed 40 --count 6 --prefix old-driver --sos 0.6 & cars=$!
"$old" riders --server http://$base --speed 40 --count 8 --prefix old-rider --per-minute 1 --sos 0.6 & people=$!
until [ -n "$(query "SELECT trip_id FROM charges LIMIT 1")" ]; do sleep 0.2; done
sleep 3
post() { curl -sfS -X POST -H 'Content-Type: application/json' "$@"; }
post http://$admin/admin/revocations -d '{"role":"rider","id":"old-rider-revoked"}'
alert=$(query "SELECT id FROM alerts LIMIT 1")
post http://$admin/ops/alerts/"$alert"/ack >/dev/null
trip=$(query "SELECT trip_id FROM charges LIMIT 1")
"$old" refund --trip "$trip" --reason "completed by mistake" --database "$db" --provider http://$provider
if [ "$kind" = postgres ]; then cli XADD ridehail:settlements '*' id no-such-trip payload '{}'; fi
if [ "$kind" = postgres ]; then kill -9 $pay; else kill -STOP $pay; fi
until [ "$(query "SELECT count(*) FROM trips t LEFT JOIN charges c ON c.trip_id = t.id
  WHERE state = 'completed' AND c.trip_id IS NULL")" -gt 0 ]; do sleep 0.2; done

if [ "$kind" = postgres ]; then # keep the relay from its row, or take its lease
  query "BEGIN; SELECT * FROM relay FOR UPDATE; SELECT pg_sleep(60)" >/dev/null &
else
  query "UPDATE relay SET holder = 'another', expires_at = 9e15"
  kill -CONT $pay
  until [ "$(query "SELECT count(*) FROM outbox WHERE topic = 'receipt'")" -gt 0 ]; do sleep 0.1; done
  kill -9 $pay
fi
is_rich() { # there are trips in three active states, and news of every kind that were not told
  [ "$(query "SELECT count(DISTINCT state) > 2 AND (SELECT count(DISTINCT topic) = $topics FROM outbox)
    FROM trips WHERE state IN ('requested', 'reserved', 'on_trip')")" = $yes ]
}
until is_rich; do sleep 0.1; done
kill -9 $node $cars $people
if [ "$kind" = sqlite ]; then query "UPDATE relay SET holder = 'old-node', expires_at = 0"; fi

mkdir -p "$out"
if [ "$kind" = postgres ]; then
  pg_dump --inserts --no-owner "$db" | grep -v '^\\' | gzip -9n >"$out/postgres.sql.gz"
  python3 - "$redis" <<'P' | gzip -9n >"$out/redis.json.gz"
import base64, json, subprocess, sys
ask = lambda *a: subprocess.run(["redis-cli", "-u", sys.argv[1], *a], capture_output=True, check=True).stdout
print(json.dumps({k: base64.b64encode(ask("DUMP", k)[:-1]).decode() for k in ask("KEYS", "ridehail:*").decode().split()}, indent=1))
P
else
  query "PRAGMA wal_checkpoint(TRUNCATE)"
  gzip -9n <"$db" >"$out/sqlite.db.gz"
fi

node
python3 - http://$base http://$admin <<'P' | gzip -9n >"$out/$kind.json.gz"
import json, sys, urllib.request
def get(url, token="", body=None):
    r = urllib.request.Request(url, body and json.dumps(body).encode(), {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(r))
public, admin = sys.argv[1:]
answers = {}
for role, n in ("rider", 8), ("driver", 6):
    for i in range(n + 1):
        who = f"old-{role}-{i:04}"
        token = get(public + "/v1/dev/tokens", body={"role": role, "id": who})["token"]
        def keep(path, part):
            got = get(public + path, token)
            if got[part]: answers[f"{role} {who} {path}"] = got
            return got[part]
        for t in keep("/v1/trips?before=9999999999999", "trips"): keep("/v1/trips/" + t["id"] + "/chat", "messages")
        if role == "rider": keep("/v1/receipts", "receipts")
answers["operator /ops/alerts"] = get(admin + "/ops/alerts")
print(json.dumps(answers, indent=1))
P
