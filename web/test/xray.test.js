import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { foldsOf, makeAxis, niceStep, segmentsOf } from '../xray/app/axis.js';
import { bytes, count, duration, figure, percent, place, tickTime } from '../xray/app/format.js';
import { histogram, indent, piecesOf } from '../xray/app/frame.js';
import { answerTo, fittingPicks, groupPhases, hopBeside, hopNumbered, isFolded, medianHop, noFilter, notableHop, numberOf, opensByItself, readRide, rideOfMedian, rowsOf, sharesOf, smallBars } from '../xray/app/model.js';
import { hopWords, wayOf } from '../xray/app/texts.js';
import { readAddress, writeAddress } from '../xray/app/address.js';

const hop = (name, began_us, duration_us, more = {}) => ({ name, mechanism: 'socket', from: 'gateway', to: 'store', began_us, duration_us, own_us: duration_us, doubt_us: 0, sync: false, expected: true, seen: true, wait: 'network', what: '', ...more });
const phase = (name, duration_us, hops, more = {}) => ({ name, nth: 0, began_at: 0, duration_us, unknown_us: 0, gap_us: 0, hops, ...more });
const thinking = () => phase('offer', 3_400_300, [hop('offer_sent', 0, 140), hop('offer_written', 150, 130), hop('offer_thought', 280, 3_400_000, { wait: 'people', mechanism: 'person' }), hop('offer_ended', 3_400_280, 20)]);
const closed = { isOpen: () => false, filter: noFilter() };

test('times and sizes are short, and never round to a unit they are not in', () => {
  assert.deepEqual([0.4, 7, 9.94, 484, 999.4, 999.6, 1120, 38_600, 365_000, 3.4e6, 41.2e6, 59.96e6, 125e6, NaN, -12].map(duration),
    ['0.4 µs', '7 µs', '9.9 µs', '484 µs', '999 µs', '1.00 ms', '1.12 ms', '38.6 ms', '365 ms', '3.4 s', '41.2 s', '1 min 0 s', '2 min 5 s', '–', '−12 µs']);
  assert.deepEqual([2000, 2500, 100_000, 5e6, 10e6, 250].map(tickTime), ['2 ms', '2.5 ms', '100 ms', '5 s', '10 s', '250 µs']);
  assert.deepEqual([undefined, 0, 63, 1420, 12_000, 2.5e6].map(bytes), ['', '', '63 B', '1.4 kB', '12 kB', '2.5 MB']);
  assert.deepEqual([0.92, 0.03, 0.016, 0.004, 0.0001, 0].map(percent), ['92 %', '3 %', '1.6 %', '0.4 %', '<0.1 %', '0 %']);
  assert.deepEqual(figure(52), { number: '52', unit: 'µs' });
  assert.deepEqual([count(1, 'hop'), count(2120, 'hop')], ['1 hop', '2,120 hops']);
  assert.deepEqual([place('6.451234, 3.38'), place('Ketuma')], ['6.45, 3.38', 'Ketuma']);
});

test('each moment of a phase belongs to the hop that began last, or to none', () => {
  const p = phase('quote', 100, [hop('quote_read', 0, 80), hop('route_call', 20, 30), hop('surge_read', 50, 10)]);
  assert.deepEqual(segmentsOf(p).map((s) => [s.from, s.to, s.hop?.name ?? null]), [[0, 20, 'quote_read'], [20, 50, 'route_call'], [50, 60, 'surge_read'], [60, 80, 'quote_read'], [80, 100, null]]);
});

test('a person who thinks is folded, work never is', () => {
  const p = thinking();
  assert.deepEqual(foldsOf(p).map((s) => s.hop.name), ['offer_thought']);
  assert.deepEqual(foldsOf(phase('charge', 38_600, [hop('provider_call', 0, 38_600)])), []);
  assert.deepEqual(foldsOf(phase('quote', 100_000, [hop('quote_read', 0, 100), hop('quote_written', 99_900, 100)])).map((s) => s.hop), [null], 'so is a time that no hop explains');
  const axis = makeAxis(p, 392, { fold: 92 });
  assert.equal(axis.place(0), 0);
  assert.equal(Math.round(axis.place(280)), Math.round((280 / 300) * 300), 'before the fold one scale');
  assert.equal(Math.round(axis.place(3_400_280) - axis.place(280)), 92);
  assert.equal(Math.round(axis.place(3_400_300)), 392, 'and all of it fits');
  assert.ok(axis.ticks.every((t) => t.us <= 280 || t.us >= 3_400_280), 'no tick lies in the fold');
  const only = makeAxis(phase('match', 5000, [hop('window_wait', 0, 5000, { wait: 'queue' })]), 300);
  assert.equal(Math.round(only.place(5000)), 300, 'a phase that is one fold has its whole width');
  assert.ok(Number.isFinite(makeAxis(phase('quote', 0, []), 300).place(0)));
});

