import { test } from 'node:test';
import assert from 'node:assert/strict';
import { FaultDesk, FaultSpeaker } from '../xray/app/faultdesk.js';
import { LiveFeed } from '../xray/app/live.js';

const fault = (more = {}) => ({ id: 'redis_away', name: 'Cut Redis', station: 'redis', on: false, possible: true, ...more });

/** A desk with a node behind it that answers when the test says so. */
function deskWithNode() {
  const calls = [];
  let answer = '';
  const desk = new FaultDesk('me', async (method, id, body) => { calls.push([method, id, body?.on ?? ''].join(' ').trim()); return answer; });
  desk.isReachable = true;
  desk.take([fault()], 0);
  return { desk, calls, refuse: (words) => { answer = words; }, view: () => desk.views()[0] };
}

test('a switch shows a press at once, its time when the node has it, and its sentence when the effect is measured', async () => {
  const { desk, calls, view } = deskWithNode();
  assert.deepEqual([view().isOn, view().isOpen, view().note], [false, false, '']);
  const pressed = desk.toggle('redis_away', 1000);
  assert.deepEqual([view().isOn, view().note, view().sentence], [true, 'switching on', 'waiting for the effect']);
  await pressed;
  desk.take([fault({ on: true, by: 'me', since_ms: 5000 })], 17_000);
  assert.deepEqual([view().note, view().sentence], ['on for 12 s', 'waiting for the effect']);
  desk.take([fault({ on: true, by: 'me', since_ms: 5000, sentence: 'Redis is away.' })], 18_000);
  assert.deepEqual([view().sentence, view().isBroken], ['Redis is away.', true]);

  await desk.toggle('redis_away', 9000);
  desk.take([fault({ sentence: 'Redis is back; 214 rows told in 0.3 s.' })], 20_000);
  assert.deepEqual([view().isOn, view().isOpen, view().isBroken, view().sentence], [false, true, false, 'Redis is back; 214 rows told in 0.3 s.'], 'the sentence stays until the backlog is gone');
  desk.take([fault()], 25_000);
  assert.equal(view().isOpen, false);
  assert.deepEqual(calls, ['PUT redis_away true', 'PUT redis_away false']);
});

test('figures that are older than a press do not take it back; a press that nothing follows is taken back', async () => {
  const { desk, view } = deskWithNode();
  await desk.toggle('redis_away', 1000);
  desk.take([fault()], 0);
  desk.tick(2000);
  assert.equal(view().isOn, true);
  desk.tick(4001);
  assert.equal(view().isOn, false);
});

test('a refused switch springs back with one sentence, for a while', async () => {
  const { desk, refuse, view } = deskWithNode();
  refuse('Faults are for ridehail demo.');
  await desk.toggle('redis_away', 1000);
  assert.deepEqual([view().isOn, view().isOpen, view().isBroken, view().isRefusal, view().sentence], [false, true, false, true, 'Faults are for ridehail demo.']);
  desk.tick(20_000);
  assert.equal(view().isOpen, false);

  desk.take([fault({ possible: false, why: 'Redis runs inside of this process.' })], 0);
  await desk.toggle('redis_away', 21_000);
  assert.deepEqual([view().isOn, view().sentence], [false, 'Redis runs inside of this process.'], 'nothing is asked of the node');
});

test('what this page has switched on is repeated every 10 s, and nothing else is', async () => {
  const { desk, calls } = deskWithNode();
  await desk.toggle('redis_away', 0);
  desk.take([fault({ on: true, by: 'me', since_ms: 1 }), fault({ id: 'drop', on: true, by: 'other' })], 0);
  for (let now = 0; now <= 25_000; now += 1000) desk.tick(now);
  assert.deepEqual(calls, ['PUT redis_away true', 'PUT redis_away true', 'PUT redis_away true']);
  desk.take([fault()], 0); // the node switched it off after its five minutes
  for (let now = 26_000; now <= 60_000; now += 1000) desk.tick(now);
  assert.equal(calls.length, 3);
});

test('a fault of another page says so, and may be switched off here', async () => {
  const { desk, calls, view } = deskWithNode();
  desk.take([fault({ on: true, by: 'other', since_ms: 1 })], 5000);
  assert.equal(view().note, 'on, by another page');
  await desk.toggle('redis_away', 0);
  assert.deepEqual([calls, view().isOn], [['PUT redis_away false'], false]);
});

