// The live figures: one event a second from GET /v1/xray/live, and how old they
// are when the link is lost.

/**
 * @typedef {import('./linemap-figures.js').Live} Live
 * @typedef {{state: 'connecting' | 'live' | 'lost', ageS: number, why: string}} Link
 * @typedef {{readyState: number, close(): void, addEventListener(name: string, on: (event: any) => void): void}} Source
 * @typedef {object} Ways how the feed reaches the world; tests have their own
 * @property {(url: string) => Source} open
 * @property {() => number} now in milliseconds
 * @property {(url: string) => Promise<string>} askWhy why the feed does not open, in a sentence
 */

const url = '/v1/xray/live';
const lostAfter = 3000; // three events that did not come
const longestPause = 10_000; // between two tries to open it
const closed = 2; // EventSource.CLOSED
const lists = /** @type {const} */ (['nodes', 'lines', 'stations', 'dots', 'ledger', 'faults']);

const elsewhere = 'This address shows no live figures. They are at the node’s admin address, or here on a node with development tokens.';

/** @type {Ways} */
const browser = {
  open: (address) => new EventSource(address),
  now: () => performance.now(),
  async askWhy(address) {
    const abort = new AbortController();
    try {
      const response = await fetch(address, { signal: abort.signal, headers: { Accept: 'text/event-stream' } });
      if (response.ok) return '';
      if (response.status === 404) return elsewhere;
      return (await response.json()).detail ?? '';
    } catch {
      return 'The node does not answer.';
    } finally {
      abort.abort();
    }
  },
};

export class LiveFeed {
  /**
   * Opens the feed. Call tick about once a second: it notices a silent link.
   * @param {{onEvent: (live: Live) => void, onLink: (link: Link) => void}} hooks
   * @param {Ways} [ways]
   */
  constructor(hooks, ways = browser) {
    this.hooks = hooks;
    this.ways = ways;
    this.state = /** @type {Link['state']} */ ('connecting');
    this.why = '';
    this.tries = 0;
    this.began = this.lastAt = ways.now();
    this.retryAt = 0;
    this.hasEvents = false;
    this.connect();
  }

  connect() {
    this.retryAt = 0;
    this.source = this.ways.open(url);
    this.source.addEventListener('live', (event) => this.take(event.data));
    this.source.addEventListener('error', () => this.fail());
  }

  /** @param {string} data */
  take(data) {
    /** @type {any} */
    let live;
    try {
      live = JSON.parse(data);
    } catch {
      return; // cut short with its connection
    }
    for (const name of lists) live[name] ??= []; // an empty list may come as null
    Object.assign(this, { state: 'live', why: '', tries: 0, lastAt: this.ways.now(), hasEvents: true });
    this.hooks.onLink(this.link());
    this.hooks.onEvent(live);
  }

  /** EventSource tries again by itself after a broken connection, not after an answer that is an error. */
  fail() {
    if (this.source?.readyState !== closed) return;
    this.source.close();
    this.retryAt = this.ways.now() + Math.min(longestPause, 1000 * 2 ** this.tries++);
    if (!this.hasEvents || this.tries > 1) this.ways.askWhy(url).then((why) => { if (this.state !== 'live') this.why = why; });
    this.lose();
  }

  lose() {
    this.state = 'lost';
    this.hooks.onLink(this.link());
  }

  tick() {
    const now = this.ways.now();
    if (this.retryAt && now >= this.retryAt) this.connect();
    if (this.state === 'lost' || now - this.lastAt >= lostAfter) this.lose();
  }

  /** @returns {Link} */
  link() {
    const age = this.hasEvents ? this.ways.now() - this.lastAt : 0;
    return { state: this.state, ageS: Math.round(age / 1000), why: this.why };
  }

  close() {
    this.source?.close();
  }
}