test('ticks are round and do not crowd', () => {
  assert.deepEqual([0.9, 3, 12, 110, 260].map(niceStep), [1, 5, 20, 200, 500]);
  const { ticks } = makeAxis(phase('accept', 824, [hop('statement', 0, 824)]), 400);
  assert.deepEqual(ticks.map((t) => t.us), [0, 250, 500, 750]);
});

test('positions are one row, of which one is picked, and offers are not', () => {
  const positions = [1, 2, 3].map((nth) => phase('position', nth === 2 ? 300 : 100, [hop('fix_sent', 0, 100)], { nth }));
  const phases = [phase('offer', 10, [hop('offer_sent', 0, 10)], { nth: 1 }), phase('offer', 10, [hop('offer_sent', 0, 10)], { nth: 2 }), ...positions];
  const groups = groupPhases(phases);
  assert.deepEqual(groups.map((g) => [g.id, g.members.length, g.picked]), [['offer-1', 1, 0], ['offer-2', 1, 0], ['position', 3, 1]], 'the slowest is shown first');
  assert.equal(groupPhases(phases, new Map([['position', 3]]))[2].phase.nth, 3);
  const many = Array.from({ length: 5 }, (_, i) => phase('offer', 10, [hop('offer_sent', 0, 10)], { nth: i + 1 }));
  assert.equal(groupPhases(many).length, 1, 'five alike are one row');
  many[2].hops[0].failed = true;
  assert.deepEqual(groupPhases(many).map((g) => g.members.length), [4, 1], 'one that failed has another shape');
});

test('a phase opens when it is unusual, misses a hop or holds the selected one', () => {
  const usual = { trips: 100, phases: [{ name: 'accept', duration_us: 800, hops: [] }] };
  const p = (us, more) => phase('accept', us, [hop('statement', 0, us, more)]);
  assert.equal(opensByItself(p(820), usual, null), false);
  assert.equal(opensByItself(p(1001), usual, null), true);
  assert.equal(opensByItself(p(1001), { ...usual, trips: 19 }, null), false, 'a median of a few says nothing');
  assert.equal(opensByItself(p(820, { seen: false }), usual, null), true);
  assert.equal(opensByItself(p(820, { failed: true }), usual, null), true);
  const selected = p(820);
  assert.equal(opensByItself(selected, usual, selected.hops[0]), true);
});

test('a filter opens the phases that have such hops and leaves out the others', () => {
  const ride = readRide({ trip: 't', phases: [phase('quote', 300, [hop('route_call', 0, 250, { sync: true }), hop('surge_read', 250, 9)]), phase('request', 9, [hop('frame_read', 0, 9)], { gap_us: 5, gap_wait: 'queue' })] });
  const rows = (filter) => rowsOf(groupPhases(ride.phases), { ...closed, filter: { ...noFilter(), ...filter } }).map((r) => (r.kind === 'hop' ? r.hop.name : r.group.phase.name));
  assert.deepEqual(rows({}), ['quote', 'request']);
  assert.deepEqual(rows({ slow: true }), ['quote', 'route_call']);
  assert.deepEqual(rows({ waits: true }), ['quote', 'route_call']);
  assert.deepEqual(rows({ wait: 'queue' }), ['request'], 'the time after a phase counts as well');
  assert.deepEqual(rows({ unseen: true }), []);
});

test('a filter shows that one of many positions which has such a hop', () => {
  const missed = { seen: false }, positions = [9, 5, 3].map((us, i) => phase('position', us, [hop('position_acked', 0, us, i === 2 ? missed : {})], { nth: i + 1 })), groups = groupPhases(positions);
  assert.deepEqual([...fittingPicks(groups, { ...noFilter(), unseen: true })], [['position', 3]]);
  assert.deepEqual([...fittingPicks(groups, { ...noFilter(), wait: 'network' })], [], 'the shown one fits');
  assert.deepEqual([...fittingPicks(groups, noFilter())], []);
});

test('the hop to begin with is the slowest against its median', () => {
  const ride = readRide({ trip: 't', phases: [phase('accept', 5000, [hop('frame_read', 0, 200), hop('statement', 200, 4000), hop('outbox_wait', 4200, 800, { wait: 'queue' })])] });
  const median = { trips: 100, phases: [{ name: 'accept', duration_us: 4000, hops: [{ name: 'frame_read', from: 'gateway', to: 'store', duration_us: 50 }, { name: 'statement', from: 'gateway', to: 'store', duration_us: 3900 }] }] };
  assert.equal(notableHop(ride, median).name, 'frame_read');
  assert.equal(notableHop(ride, null).name, 'statement', 'without a median the one that took longest');
  assert.equal(notableHop(readRide({ trip: 't' }), null), null);
  assert.equal(hopNumbered(ride, numberOf(ride, ride.phases[0].hops[1])).name, 'statement');
  assert.equal(hopNumbered(ride, 99), null);
});

