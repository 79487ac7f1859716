import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Glide, opacity } from '../app/glide.js';
import { metres, ahead, turn, box, point } from '../app/geo.js';

const home = { lng: 3.4, lat: 6.45 };
const fix = (point, at, more = {}) => ({ point, at, heading: 90, speed: 0, ...more });

test('a car glides to its newest fix in the time between fixes', () => {
  const east = ahead(home, 90, 20);
  const g = new Glide(fix(home, 0), 0);
  g.push(fix(east, 1000), 1000);
  assert.ok(metres(g.at(1000).point, home) < 0.01, 'starts where it was');
  assert.ok(Math.abs(metres(g.at(1500).point, home) - 10) < 0.05, 'is half way after half the time');
  assert.ok(metres(g.at(2000).point, east) < 0.01, 'arrives');
});

test('an older fix does not pull a car back', () => {
  const g = new Glide(fix(home, 1000), 0);
  assert.equal(g.push(fix(ahead(home, 270, 50), 900), 100), false);
  assert.equal(g.push(fix(ahead(home, 270, 50), 1000), 100), false);
  assert.ok(metres(g.at(5000).point, home) < 0.01);
});

test('a late fix lets a car roll on a little, never far', () => {
  const g = new Glide(fix(home, 0, { speed: 10 }), 0);
  const soon = metres(g.at(500).point, home);
  assert.ok(soon > 3 && soon < 5, `rolled ${soon} m in half a second at 10 m/s`);
  const end = metres(g.at(60_000).point, home);
  assert.ok(Math.abs(end - 7.5) < 0.05, `stops after ${end} m`);
});

test('a new fix in the middle of a glide starts from where the car is shown', () => {
  const g = new Glide(fix(home, 0), 0);
  g.push(fix(ahead(home, 90, 20), 1000), 1000);
  const shown = g.at(1400).point;
  g.push(fix(ahead(home, 90, 40), 1400), 1400);
  assert.ok(metres(g.at(1400).point, shown) < 0.01);
});

test('a far jump is a new place, not a drive across the lagoon', () => {
  const far = ahead(home, 0, 3000);
  const g = new Glide(fix(home, 0), 0);
  g.push(fix(far, 1000), 1000);
  assert.ok(metres(g.at(1000).point, far) < 0.01);
});

test('a car fades after five seconds and is gone at thirty', () => {
  assert.equal(opacity(0), 1);
  assert.equal(opacity(5000), 1);
  assert.ok(opacity(17_500) > 0.4 && opacity(17_500) < 0.6);
  assert.equal(opacity(30_000), 0);
});

test('headings turn the short way round', () => {
  assert.equal(turn(350, 10, 0.5), 0);
  assert.equal(turn(10, 350, 0.5), 0);
  assert.equal(turn(90, 180, 0.5), 135);
});

test('places: zeros that the wire leaves out, and boxes', () => {
  assert.deepEqual(point({ lat: 6 }), { lng: 0, lat: 6 });
  assert.deepEqual(point(undefined), { lng: 0, lat: 0 });
  assert.deepEqual(box([{ lng: 1, lat: 5 }, { lng: 3, lat: 2 }]), [[1, 2], [3, 5]]);
});
