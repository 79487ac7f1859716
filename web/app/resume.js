// What a phone remembers to come back without loss: which numbered things it has seen, how far its clock is from the
// node's, and how long to wait before the next try. Pure.

/** Decides what to do with numbered things of one kind: the next one is shown, an old one dropped, a gap re-read. */
export class Sequence {
  constructor(last = 0) {
    this.last = last;
  }

  /** 'show', 'old' or 'gap'. Only 'show' moves on. */
  take(n) {
    if (n <= this.last) return 'old';
    if (n > this.last + 1) return 'gap';
    this.last = n;
    return 'show';
  }

  /** After a re-read: everything up to n is known. */
  reset(n) {
    this.last = n;
  }
}

/** Milliseconds before try number `attempt` (from 0): doubling, capped, with full jitter so a crowd spreads out. */
export function backoff(attempt, random = Math.random) {
  const cap = Math.min(15_000, 400 * 2 ** Math.min(attempt, 10));
  return 100 + random() * cap;
}

// As the node's table says: after any other code, or none, a phone comes back by itself.
const STAY_AWAY = new Set([1002, 1007, 1008, 1009, 4408, 4409]);
const NEW_TOKEN = new Set([4401, 4402]);

/** What a close code asks of us: 'return', 'renew' (with a new token) or 'stay'. */
export function afterClose(code) {
  if (NEW_TOKEN.has(code)) return 'renew';
  return STAY_AWAY.has(code) ? 'stay' : 'return';
}

/** The node's clock minus ours, from the quickest of the last few ping/pong rounds. */
export class Clock {
  constructor() {
    this.rounds = [];
  }

  /** t1 our send, t2 node's receive, t3 node's send, t4 our receive; all ms. */
  add(t1, t2, t3, t4) {
    this.rounds.push({ rtt: t4 - t1 - (t3 - t2), offset: (t2 - t1 + (t3 - t4)) / 2 });
    if (this.rounds.length > 8) this.rounds.shift();
  }

  get known() {
    return this.rounds.length > 0;
  }

  get best() {
    return this.rounds.reduce((a, b) => (b.rtt < a.rtt ? b : a), this.rounds[0] ?? { rtt: 0, offset: 0 });
  }

  get offset() {
    return this.best.offset;
  }

  get rtt() {
    return this.best.rtt;
  }
}

/** Gives positions' credit back: the node keeps at most two un-acked, so every second one is acked. */
export class Credit {
  constructor() {
    this.acked = 0;
  }

  /** The number to ack after showing position n, or 0 for none yet. */
  show(n) {
    if (n - this.acked < 2) return 0;
    this.acked = n;
    return n;
  }
}
