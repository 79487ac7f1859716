import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Sequence, Clock, Credit, backoff, afterClose } from '../app/resume.js';

test('numbered things are shown once and in order; a gap is seen', () => {
  const s = new Sequence();
  assert.deepEqual([1, 2, 2, 1, 4].map((n) => s.take(n)), ['show', 'show', 'old', 'old', 'gap']);
  assert.equal(s.last, 2, 'a gap does not move on: the missing ones must be read');
  s.reset(4);
  assert.deepEqual([3, 4, 5].map((n) => s.take(n)), ['old', 'old', 'show']);
});

test('whatever arrives, in whatever order, nothing is shown twice or out of order', () => {
  for (let round = 0; round < 200; round++) {
    const s = new Sequence();
    const shown = [];
    for (let i = 0; i < 60; i++) {
      const n = 1 + Math.floor(Math.random() * 20);
      const verdict = s.take(n);
      if (verdict === 'show') shown.push(n);
      if (verdict === 'gap') while (s.last < n) { shown.push(s.last + 1); s.take(s.last + 1); }
    }
    assert.deepEqual(shown, shown.map((_, i) => i + 1));
  }
});

test('tries spread out, grow, and stay bounded', () => {
  assert.equal(backoff(0, () => 0), 100);
  assert.equal(backoff(0, () => 1), 500);
  assert.equal(backoff(3, () => 1), 3300);
  assert.equal(backoff(50, () => 1), 15_100);
});

test('a close code says whether to come back', () => {
  for (const code of [1001, 1005, 1006, 1011, 1013, 4413, 4414]) assert.equal(afterClose(code), 'return', code);
  for (const code of [4401, 4402]) assert.equal(afterClose(code), 'renew', code);
  for (const code of [1002, 1007, 1008, 1009, 4408, 4409]) assert.equal(afterClose(code), 'stay', code);
});

test('the quickest round tells the clock best', () => {
  const c = new Clock();
  assert.equal(c.known, false);
  c.add(0, 1050, 1050, 100); // 100 ms round, offset 1000
  c.add(200, 1290, 1291, 241); // 40 ms round, offset 1070
  assert.equal(c.rtt, 40);
  assert.equal(c.offset, 1070);
  for (let i = 0; i < 8; i++) c.add(0, 510, 510, 20); // old rounds are forgotten
  assert.equal(c.offset, 500);
});

test('every second position is acked', () => {
  const c = new Credit();
  assert.deepEqual([1, 2, 3, 4, 6, 7].map((n) => c.show(n)), [0, 2, 0, 4, 6, 0]);
});
