// The page: joins map, cars, ride, card and chat to the socket. Each of them knows nothing of the others.

import { Socket, nowMs } from './socket.js';
import { Ride } from './ride.js';
import { Cars } from './cars.js';
import { Card } from './card.js';
import { ChatPanel } from './chat.js';
import { Camera } from './camera.js';
import { Pins } from './pins.js';
import { Figures } from './figures.js';
import { Arrival } from './arrival.js';
import { Surge } from './surge.js';
import { byID } from './dom.js';
import { newID } from './api.js';
import { showWay, districtsOf } from './map.js';
import { metres } from './geo.js';
import { ago } from './format.js';

export class Page {
  constructor(api, map, maplibre, city) {
    Object.assign(this, { api, map });
    this.districts = () => districtsOf(map, city);
    this.surge = new Surge(api, map, byID('surge'));
    this.ride = new Ride();
    this.cars = new Cars(map);
    this.camera = new Camera(map, byID('follow'));
    this.figures = new Figures(byID('figures'));
    this.arrival = new Arrival(api);
    this.link = { state: 'connecting' };
    this.socket = new Socket(api, () => this.#where());
    this.pins = new Pins(map, maplibre, {
      set: (which, p) => this.#place(which, p), changed: (which) => { this.card.aiming = which; this.draw(); },
      next: () => this.#next(), open: () => this.ride.editable,
    });
    this.card = new Card(byID('card'), this.#actions(), (p) => this.#nameOf(p));
    this.chat = new ChatPanel(byID('chat'), {
      send: (body, id) => this.socket.command(body, id), typing: (trip_id) => this.socket.whisper({ typing: { trip_id } }),
      reread: (id, after) => api.chat(id, after), changed: () => this.card.draw(this.ride, this.chat?.talk.unread),
    });
    this.#listen();
    map.on('moveend', () => this.#watch());
    const high = () => document.body.style.setProperty('--card', `${byID('card').offsetHeight}px`);
    new ResizeObserver(high).observe(byID('card'));
    this.#watch();
    setInterval(() => this.#tick(), 500);
    this.socket.connect();
    this.draw();
  }

  draw() {
    const { ride } = this;
    document.body.dataset.state = ride.phase;
    document.body.dataset.trip = ride.trip?.id ?? '';
    this.pins.draw(ride);
    this.camera.run(ride.active && ride.trip.state !== 'requested');
    const path = this.path && this.path.for === this.#wayKey() ? this.path.points : ride.quote?.path;
    const ahead = ride.phase !== 'completed' && ride.phase !== 'paid' && ride.phase !== 'cancelled' && ride.phase !== 'expired';
    showWay(this.map, ahead ? ride.pickup : null, ahead ? ride.dropoff : null, ahead ? path : null);
    this.card.draw(ride, this.chat.talk.unread);
    this.#banner();
  }

  /** How far we got, for the node to go on from. */
  #where() {
    const { trip, events } = this.ride;
    return trip ? { trip_id: trip.id, trip_seq: events.last, chat_seq: this.chat.talk.numbers.last } : {};
  }

  #wayKey() {
    return JSON.stringify([this.ride.pickup, this.ride.dropoff]);
  }

  #actions() {
    return {
      choose: (which) => this.pins.aim(which), request: () => this.#request(), requote: () => this.#quote(),
      cancel: () => this.#cancel(), again: () => this.#again(), chat: () => this.chat.show(!this.chat.open),
      help: () => this.#help(),
    };
  }

  #next() {
    return !this.ride.pickup ? 'pickup' : 'dropoff';
  }

