import { test } from 'node:test';
import assert from 'node:assert/strict';
import { isOfTheMap, levelThenOblique, offsetLine, pathLength, pointAt, textWidth } from '../xray/app/linemap-geometry.js';
import { placesFor, wideFrom } from '../xray/app/linemap-places.js';
import { hasCross, homeName, missingFrom, partName, rateFigure, rateWords, readerRows, spanWords, stationsAway, timesWords, waitingWords } from '../xray/app/linemap-figures.js';
import { DotTraffic, pileFor } from '../xray/app/linemap-dots.js';

const widths = [320, 360, 390, 700, 820, 1100, wideFrom, 1280, 1440, 1920, 2560];

test('a line is level or at 45 degrees and joins its two stations, at every width', () => {
  for (const width of widths) {
    const places = placesFor(width);
    assert.equal(places.lines.length, 14);
    for (const line of places.lines) {
      assert.ok(isOfTheMap(line.points), `${width}: ${line.id} ${line.points}`);
      for (const [part, [x, y]] of [[line.from, line.points[0]], [line.to, line.points.at(-1)]]) {
        const s = places.stations[part];
        assert.ok(Math.abs(x - s.x) <= s.w / 2 + 1 && Math.abs(y - s.y) <= s.h / 2 + 1, `${width}: ${line.id} does not end in ${part}`);
      }
      if (!places.isTall) assert.ok(line.points.slice(1).every(([x], i) => x !== line.points[i][0]), `${line.id} has an upright piece`);
      const onLine = Array.from({ length: 400 }, (_, i) => pointAt(line.points, (i / 399) * pathLength(line.points)));
      assert.ok(onLine.some(([x, y]) => Math.hypot(x - line.disc[0], y - line.disc[1]) < 2.5), `${width}: the disc of ${line.id} is beside it`);
    }
  }
});

const boxOf = (place, words, size) => {
  const w = textWidth(words, size), left = place.x - (place.anchor === 'end' ? w : place.anchor === 'middle' ? w / 2 : 0);
  return { words, left, right: left + w, top: place.y - size * 0.72, bottom: place.y + 2 };
};

test('no words lie upon other words or leave the map', () => {
  for (const width of [360, 390, 820, 1200, 1440, 1920]) {
    const places = placesFor(width), boxes = [];
    for (const [part, s] of Object.entries(places.stations)) boxes.push(boxOf(s.label, partName(part, null), 13));
    for (const line of places.lines) {
      const rate = boxOf(line.rate, '62/s', 12.5);
      boxes.push(rate);
      if (line.times && places.hasTimes) boxes.push(boxOf(line.times, '38 / 61 ms', 11.5));
    }
    for (const box of boxes) assert.ok(box.left >= 0 && box.right <= width && box.bottom <= places.height, `${width}: ${box.words} is cut off`);
    for (const [i, a] of boxes.entries()) for (const b of boxes.slice(i + 1)) {
      const over = Math.min(a.right, b.right) - Math.max(a.left, b.left), under = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      assert.ok(over <= 1 || under <= 1, `${width}: ${a.words} and ${b.words} at ${Math.round(a.left)},${Math.round(a.bottom)}`);
    }
  }
});

test('points, lengths and lines beside a line', () => {
  const bent = levelThenOblique([0, 0], [100, 30], 20);
  assert.deepEqual(bent, [[0, 0], [20, 0], [50, 30], [100, 30]]);
  assert.deepEqual(levelThenOblique([0, 0], [50, 30], 20), [[0, 0], [20, 0], [50, 30]]);
  assert.equal(Math.round(pathLength(bent)), 112);
  assert.deepEqual([pointAt(bent, -5), pointAt(bent, 10), pointAt(bent, 1000)], [[0, 0], [10, 0], [100, 30]]);
  const beside = offsetLine(bent, 5);
  for (const [x, y] of beside) assert.ok(Math.min(...Array.from({ length: 1200 }, (_, i) => pointAt(bent, i / 10)).map((p) => Math.hypot(p[0] - x, p[1] - y))) < 5.6);
  assert.deepEqual([beside[0], beside.at(-1)], [[0, 5], [100, 35]]);
});

const line = (id, more = {}) => {
  const [ends, mechanism] = id.split(':'), [from, to] = ends.split('-');
  return { id, from, to, mechanism, rate_hz: 62, was_hz: 62, p50_us: 310, p99_us: 590, state: 'ok', ...more };
};
const live = (more = {}) => ({ at_ms: 0, node: 'node-1', nodes: ['node-1', 'node-2'], lines: [], stations: [], dots: [], ledger: [], faults: [], ...more });

