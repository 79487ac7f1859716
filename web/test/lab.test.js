import { test } from 'node:test';
import assert from 'node:assert/strict';
import { makeScale, niceStep, figure, tickLabel, knobPlace, knobStep, knobText, knobValue } from '../lab/app/scale.js';
import { emptyForm, readLink, writeLink } from '../lab/app/permalink.js';
import { eventReader } from '../lab/app/sse.js';
import { addPoints, barNames, copyChart, csv, drawGuess, ghostsOf, lastWord, measuredNames, nameGhost, pointTable } from '../lab/app/chart.js';
import { readDone, keepDone } from '../lab/app/store.js';
import { cut, pathThrough } from '../lab/app/svg.js';

test('a linear axis begins at 0, keeps its end, and has round ticks', () => {
  const s = makeScale({ end: 16 }, [3, 12.5], 8);
  assert.deepEqual(s.ticks, [0, 2, 4, 6, 8, 10, 12, 14, 16]);
  assert.deepEqual([s.place(0), s.place(8), s.value(0.25)], [0, 0.5, 4]);
  assert.deepEqual(makeScale({ end: 44 }, [], 5).ticks, [0, 10, 20, 30, 40]);
  assert.equal(makeScale({ end: 44 }, [47]).high, 50, 'only what does not fit moves the end');
  assert.deepEqual(makeScale({}, [], 5).ticks, [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual([0.9, 1.1, 3, 70].map(niceStep), [1, 2, 5, 100]);
});

test('a logarithmic axis goes by powers of ten and has no place for 0', () => {
  const s = makeScale({ log: true, start: 0.01, end: 1000 });
  assert.deepEqual([s.low, s.high], [0.01, 1000]);
  assert.deepEqual(s.ticks, [0.01, 0.1, 1, 10, 100, 1000]);
  assert.ok(Number.isNaN(s.place(0)) && Number.isNaN(s.place(-1)));
  assert.equal(s.place(0.01), 0);
  assert.equal(Math.round(s.value(s.place(7.8)) * 10), 78);
  const data = makeScale({ log: true }, [0, 0.02, 3]);
  assert.deepEqual([data.low, data.high], [0.01, 10]);
  const none = makeScale({ log: true }, []);
  assert.deepEqual([none.low, none.high], [1, 10]);
  assert.ok(makeScale({ log: true, start: 1e-9, end: 1e9 }, [], 5).ticks.length <= 8, 'ticks never crowd');
});

test('figures are short', () => {
  assert.deepEqual([0, 0.0265, 7.84, 603, 2444, 2.44e6, 3e9, 0.00002, NaN].map(figure),
    ['0', '0.0265', '7.84', '603', '2,444', '2.44 million', '3 billion', '2.0e-5', '–']);
  assert.deepEqual([0, 0.1, 1000, 20_000, 5e6].map(tickLabel), ['0', '0.1', '1000', '20k', '5M']);
});

test('a slider reaches both ends of a knob, and each key moves it', () => {
  const rate = { low: 8, high: 40, step: 1, unit: 'a second' }, size = { low: 24, high: 65536, step: 8, log: true };
  for (const k of [rate, size]) {
    assert.deepEqual([knobValue(k, 0), knobValue(k, 1000)], [k.low, k.high]);
    assert.deepEqual([knobPlace(k, k.low), knobPlace(k, k.high)], [0, 1000]);
    let value = k.low, presses = 0;
    for (; value < k.high && presses < 2000; presses++) {
      const next = knobStep(k, value, 1);
      assert.ok(next > value && next <= k.high, `${value} -> ${next}`);
      value = next;
    }
    assert.equal(value, k.high);
    assert.ok(knobStep(k, value, -1) < k.high);
  }
  assert.equal(knobStep(rate, 24, 1), 25);
  assert.equal(knobValue(rate, 500), 24);
  assert.deepEqual([knobText(rate, 24), knobText({ choices: ['a'] }, 'a'), knobText({}, 65536)], ['24 a second', 'a', '65,536']);
});

const retries = {
  name: 'retries', options: ['a', 'b', 'c'],
  knobs: [{ name: 'rate', default: 24, low: 8, high: 40, step: 1 }, { name: 'order', choices: ['oldest', 'newest'] }],
};

test('an address is read back as it was written', () => {
  const form = { ...emptyForm(retries), guess: 'B', seed: '7', knobs: { rate: '30', order: 'newest' } };
  const link = writeLink(retries, form);
  assert.equal(link, '/lab/retries?guess=B&rate=30&order=newest&seed=7');
  const [path, search] = link.split('?');
  assert.deepEqual(readLink(path, search, [retries]).form, form);
  assert.equal(writeLink(retries, emptyForm(retries)), '/lab/retries?seed=1', 'defaults are left out');
});

test('an address from elsewhere cannot break the form', () => {
  const read = readLink('/lab/retries', '?guess=d&seed=-4&rate=400&wings=2&order=', [retries]);
  assert.deepEqual([read.form.guess, read.form.seed, read.form.knobs], ['', '1', { rate: '400', order: '' }], 'the server corrects knobs');
  assert.equal(readLink('/lab/retries/', '?guess=c', [retries]).form.guess, 'C');
  assert.equal(readLink('/lab/flying', '', [retries]).unknown, 'flying');
  assert.equal(readLink('/lab', '', [retries]).name, '');
  assert.equal(readLink('/lab/break', '', [retries]).name, 'break');
});

test('events are whole however the line cuts them', () => {
  const text = 'event: points\ndata: {"a":1}\n\n: a comment\n\nevent: result\ndata: {"b":"x\\n\\ny"}\n\nevent: cut';
  for (const size of [1, 3, 1000]) {
    const read = eventReader(), got = [];
    for (let i = 0; i < text.length; i += size) got.push(...read(text.slice(i, i + size)));
    assert.deepEqual(got, [{ name: 'points', data: '{"a":1}' }, { name: 'result', data: '{"b":"x\\n\\ny"}' }]);
  }
});

test('points join the curve or the bar of their name', () => {
  const frame = { x: { end: 10 }, panels: [{ curves: [{ name: 'law', style: 'law', points: [{ x: 0, y: 1 }] }, { name: 'a', points: null }] }, { bars: [{ name: 'p', height: 0 }] }] };
  const chart = addPoints(copyChart(frame), [{ c: 'a', x: 1, y: 2 }, { c: 'law', x: 1, y: 3 }, { c: 'p', x: 0, y: 9 }, { c: 'b', x: 2, y: 4 }, { c: 'b', x: 3, y: 5 }]);
  assert.deepEqual(chart.panels[0].curves.map((c) => [c.name, c.style ?? '', c.points.length]), [['law', 'law', 1], ['a', '', 1], ['law', '', 1], ['b', '', 2]]);
  assert.equal(chart.panels[1].bars[0].height, 9);
  assert.equal(frame.panels[1].bars[0].height, 0, 'the frame stays empty');
});

test('a point of a group goes to its place', () => {
  const bars = ['memory', 'Redis'].flatMap((group) => ['none', 'lock'].map((name) => ({ name, group, height: 0 })));
  const chart = addPoints(copyChart({ panels: [{ bars }] }), [{ c: 'Redis', x: 1, y: 7 }, { c: 'memory', x: 0, y: 3 }]);
  assert.deepEqual(chart.panels[0].bars.map((b) => b.height), [3, 0, 0, 7]);
  assert.deepEqual(barNames(chart.panels[0]), ['none', 'lock']);
  assert.deepEqual(measuredNames(chart), ['memory', 'Redis']);
  const first = addPoints({ panels: [] }, [{ c: 'x', x: 0, y: 1 }, { c: 'y', x: 1, y: 2 }]);
  assert.deepEqual(first.panels[0].bars.map((b) => b.height), [1, 2], 'a chart of nothing yet becomes bars');
});

test('an earlier run is named by the knob that differs', () => {
  const settings = (rate, budget) => [{ name: 'rate', label: 'Rate', value: rate }, { name: 'budget', label: 'Budget', value: budget }];
  const now = { settings: settings('24 a second', '10 %'), seed: 7 };
  assert.equal(nameGhost({ settings: settings('24 a second', '30 %'), seed: 7 }, now), 'Budget 30 %');
  assert.equal(nameGhost({ settings: settings('8 a second', '10 %'), seed: 8 }, now), 'Rate 8 a second, seed 8');
  assert.equal(nameGhost({ settings: settings('24 a second', '10 %'), seed: '7' }, now), 'same settings');
  const runs = [1, 2, 3, 4].map((n) => ({ settings: settings(`${n}`, '10 %'), seed: 7, chart: n }));
  runs.push(now);
  assert.deepEqual(ghostsOf(runs, now).map((g) => g.chart), [4, 3, 2], 'the last three, the newest first');
});

test('the table has every point, and the CSV every character', () => {
  const chart = { x: { name: 's' }, y: { name: 'µs' }, panels: [{ curves: [{ name: 'a', points: [{ x: 2, y: 5 }, { x: 1, y: 4 }] }, { name: 'b, "c"', points: [{ x: 2, y: 6 }] }, { name: 'none', points: [] }] }] };
  const table = pointTable(chart, chart.panels[0]);
  assert.deepEqual(table, { columns: ['s', 'a', 'b, "c"'], rows: [[1, 4, ''], [2, 5, 6]] });
  assert.equal(csv(table), 's,a,"b, ""c"""\r\n1,4,\r\n2,5,6\r\n');
  assert.deepEqual(pointTable(chart, { bars: [{ name: 'tcp', height: 14 }] }).rows, [['tcp', 14]]);
  assert.equal(lastWord({ panels: [{ curves: [{ name: 'a', points: [{ x: 1, y: 1, mark: '3.4 s' }, { x: 2, y: 1 }] }] }] }, 'a'), '3.4 s');
});

test('a pen leaves no gaps and stays on the plot', () => {
  const points = drawGuess(Array(11).fill(0), { x: 0, y: 0 }, { x: 1, y: 1 });
  assert.deepEqual(points.map((p) => Math.round(p * 10)), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(drawGuess(Array(3).fill(0.5), { x: 1, y: 2 }, { x: 0.5, y: -1 }).map((p) => Math.min(1, Math.max(0, p))), [0.5, 0, 1]);
  assert.equal(drawGuess(Array(11).fill(0), { x: 0.52, y: 0.1 }, { x: 0.52, y: 0.7 })[5], 0.7);
});

test('what was done is kept, and a broken storage breaks nothing', () => {
  const kept = new Map(), storage = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v) };
  keepDone(storage, new Set(['races', 'loss']));
  assert.deepEqual([...readDone(storage)], ['races', 'loss']);
  for (const bad of ['{', '7', '[1,{}]']) assert.equal(readDone({ getItem: () => bad }).size, 0);
  assert.equal(readDone({ getItem: () => { throw new Error('off'); } }).size, 0);
  keepDone({ setItem: () => { throw new Error('full'); } }, new Set(['a']));
});

test('a path breaks where a point has no place', () => {
  assert.equal(pathThrough([[0, 1], [1, NaN], [2, 3], [3, 4]]), 'M0.0,1.0M2.0,3.0L3.0,4.0');
  assert.equal(cut('short', 100), 'short');
  assert.ok(cut('a name too long for its place', 60).endsWith('…'));
});
