import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Ride } from '../app/ride.js';
import { Talk } from '../app/chat.js';

const trip = (state, version, more = {}) => ({ id: 't1', state, version, pickup: { lng: 3, lat: 6 }, dropoff: { lng: 3.1, lat: 6 }, ...more });
const event = (kind, state, seq) => ({ trip_id: 't1', kind, seq, trip: trip(state, seq) });

test('two clicks, a quote, a request', () => {
  const r = new Ride();
  assert.equal(r.phase, 'choose_pickup');
  r.place('pickup', { lng: 3, lat: 6 });
  assert.equal(r.phase, 'choose_destination');
  r.place('dropoff', { lng: 3.1, lat: 6 });
  assert.equal(r.phase, 'quoting');
  r.quote = { fare: { minor: 100, currency: 'NGN' } };
  assert.equal(r.phase, 'quoted');
  r.place('dropoff', { lng: 3.2, lat: 6 });
  assert.equal(r.phase, 'quoting', 'a moved pin ends the quote');
  r.requestID = 'r1';
  assert.equal(r.phase, 'requesting');
  assert.equal(r.editable, false);
});

test('a whole ride by its events, and the receipt at the end', () => {
  const r = new Ride();
  r.requestID = 'r1';
  assert.equal(r.event(event('requested', 'requested', 1)), 'show');
  r.stand(trip('requested', 1)); // the ack says the same
  for (const [i, s] of ['reserved', 'arrived', 'on_trip', 'completed'].entries()) {
    assert.equal(r.event(event(s, s, i + 2)), 'show');
    assert.equal(r.phase, s);
  }
  assert.equal(r.settle({ trip_id: 'other' }), false);
  assert.equal(r.settle({ trip_id: 't1', reference: 'x' }), true);
  assert.equal(r.phase, 'paid');
});

test('an old event changes nothing, a gap asks for a re-read', () => {
  const r = new Ride();
  r.stand(trip('reserved', 2));
  assert.equal(r.event(event('requested', 'requested', 1)), 'old');
  assert.equal(r.phase, 'reserved');
  assert.equal(r.event(event('on_trip', 'on_trip', 4)), 'gap');
  assert.equal(r.phase, 'reserved');
  r.stand(trip('on_trip', 4));
  assert.equal(r.event(event('arrived', 'arrived', 3)), 'old');
  assert.equal(r.stand(trip('arrived', 3)), false, 'an older standing is ignored');
});

test('a late event of another trip does not replace the open one', () => {
  const r = new Ride();
  r.stand(trip('reserved', 2));
  assert.equal(r.event({ trip_id: 't0', seq: 9, kind: 'completed', trip: { ...trip('completed', 9), id: 't0' } }), 'old');
  assert.equal(r.trip.id, 't1');
});

test('who cancelled is known even when the ack came before the event', () => {
  const r = new Ride();
  r.stand(trip('reserved', 2));
  r.stand(trip('cancelled', 3));
  assert.equal(r.event(event('driver_cancellation', 'cancelled', 3)), 'old');
  assert.equal(r.endedBy, 'driver_cancellation');
});

test('chat: ours waits until it is numbered, a repeat is shown once, a gap is seen', () => {
  const t = new Talk('t1');
  t.say('hello', 'c1');
  assert.equal(t.waiting.length, 1);
  assert.equal(t.take({ seq: 1, from: 'rider', text: 'hello', client_id: 'c1' }, false), 'show');
  assert.equal(t.waiting.length, 0);
  assert.equal(t.take({ seq: 1, from: 'rider', text: 'hello', client_id: 'c1' }, false), 'old');
  assert.equal(t.take({ seq: 3, from: 'driver', text: 'b' }, false), 'gap');
  assert.equal(t.take({ seq: 2, from: 'driver', text: 'a' }, false), 'show');
  assert.equal(t.unread, 1);
  assert.equal(t.take({ seq: 3, from: 'driver', text: 'b' }, true), 'show');
  assert.equal(t.unread, 1, 'what is read as it comes is not unread');
  assert.deepEqual(t.said.map((m) => m.text), ['hello', 'a', 'b']);
});

test('a call for help is sending, sent, seen; one that was refused can be made again', () => {
  const r = new Ride();
  r.stand(trip('requested', 1));
  r.stand({ ...trip('reserved', 2), driver_id: 'd1' });
  assert.equal(r.helpable, true);
  r.call('c1', 'sending');
  r.call('c1', '');
  assert.equal(r.help, null);
  r.call('c2', 'sending');
  assert.equal(r.seen({ id: 'c1', trip_id: 't1' }), false, 'another call was seen');
  assert.equal(r.seen({ id: 'c2', trip_id: 't0' }), false, 'a call on another trip was seen');
  assert.equal(r.seen({ id: 'c2', trip_id: 't1' }), true);
  r.call('c2', 'sent');
  assert.deepEqual(r.help, { id: 'c2', state: 'seen' }, 'the ack may come after');
  r.stand({ ...trip('completed', 5), driver_id: 'd1' });
  assert.equal(r.helpable, false);
});

test('a call made before the page was loaded is known to be seen', () => {
  const r = new Ride();
  r.stand({ ...trip('on_trip', 4), driver_id: 'd1' });
  assert.equal(r.seen({ id: 'c1', trip_id: 't1' }), true);
  assert.equal(r.help.state, 'seen');
});