  #place(which, p) {
    if (!this.ride.editable) return;
    this.ride.place(which, p);
    this.draw();
    if (this.ride.pickup && this.ride.dropoff) this.#quote();
  }

  async #quote() {
    const { pickup, dropoff } = this.ride;
    const current = () => this.ride.editable && this.ride.pickup === pickup && this.ride.dropoff === dropoff;
    this.ride.problem = '';
    this.draw();
    try {
      const quote = await this.api.quote(pickup, dropoff);
      if (!current()) return; // a pin moved meanwhile: that answer is for another ride
      quote.endsMs = this.#ours(quote.endsMs);
      this.ride.quote = quote;
      if (quote.path) this.path = { for: this.#wayKey(), points: quote.path };
      this.draw();
      this.camera.see([pickup, dropoff], undefined, true);
    } catch (problem) {
      if (!current()) return;
      this.ride.problem = problem.message;
      this.draw();
    }
  }

  /** The command keeps its id until the node has answered, over any number of connections. */
  async #request() {
    const { ride } = this;
    if (!ride.editable) return;
    ride.requestID = newID('ride-');
    ride.problem = '';
    this.draw();
    try {
      const wish = { pickup: ride.pickup, dropoff: ride.dropoff, ...(ride.quote?.token && { quote: ride.quote.token }) };
      const ack = await this.socket.command({ request_trip: wish }, ride.requestID);
      if (ack.trip) this.#stand(ack.trip);
    } catch (refusal) {
      ride.requestID = '';
      if (refusal.code === 'quote_expired' || refusal.code === 'bad_quote') return this.#requote();
      ride.problem = refusal.message || 'The ride could not be requested. Please try again.';
      this.draw();
    }
  }

  /** A moment of the node's clock by ours. One that is over as it comes tells of clocks that differ, not of the price: 0. */
  #ours(ms) {
    const moment = ms - this.socket.clock.offset;
    return moment > Date.now() ? moment : 0;
  }

  /** The price no longer holds: asks for a new one, to be confirmed again. Nothing was ordered. */
  async #requote() {
    const before = this.ride.quote?.fare;
    this.ride.quote = null;
    await this.#quote();
    if (!this.ride.quote) return;
    this.ride.quote.before = before;
    this.draw();
  }

  async #cancel() {
    try {
      const ack = await this.socket.command({ cancel_trip: { trip_id: this.ride.trip.id, reason: 'changed my mind' } });
      if (ack.trip) this.#stand(ack.trip);
    } catch (refusal) {
      this.ride.problem = refusal.message || 'The ride could not be cancelled.';
      this.draw();
    }
  }

  /** Like every command it is sent until it is acked, over any number of connections. */
  async #help() {
    const { ride } = this;
    const id = newID('sos-');
    ride.call(id, 'sending');
    this.draw();
    try {
      await this.socket.command({ sos: { trip_id: ride.trip.id } }, id);
      ride.call(id, 'sent');
    } catch (refusal) {
      ride.call(id, '');
      ride.problem = refusal.message || 'Your call could not be sent. Phone the emergency services.';
    }
    this.draw();
  }

  #again() {
    this.ride.clear();
    this.path = null;
    this.cars.release();
    this.chat.show(false);
    this.figures.hide();
    this.draw();
  }

  #listen() {
    const on = (name, act) => this.socket.addEventListener(name, (e) => act(e.detail));
    on('link', (link) => this.#linked(link));
    on('welcome', (w) => this.#welcome(w));
    on('cars', (c) => { this.cars.take(c.cars ?? []); document.body.dataset.cars = this.cars.count; });
    on('position', (p) => this.#position(p));
    on('trip_event', (ev) => this.#event(ev));
    on('chat', (m) => this.chat.take(m));
    on('typing', (t) => this.chat.hearTyping(t.trip_id));
    on('receipt', (r) => this.ride.settle(r) && this.draw());
    on('sos_seen', (s) => this.ride.seen(s) && this.draw());
    on('comms', (c) => { this.ride.hear(c, performance.now()); this.#banner(); });
  }

  async #welcome(w) {
    const mine = this.ride.trip;
    if (w.trip && !w.recovered) this.#stand(w.trip);
    if (!w.trip && !w.recovered && this.ride.active) await this.#reread(mine.id);
    const newest = w.trip?.id === this.chat.talk.tripID ? w.chat_seq ?? 0 : 0;
    if (!w.recovered && newest > this.chat.talk.numbers.last) this.chat.catchUp();
    if (this.ride.phase === 'completed') this.#findReceipt();
  }

  async #event(ev) {
    const verdict = this.ride.event(ev);
    if (verdict === 'gap') return this.#reread(ev.trip_id);
    if (verdict === 'show') return this.#stood();
    if (this.ride.phase === 'cancelled') this.draw(); // the event now says who cancelled; the ack came first
  }

  async #reread(id) {
    try {
      this.#stand(await this.api.trip(id));
    } catch (problem) {
      this.ride.problem = problem.message;
      this.draw();
    }
  }

  #stand(trip) {
    if (this.ride.stand(trip)) this.#stood();
  }

  #stood() {
    const { trip, active } = this.ride;
    this.chat.about(trip.id);
    if (!active || trip.state === 'requested') this.cars.release();
    if (!active) this.figures.hide();
    this.arrival.towards(active && trip.state !== 'requested' ? (trip.state === 'on_trip' ? trip.dropoff : trip.pickup) : null);
    this.draw();
    if (trip.state === 'requested') this.camera.see([trip.pickup, trip.dropoff], undefined, true);
    this.camera.soon();
  }

  async #findReceipt() {
    const receipt = await this.api.receipt(this.ride.trip.id).catch(() => null);
    if (receipt && this.ride.settle(receipt)) this.draw();
  }

  #position(p) {
    const at = nowMs() + this.socket.clock.offset;
    this.socket.shown(p.n ?? 0);
    if (!this.ride.active || this.ride.trip.driver !== p.driver_id) return;
    this.cars.follow(p.driver_id, p, at - p.at_ms);
    if (this.socket.clock.known) this.figures.take(p, at);
  }

  #watch() {
    const center = this.map.getCenter();
    const corner = this.map.getBounds().getNorthEast();
    const radius_m = Math.min(20_000, Math.max(500, metres(center, corner)));
    this.socket.keep({ watch_area: { center: { lng: center.lng, lat: center.lat }, radius_m } });
  }

  #linked(link) {
    this.link = { ...link, since: performance.now() };
    document.body.dataset.connection = link.state;
    const words = { live: 'Live', connecting: 'Connecting', reconnecting: 'Reconnecting', lost: 'Offline', away: 'Disconnected' };
    byID('link-text').textContent = words[link.state];
    this.#banner();
  }

  #banner() {
    const banner = byID('banner');
    const words = this.#trouble();
    banner.hidden = !words;
    if (banner.textContent !== words) banner.textContent = words;
    banner.dataset.kind = this.ride.comms && this.link.state === 'live' ? 'comms' : 'link';
    banner.onclick = this.link.state === 'away' || this.link.state === 'lost' ? () => this.socket.now() : null;
  }

  #trouble() {
    const { state, why, retryMs, since } = this.link;
    if (state === 'away') return `${why} Tap to use this one.`;
    if (state === 'lost') {
      const seconds = Math.ceil((retryMs - (performance.now() - since)) / 1000);
      const lead = why || 'Connection lost.';
      return seconds > 1 ? `${lead} Trying again in ${seconds} s. Tap to try now.` : `${lead} Trying again…`;
    }
    if (this.ride.comms) {
      const last = Math.max((performance.now() - this.ride.comms.since) / 1000, 0);
      return `Your driver’s phone went silent. Last position ${ago(last)}; the ride goes on.`;
    }
    return '';
  }

  #tick() {
    this.#banner();
    document.body.dataset.cars = this.cars.count;
    this.#price();
    const car = this.cars.myPlace;
    if (!car || !this.ride.active) return this.card.tick(null);
    this.card.tick(this.arrival.seconds(car));
    const goal = this.ride.trip.state === 'on_trip' ? this.ride.trip.dropoff : this.ride.trip.pickup;
    this.camera.see([car, goal]);
  }

  /** Counts the price down; one that has ended, while nothing is being ordered, is asked for anew. */
  #price() {
    const { ride } = this;
    if (ride.phase !== 'quoted' || !ride.quote.endsMs) return;
    const left = (ride.quote.endsMs - Date.now()) / 1000;
    if (left <= 0 && !this.requoting && !document.hidden) {
      this.requoting = true;
      this.#requote().finally(() => { this.requoting = false; });
    }
    this.card.price(left);
  }

  #nameOf(p) {
    let best = null;
    for (const d of this.districts()) {
      const far = metres(p, d);
      if (!best || far < best.far) best = { name: d.name, far };
    }
    return best ? (best.far < 700 ? best.name : `Near ${best.name}`) : `${p.lat.toFixed(4)}, ${p.lng.toFixed(4)}`;
  }
}
