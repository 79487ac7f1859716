import { test } from 'node:test';
import assert from 'node:assert/strict';
import { money, distance, duration, countdown, clock, ago } from '../app/format.js';
import { readTrip, riderID, newID, API } from '../app/api.js';

test('figures in words', () => {
  assert.equal(money({ minor: 185_000, currency: 'NGN' }), '₦1,850');
  assert.equal(money({ minor: 185_005, currency: 'USD' }), '$1,850.05');
  assert.equal(money({ minor: 700, currency: 'XOF' }), 'XOF 7');
  assert.equal(money(null), '');
  assert.deepEqual([4, 444, 1234, 23_456].map(distance), ['10 m', '440 m', '1.2 km', '23 km']);
  assert.deepEqual([20, 240, 4000].map(duration), ['under 1 min', '4 min', '1 h 7 min']);
  assert.deepEqual([-4, 33, 89, 200].map(countdown), ['5 s', '35 s', '90 s', '3 min']);
  assert.deepEqual([-1, 0, 59.2, 118].map(clock), ['0:00', '0:00', '1:00', '1:58']);
  assert.deepEqual([12.4, 200].map(ago), ['12 s ago', '3 min ago']);
});

test('a trip without the zeros that protobuf JSON leaves out', () => {
  const t = readTrip({ id: 't', state: 'requested', pickup: { lng: 3 }, dropoff: {} });
  assert.deepEqual([t.version, t.driver, t.metres, t.fare, t.straight], [0, '', 0, null, false]);
  assert.deepEqual([t.pickup, t.dropoff], [{ lng: 3, lat: 0 }, { lng: 0, lat: 0 }]);
});

test('this browser stays the same rider', () => {
  const kept = new Map();
  const storage = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v) };
  const id = riderID(storage);
  assert.match(id, /^rider-web-[\w-]{12}$/);
  assert.equal(riderID(storage), id);
  assert.notEqual(newID('a'), newID('a'));
});

test('a refusal comes in the words of the problem, and an ended token is renewed once', async () => {
  const asked = [];
  globalThis.fetch = async (url, { headers }) => {
    asked.push([url, headers.Authorization ?? '']);
    if (url === '/v1/dev/tokens') return new Response('{"token":"fresh"}');
    if (headers.Authorization !== 'Bearer fresh') return new Response('{"code":"unauthorized"}', { status: 401 });
    return new Response('{"title":"Outside","detail":"We do not serve this place yet.","code":"outside_city"}', { status: 422 });
  };
  const api = new API('r1');
  api.token = 'ended';
  await assert.rejects(api.quote({}, {}), { code: 'outside_city', status: 422, message: 'We do not serve this place yet.' });
  assert.deepEqual(asked.map(([url]) => url), ['/v1/quotes', '/v1/dev/tokens', '/v1/quotes']);
  globalThis.fetch = async () => { throw new TypeError('offline'); };
  await assert.rejects(api.plan(), { code: 'unreachable' });
});

test('a quote says what it costs more and until when it holds; a node that knows no surge is calm', async () => {
  const now = Date.now();
  globalThis.fetch = async (url) => (url === '/v1/surge' ? new Response('{"code":"no_such_endpoint"}', { status: 404 })
    : new Response(JSON.stringify({ fare: { minor: 1, currency: 'NGN' }, quote: 'q', surge: 1.4, expires_at: new Date(now + 60_000).toISOString() })));
  const api = new API('r1');
  const quote = await api.quote({}, {});
  assert.deepEqual([quote.token, quote.surge, quote.endsMs], ['q', 1.4, now + 60_000]);
  assert.deepEqual((await api.surge()).features, []);
  globalThis.fetch = async () => new Response('{"distance_m":5}');
  const plain = await api.quote({}, {});
  assert.deepEqual([plain.token, plain.surge, plain.endsMs], ['', 1, 0]);
});