test('all faults go off with one request', async () => {
  const { desk, calls, refuse } = deskWithNode();
  desk.take([fault({ on: true, by: 'me' }), fault({ id: 'drop', on: true, by: 'other' })], 0);
  assert.equal(await desk.allOff(0), '');
  assert.deepEqual([calls, desk.isAnyOn], [['DELETE'], false]);
  refuse('Not you.');
  desk.take([fault({ on: true, by: 'me' })], 0);
  assert.deepEqual([await desk.allOff(0), desk.isAnyOn], ['Not you.', true]);
});

test('without a link switches are disabled, and one that was on may still be on', async () => {
  const { desk, calls, view } = deskWithNode();
  desk.take([fault({ on: true, by: 'me', since_ms: 1, sentence: 'Redis is away.' })], 5000);
  desk.isReachable = false;
  assert.deepEqual([view().isDisabled, view().note, view().sentence], [true, 'not reachable', 'It may still be on: the node is not reachable.']);
  await desk.toggle('redis_away', 0);
  desk.tick(60_000);
  assert.deepEqual(calls, []);
  assert.equal(await desk.allOff(0), 'The node is not reachable.');
});

test('an effect is read aloud once, not again for each new figure', () => {
  const { desk } = deskWithNode(), speaker = new FaultSpeaker();
  const say = (more) => { desk.take([fault(more)], 0); return speaker.news(desk.views()); };
  assert.equal(say({}), '');
  assert.equal(say({ on: true, by: 'me' }), 'Cut Redis: on');
  assert.equal(say({ on: true, by: 'me', sentence: '4 rows wait.' }), 'Cut Redis: 4 rows wait.');
  assert.equal(say({ on: true, by: 'me', sentence: '1,214 rows wait.' }), '');
  assert.equal(say({ sentence: 'Redis is back.' }), 'Cut Redis: Redis is back.');
  assert.equal(say({}), '');
});

/** A feed whose sources, clock and reasons are the test's. */
function feedWithClock() {
  const f = { now: 0, sources: [], events: [], links: [], why: '' };
  const ways = {
    now: () => f.now,
    askWhy: async () => f.why,
    open: () => {
      const on = {};
      const source = { readyState: 1, close: () => {}, addEventListener: (name, hear) => { on[name] = hear; } };
      f.sources.push({ say: (data) => on.live({ data }), fail: (state) => { source.readyState = state; on.error({}); } });
      return source;
    },
  };
  f.feed = new LiveFeed({ onEvent: (e) => { assert.deepEqual([e.dots, e.faults], [[], []]); f.events.push(e.at_ms); }, onLink: (l) => f.links.push(`${l.state} ${l.ageS}`) }, ways);
  f.pass = (ms) => { f.now += ms; f.feed.tick(); };
  return f;
}

test('three silent seconds are a lost link, which tells its age until an event comes', () => {
  const f = feedWithClock();
  f.sources[0].say('{"at_ms":1}');
  f.pass(1000);
  f.pass(1000);
  assert.deepEqual([f.events, f.links], [[1], ['live 0']]);
  f.pass(1000);
  f.pass(5000);
  assert.deepEqual(f.links.slice(1), ['lost 3', 'lost 8']);
  f.sources[0].say('{"at_ms":2}');
  assert.equal(f.links.at(-1), 'live 0');
});

test('a feed that is refused is opened again, later each time; text that is cut short is passed over', async () => {
  const f = feedWithClock();
  f.why = 'This address shows no live figures.';
  f.sources[0].fail(2);
  await Promise.resolve();
  assert.equal(f.feed.link().why, f.why);
  f.pass(999);
  assert.equal(f.sources.length, 1);
  f.pass(1);
  assert.equal(f.sources.length, 2);
  f.sources[1].fail(2);
  f.pass(1999);
  assert.equal(f.sources.length, 2);
  f.pass(1);
  f.sources[2].fail(0); // the browser itself tries again
  f.pass(60_000);
  assert.equal(f.sources.length, 3);
  f.sources[2].say('{"at_ms":');
  assert.deepEqual(f.events, []);
  f.sources[2].say('{"at_ms":7,"dots":null}');
  assert.deepEqual([f.events, f.feed.link()], [[7], { state: 'live', ageS: 0, why: '' }]);
});
