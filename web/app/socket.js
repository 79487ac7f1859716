// The socket: one connection at a time that authenticates, resumes where it stopped, sends commands until they are
// acked (the same id again is harmless), and knows how far the node's clock is from ours.

import { Clock, Credit, backoff, afterClose } from './resume.js';
import { newID } from './api.js';

const PING_EVERY = 5_000;
const SILENCE = 25_000; // nothing heard for this long: the connection is dead, whatever the browser thinks

/** Wall-clock milliseconds with fractions. */
export const nowMs = () => performance.timeOrigin + performance.now();

/**
 * Events: 'link' ({state, retryMs, why}), and each server frame's body under its own name (welcome, position, …).
 * `where()` says how far we got: {trip_id, trip_seq, chat_seq}.
 */
export class Socket extends EventTarget {
  constructor(api, where) {
    super();
    this.api = api;
    this.where = where;
    this.clock = new Clock();
    this.epoch = '';
    this.live = false;
    this.wantsTimes = false; // the node records when frames were sent
    this.attempt = 0;
    this.pending = new Map(); // id -> {frame, done, fail}; kept across connections
    addEventListener('online', () => !this.live && this.now());
    this.lasting = new Map(); // body name -> frame to send again on every connection, like what we watch
  }

  async connect() {
    clearTimeout(this.retry);
    this.#tell('link', { state: this.attempt ? 'reconnecting' : 'connecting' });
    try {
      if (!this.api.token) await this.api.renew();
    } catch (problem) {
      return this.#later(problem.message);
    }
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const ws = new WebSocket(`${scheme}//${location.host}/v1/ws`, ['ridehail.v1.json']);
    this.ws = ws;
    this.credit = new Credit();
    this.heard = performance.now();
    ws.onopen = () => ws === this.ws && this.#hello();
    ws.onmessage = (m) => ws === this.ws && this.#hear(m.data);
    ws.onclose = (e) => ws === this.ws && this.#closed(e.code);
  }

  /** Sends a command and resolves with its ack; rejects with the ack when the node refuses. */
  command(body, id = newID('web-')) {
    return new Promise((done, fail) => {
      const frame = { id, ...body };
      this.pending.set(id, { frame, done, fail });
      if (this.live) this.#sendTimed(frame);
    });
  }

  /** Sends something that may be lost. */
  whisper(body) {
    if (this.live) this.#send(body);
  }

  /** Sends now and again after every reconnect; the newest of its kind counts. */
  keep(body) {
    this.lasting.set(Object.keys(body)[0], body);
    this.whisper(body);
  }

  /** Gives credit back for a position shown. */
  shown(n) {
    const ack = this.credit.show(n);
    if (ack && this.live) this.#sendTimed({ position_ack: { n: ack } });
  }

  /** Comes back now, for a person who asked. */
  now() {
    const { ws } = this;
    this.ws = null;
    ws?.close();
    this.attempt = 0;
    this.connect();
  }

  #hello() {
    const { trip_id, trip_seq, chat_seq } = this.where();
    const hello = { token: this.api.token, client: 'ridehail web' };
    if (this.epoch) hello.resume = { epoch: this.epoch, ...(trip_id && { trip_id, trip_seq, chat_seq }) };
    this.#send({ hello });
  }

  #hear(data) {
    this.heard = performance.now();
    const frame = JSON.parse(data);
    const name = Object.keys(frame)[0];
    const body = frame[name] ?? {};
    if (name === 'welcome') this.#welcomed(body);
    if (name === 'ack') return this.#acked(body);
    if (name === 'pong') return this.clock.add(body.t1_ms, body.t2_ms, body.t3_ms, nowMs());
    this.#tell(name, body);
  }

  #welcomed(welcome) {
    this.epoch = welcome.epoch ?? '';
    this.live = true;
    this.wantsTimes = welcome.wants_sent_ms ?? false;
    this.attempt = 0;
    for (const body of this.lasting.values()) this.#send(body);
    for (const { frame } of this.pending.values()) this.#sendTimed(frame);
    clearInterval(this.beat);
    this.beat = setInterval(() => this.#ping(), PING_EVERY);
    for (let i = 0; i < 3; i++) this.#ping();
    this.#tell('link', { state: 'live' });
  }

  #acked(ack) {
    const command = this.pending.get(ack.id);
    if (!command) return;
    if (ack.code === 'unavailable') { // the same id again has no second effect
      setTimeout(() => this.live && this.pending.has(ack.id) && this.#sendTimed(command.frame), 1_500);
      return;
    }
    this.pending.delete(ack.id);
    if (ack.code) command.fail(ack);
    else command.done(ack);
  }

  #ping() {
    if (performance.now() - this.heard > SILENCE) { // a dead network never answers a close: do not wait for it
      const { ws } = this;
      this.ws = null;
      ws.close();
      return this.#closed(1006);
    }
    this.#send({ ping: { t1_ms: nowMs() } });
  }

  #closed(code) {
    this.live = false;
    clearInterval(this.beat);
    const next = afterClose(code);
    if (next === 'stay') return this.#tell('link', { state: 'away', why: WHY[code] ?? 'The server closed the connection.' });
    if (next === 'renew') this.api.token = '';
    this.#later('');
  }

  #later(why) {
    this.live = false;
    const retryMs = backoff(this.attempt++);
    this.retry = setTimeout(() => this.connect(), retryMs);
    this.#tell('link', { state: 'lost', retryMs, why });
  }

  /** Sends a frame with the time of this sending, if the node records such times. */
  #sendTimed(frame) {
    this.#send(this.wantsTimes ? { ...frame, sent_ms: nowMs() } : frame);
  }

  #send(frame) {
    if (this.ws?.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(frame));
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

const WHY = {
  1008: 'This page was sending too fast and was disconnected.',
  4408: 'You have too many pages open.',
  4409: 'You are connected in another tab.',
};