test('figures are short, and a broken line says so in words', () => {
  assert.deepEqual([0, 0.04, 0.42, 6, 6.25, 62.4, 2000, NaN].map(rateFigure), ['0', '0.04', '0.4', '6', '6.3', '62', '2,000', '0']);
  const words = (more) => rateWords(line('a-b:rpc', more)).words;
  assert.deepEqual([words({}), words({ state: 'held', rate_hz: 6 }), words({ state: 'held', rate_hz: 0 }), words({ state: 'held', rate_hz: 0, was_hz: 0 }), words({ state: 'cut', rate_hz: 0 })],
    ['62/s', '6/s, held', 'held, was 62/s', 'held', '0/s, was 62/s']);
  assert.deepEqual(rateWords(line('a-b:rpc', { state: 'idle', rate_hz: 0 })), { words: '0/s', short: '0/s', isBroken: false }, 'a line without traffic is calm');
  const times = (p50_us, p99_us) => timesWords(line('a-b:rpc', { p50_us, p99_us }));
  assert.deepEqual([times(52, 140), times(400, 1100), times(38_000, 61_000), times(1234, 2_500_000), times(0, 0)], ['52 / 140 µs', '400 µs / 1.1 ms', '38 / 61 ms', '1.2 ms / 2.5 s', '']);
  assert.deepEqual([waitingWords({ part: 'outbox', waiting: 1214, unit: 'rows' }), waitingWords({ part: 'queue', waiting: 1, unit: 'jobs' }), waitingWords({ part: 'queue', waiting: 0, unit: 'jobs' })],
    ['1,214 rows wait', '1 job waits', '']);
  assert.deepEqual([12_300, 75_000, 700_000, 8_000_000].map(spanWords), ['12 s', '1 min 15 s', '11 min', '2 h']);
});

test('the other node is named, counted, or not there', () => {
  const named = (nodes) => partName('node', live({ nodes }));
  assert.deepEqual([named(['node-1']), named(['node-1', 'node-2']), named(['node-1', 'a', 'b']), named(['node-1', '0190f7c2-0000-7000-8000-000000000001']), partName('node', null)],
    ['no other node', 'Node 2', '2 other nodes', 'Other node', 'Other node']);
  assert.deepEqual([homeName(live()), homeName(live({ node: '0190f7c2-0000-7000-8000-000000000001' }))], ['Node 1', 'This node']);
});

test('a broken line carries a cross, or the station that it begins at does', () => {
  const event = live({ faults: [{ id: 'redis_away', name: 'Cut Redis', station: 'redis', on: true, possible: true }, { id: 'drop', name: 'Drop', station: 'driver_phone', on: true, possible: true }] });
  const away = stationsAway(event);
  assert.deepEqual([...away], ['redis'], 'a phone whose messages are dropped is still there');
  assert.ok(hasCross(line('outbox-redis:pubsub', { state: 'held' }), away) && !hasCross(line('redis-node:pubsub', { state: 'cut' }), away));
  assert.ok(!hasCross(line('gateway-memory:memory'), away) && !hasCross(line('gateway-memory:memory', { state: 'idle' }), away));
});

test('the readers’ table says what the map shows, and the ledger what does not add up', () => {
  const [row] = readerRows(live({ lines: [line('outbox-redis:pubsub', { state: 'held' })] }));
  assert.deepEqual(row, { id: 'outbox-redis:pubsub', line: 'Outbox, relay to Redis', mechanism: 'pub/sub', rate: '62/s, held', times: '310 / 590 µs', state: 'held: messages wait' });
  const account = { mechanism: 'socket', class: 'events', sent: 20, delivered: 12, recovered: 3, repeated: 1, overwritten: 1, lost: 1, waiting: 2 };
  assert.deepEqual([missingFrom(account), missingFrom({ ...account, sent: 25 }), missingFrom({ ...account, waiting: 4 })], [0, 5, -2]);
});

const track = { id: 'outbox-redis:pubsub', begin: 10, end: 410, cross: 300 };
const traffic = () => {
  const t = new DotTraffic();
  t.setTracks([track]);
  return t;
};
const dot = (ago_ms, trip = 't') => ({ line: track.id, trip, name: 'publish', ago_ms });
const places = (t) => t.visible().map((d) => Math.round(d.at));
const event = (state, dots, waiting = 0) => live({ lines: [line(track.id, { state })], dots, stations: [{ part: 'outbox', waiting, unit: 'rows' }] });

