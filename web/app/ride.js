// What the rider is doing, as one value: from the first click to the receipt. No network and no screen in here.

import { Sequence } from './resume.js';
import { readTrip } from './api.js';

export const ACTIVE = new Set(['requested', 'reserved', 'arrived', 'on_trip']);
const CANCELLABLE = new Set(['requested', 'reserved', 'arrived']);

export class Ride {
  constructor() {
    this.clear();
  }

  /** Back to an empty map. */
  clear() {
    this.pickup = null;
    this.dropoff = null;
    this.quote = null;
    this.requestID = ''; // the command's id; kept until its ack, so that a retry asks for the same trip
    this.trip = null;
    this.receipt = null;
    this.comms = null; // {lost, since}: the driver's phone went silent
    this.help = null; // {id, state}: our call for help is 'sending', 'sent', or 'seen' by an operator
    this.problem = '';
    this.endedBy = ''; // the kind of event that ended it
    this.events = new Sequence();
  }

  /** The one word for where the rider stands; the page shows it as data-state. */
  get phase() {
    if (this.trip) return this.trip.state === 'completed' && this.receipt ? 'paid' : this.trip.state;
    if (this.requestID) return 'requesting';
    if (!this.pickup) return 'choose_pickup';
    if (!this.dropoff) return 'choose_destination';
    return this.quote ? 'quoted' : this.problem ? 'quote_failed' : 'quoting';
  }

  get active() {
    return ACTIVE.has(this.trip?.state);
  }

  get cancellable() {
    return CANCELLABLE.has(this.trip?.state);
  }

  /** Somebody else is in the car, or on the way: then there is a button to call for help. */
  get helpable() {
    return this.active && Boolean(this.trip.driver);
  }

  /** While a ride is open or asked for, its points do not move. */
  get editable() {
    return !this.trip && !this.requestID;
  }

  /** Sets 'pickup' or 'dropoff'; an earlier quote no longer holds. */
  place(which, p) {
    this[which] = p;
    this.quote = null;
    this.problem = '';
  }

  /** Takes how the trip stands, from an ack, a welcome or a re-read. An older version is ignored. */
  stand(raw) {
    const trip = readTrip(raw);
    if (this.trip?.id === trip.id && trip.version < this.trip.version) return false;
    if (this.trip?.id !== trip.id) {
      this.receipt = null;
      this.comms = null;
      this.help = null;
      this.events = new Sequence();
    }
    this.trip = trip;
    this.pickup = trip.pickup;
    this.dropoff = trip.dropoff;
    this.requestID = '';
    this.problem = '';
    this.events.reset(trip.version);
    if (!this.active) this.comms = null;
    return true;
  }

  /** Takes a numbered event: 'show', 'old', or 'gap' when the trip must be read again. */
  event(ev) {
    const strange = this.trip && this.trip.id !== ev.trip_id;
    if (ev.seq >= (strange ? 0 : this.events.last)) this.endedBy = ev.kind;
    if (strange && this.active) return 'old'; // a late event of an earlier trip
    if (!this.trip || strange) return ev.trip && this.stand(ev.trip) ? 'show' : 'gap';
    const verdict = this.events.take(ev.seq ?? 0);
    if (verdict === 'show') this.stand(ev.trip);
    return verdict;
  }

  /** Takes the receipt of this trip. */
  settle(receipt) {
    if (this.trip?.id !== receipt.trip_id) return false;
    this.receipt = { reference: receipt.reference ?? '', amount: receipt.amount ?? null, atMs: receipt.at_ms ?? 0 };
    return true;
  }

  /** Takes how far our call for help came; '' when the node refused it. What was seen stays seen. */
  call(id, state) {
    if (state === 'sending') this.help = { id, state };
    else if (this.help?.id === id && this.help.state !== 'seen') this.help = state ? { id, state } : null;
  }

  /** Takes that an operator has seen a call for help, perhaps one made before the page was loaded. */
  seen(sos) {
    if (this.trip?.id !== sos.trip_id || (this.help && this.help.id !== sos.id)) return false;
    this.help = { id: sos.id, state: 'seen' };
    return true;
  }

  /** Takes the driver's phone going silent or coming back; `now` in ms. */
  hear(comms, now) {
    if (this.trip?.id !== comms.trip_id) return;
    this.comms = comms.lost ? { since: now - (comms.age_s ?? 0) * 1000 } : null;
  }
}