test('an event that goes to both phones is compared with its own kind', () => {
  const toRider = hop('event_written', 0, 10, { to: 'rider_phone' }), toDriver = hop('event_written', 0, 20, { to: 'driver_phone' }), p = phase('accept', 20, [toRider, toDriver]);
  const median = { trips: 50, phases: [{ name: 'accept', duration_us: 1, hops: [{ name: 'event_written', from: 'gateway', to: 'driver_phone', duration_us: 2 }, { name: 'event_written', from: 'gateway', to: 'rider_phone', duration_us: 1 }] }] };
  assert.deepEqual([medianHop(median, p, toRider).duration_us, medianHop(median, p, toDriver).duration_us], [1, 2]);
  assert.equal(hopBeside(rideOfMedian(median).phases[0], p, toDriver).duration_us, 2);
  assert.equal(answerTo(phase('x', 9, [hop('frame_read', 0, 5), hop('ack_written', 6, 1, { from: 'store', to: 'gateway' })]), hop('frame_read', 0, 5)).name, 'ack_written');
});

test('what is not the largest share is drawn again, and unknown stays unknown', () => {
  const { largest, rest, restShare, whole } = sharesOf(readRide({ waited_us: { people: 92, queue: 3, network: 2, disk: 1.6, unknown: 1, code: 0.4 } }));
  assert.equal(largest.wait, 'people');
  assert.deepEqual(rest.map((s) => s.wait), ['queue', 'network', 'disk', 'unknown', 'code']);
  assert.equal(Math.round(whole), 100);
  assert.equal(restShare.toFixed(2), '0.08');
  assert.deepEqual(sharesOf(readRide({ waited_us: { network: 5, disk: 5 } })).rest, [], 'two halves need no glass');
  assert.deepEqual(sharesOf(readRide({})).all, []);
});

test('bars too small to be told apart become one with their number', () => {
  const p = phase('request', 10_000, [hop('statement', 0, 9990), ...[9990, 9992, 9994, 9996].map((at) => hop('x', at, 2))]);
  assert.deepEqual(smallBars(p, makeAxis(p, 400).place).map((b) => b.count), [1, 4]);
});

test('frames are indented, cut into pieces, and nothing of them is lost', () => {
  const json = indent('{"position":{"n":14,"point":{"lng":3.382,"lat":6.451},"driver_id":"a \\"b\\" <i>","fresh":true}}');
  assert.ok(json.includes('"point": {"lng":3.382, "lat":6.451}'), json);
  assert.equal(piecesOf(json).map((p) => p.words).join(''), json);
  assert.deepEqual(piecesOf('{"a": 1.5, "b": "x", "c": null}').filter((p) => p.kind).map((p) => p.kind), ['key', 'number', 'key', 'string', 'key', 'word']);
  assert.equal(indent('{"cut": "in the mid…'), '{"cut": "in the mid…');
  assert.equal(histogram([1], 1), null);
  const h = histogram(Array.from({ length: 100 }, (_, i) => i), 99, 10);
  assert.deepEqual([h.here, h.median, h.size, h.counts.reduce((a, b) => a + b)], [9, 50, 100, 100]);
});

test('an address names a trip and a hop', () => {
  assert.deepEqual(readAddress('?trip=abc&hop=14'), { trip: 'abc', hop: 14 });
  assert.deepEqual(readAddress('?hop=-2'), { trip: '', hop: 0 });
  assert.equal(writeAddress('a b', 3), '/xray?trip=a+b&hop=3');
});

test('a ride of an older node lacks lists and is still shown', () => {
  const ride = readRide({ trip: 't', phases: [{ name: 'quote', hops: null }] });
  assert.deepEqual([ride.nodes, ride.phases[0].hops, ride.waited_us], [[], [], {}]);
  assert.deepEqual(rowsOf(groupPhases(ride.phases), closed).length, 1);
});

test('every kind of hop that a node records has words', () => {
  const kinds = [...readFileSync(new URL('../../tracing/hops.go', import.meta.url), 'utf8').matchAll(/define\(Kind\{Name: "(\w+)"/g)].map((m) => m[1]);
  assert.ok(kinds.length > 40, kinds.join());
  assert.deepEqual(kinds.filter((k) => k !== 'ride' && !Object.hasOwn(hopWords, k)), []); // the ride is the root, and no hop
});

test('a node has its name where the hop says which it is', () => {
  const way = (/** @type {any} */ h) => wayOf({ from: 'redis', to: 'node', ...h });
  assert.equal(way({ name: 'heard', node: 'demo' }), 'Redis → Node demo');
  assert.equal(way({ name: 'heard', node: 'node-2' }), 'Redis → Node 2');
  assert.equal(way({ name: 'heard' }), 'Redis → Node');
  assert.equal(way({ name: 'budget_wait', from: 'node', node: 'node' }), 'Node node');
  assert.equal(way({ name: 'look_around', from: 'dispatch', node: 'demo' }), 'Dispatch → Other node', 'the one that recorded it is not the one that was asked');
});

test('a time between phases under a millisecond only counts', () => {
  assert.deepEqual([0, 28, 999, 1000].map((us) => isFolded(phase('match', 5, [], { gap_us: us }))), [false, false, false, true]);
});