test('each message moves once along its line, as far from the next as it was', () => {
  const t = traffic();
  t.take(event('ok', [dot(200), dot(700)]));
  assert.deepEqual(places(t), [], 'the first left 300 ms after the last event');
  t.step(400);
  assert.deepEqual(places(t), [10 + 20]);
  t.step(600);
  assert.deepEqual(places(t), [10 + 140, 10 + 40]);
  t.take(event('ok', []));
  for (let i = 0; i < 20; i++) t.step(100);
  assert.deepEqual(places(t), []);
  assert.equal(t.step(100), false, 'and no frame is asked for when nothing moves');
});

test('messages that came together stay apart, and there are never too many', () => {
  const t = traffic();
  t.take(event('ok', Array.from({ length: 500 }, (_, i) => dot(i * 2))));
  assert.ok(t.dots.get(track.id).length <= 9);
  for (let i = 0; i < 1000; i++) t.step(1);
  const gaps = places(t).map((at, i, all) => (i ? all[i - 1] - at : 24));
  assert.ok(gaps.length > 6 && gaps.every((g) => g >= 23), String(gaps));
});

test('before a cross messages pile up, and go on when the line is whole again', () => {
  const t = traffic();
  t.take(event('held', [dot(900, 'a'), dot(500, 'b')], 2));
  for (let i = 0; i < 40; i++) t.step(100);
  assert.deepEqual(places(t), [286, 275]);
  assert.equal(t.step(16), false, 'a pile that stands needs no frame');

  for (let s = 0; s < 8; s++) {
    t.take(event('held', [dot(900)], 214));
    for (let i = 0; i < 30; i++) t.step(100);
  }
  assert.deepEqual(places(t), [286, 275, 264, 253, 242, 231], 'six stand for all');

  t.take(event('ok', []));
  for (let i = 0; i < 40; i++) t.step(100);
  assert.deepEqual(places(t), []);
});

test('what waits is seen as a pile even when no message comes', () => {
  assert.deepEqual([0, 1, 3, 4, 214, 1e6].map(pileFor), [0, 1, 1, 2, 4, 6]);
  const t = traffic();
  for (let s = 0; s < 6; s++) {
    t.take(event('held', [], 214));
    for (let i = 0; i < 20; i++) t.step(100);
  }
  assert.equal(places(t).length, 4);
  assert.ok(t.visible().every((d) => d.trip === ''), 'they lead to no trip');
});

test('on a cut line messages end at the cross', () => {
  const t = traffic();
  t.take(event('cut', [dot(1000)]));
  t.step(1400);
  assert.deepEqual(places(t), [290]);
  t.step(100);
  assert.deepEqual(places(t), []);
});

test('a line that begins at a station that is away lets go what is on it already', () => {
  const t = new DotTraffic(), id = 'redis-node:pubsub', cut = { lines: [line(id, { state: 'cut' })], faults: [{ id: 'redis_away', name: 'Cut Redis', station: 'redis', on: true, possible: true }] };
  t.setTracks([{ ...track, id }]);
  t.take(live({ lines: [line(id)], dots: [{ line: id, name: 'heard', ago_ms: 1000 }] }));
  t.step(1400);
  t.take(live(cut));
  t.step(500);
  assert.deepEqual(places(t), [390]);
});

test('without motion dots stand still, and only piles grow', () => {
  const t = traffic();
  t.setStill(true);
  t.take(event('ok', [dot(100, 'new'), dot(300), dot(500), dot(700)]));
  const before = places(t);
  assert.deepEqual([before, t.step(1000), places(t)], [[310, 210, 110], false, before]);
  assert.equal(t.visible()[0].trip, 'new');
  t.take(event('held', [dot(100)], 214));
  assert.deepEqual(places(t), [286]);
  t.take(event('held', [dot(100)], 214));
  assert.deepEqual(places(t), [286, 275]);
  t.take(event('cut', [dot(100)]));
  assert.deepEqual(places(t), []);
});

test('a line that is pointed at stands still for a click, and a new size keeps the dots in their place', () => {
  const t = traffic();
  t.take(event('ok', [dot(1000)]));
  t.step(1000);
  t.frozen = track.id;
  t.step(1000);
  assert.deepEqual(places(t), [210]);
  t.frozen = '';
  t.setTracks([{ ...track, end: 210, cross: 150 }]);
  assert.deepEqual(places(t), [110]);
  t.setTracks([]);
  assert.deepEqual(places(t), []);
});
