// What each fault switch shows, and what is asked of the node. A press shows at
// once; a refusal springs back with its sentence. Nothing here touches the
// document or reads a clock.

/**
 * @typedef {import('./linemap-figures.js').LiveFault} LiveFault
 * @typedef {(method: 'PUT' | 'DELETE', id: string, body?: {on: boolean, page: string, keep?: boolean}) => Promise<string>} Ask
 *   carries out a request and returns why it was refused, or ''
 * @typedef {object} FaultView
 * @property {string} id @property {string} name @property {string} station
 * @property {boolean} isOn @property {boolean} isDisabled
 * @property {boolean} isOpen it has grown into a card
 * @property {boolean} isBroken it is on, so its card is in the colour of danger
 * @property {string} note how long it is on, or who switched it
 * @property {string} sentence what its effect is, or why it was refused
 * @property {boolean} isRefusal
 */

import { spanWords } from './linemap-figures.js';

const repeatEvery = 10_000; // the node switches a fault off 30 s after its page is gone
const trustFor = 3000; // milliseconds that a press counts more than older figures
const refusalFor = 15_000;

export class FaultDesk {
  /** @param {string} page this page's name @param {Ask} ask */
  constructor(page, ask) {
    this.page = page;
    this.ask = ask;
    this.isReachable = false;
    /** @type {LiveFault[]} */ this.faults = [];
    this.liveAt = 0; // the node's time of the figures
    /** @type {Map<string, {on: boolean, until: number}>} presses that the figures do not show yet */ this.wanted = new Map();
    /** @type {Map<string, {words: string, until: number}>} */ this.refusals = new Map();
    /** @type {Map<string, number>} when each was asked for the last time */ this.asked = new Map();
  }

  /** @param {LiveFault[]} faults @param {number} atMs the node's time */
  take(faults, atMs) {
    this.faults = faults;
    this.liveAt = atMs;
    for (const f of faults) if (this.wanted.get(f.id)?.on === f.on) this.wanted.delete(f.id);
  }

  /** @param {LiveFault} fault */
  isOn(fault) {
    return this.wanted.get(fault.id)?.on ?? fault.on;
  }

  /** Presses a switch. @param {string} id @param {number} now */
  async toggle(id, now) {
    const fault = this.faults.find((f) => f.id === id);
    if (!fault || !this.isReachable) return;
    const on = !this.isOn(fault);
    this.refusals.delete(id);
    if (on && !fault.possible) {
      this.refuse(id, fault.why || 'This node cannot do that.', now);
      return;
    }
    this.wanted.set(id, { on, until: Infinity });
    await this.put(id, on, now);
  }

  /** Says that this page is still there. The node switches nothing on by it. @param {string} id @param {number} now */
  async keep(id, now) {
    this.asked.set(id, now);
    await this.ask('PUT', id, { on: true, page: this.page, keep: true });
  }

  /** @param {string} id @param {boolean} on @param {number} now */
  async put(id, on, now) {
    this.asked.set(id, now);
    const why = await this.ask('PUT', id, { on, page: this.page });
    const wanted = this.wanted.get(id);
    if (why) {
      this.wanted.delete(id);
      this.refuse(id, why, now);
    } else if (wanted) {
      wanted.until = now + trustFor;
    }
  }

  /** @param {string} id @param {string} words @param {number} now */
  refuse(id, words, now) {
    this.refusals.set(id, { words, until: now + refusalFor });
  }

  /** Switches all off, those of other pages too. Returns why not, or ''. @param {number} now */
  async allOff(now) {
    if (!this.isReachable) return 'The node is not reachable.';
    for (const f of this.faults) if (this.isOn(f)) this.wanted.set(f.id, { on: false, until: now + trustFor });
    const why = await this.ask('DELETE', '');
    if (why) this.wanted.clear();
    return why;
  }

  /** Call it about once a second: it repeats what is on, and forgets what is old. @param {number} now */
  tick(now) {
    for (const [id, w] of this.wanted) if (now > w.until) this.wanted.delete(id);
    for (const [id, r] of this.refusals) if (now > r.until) this.refusals.delete(id);
    if (!this.isReachable) return;
    for (const f of this.faults) {
      const isMine = f.on && f.by === this.page && this.isOn(f);
      if (isMine && now - (this.asked.get(f.id) ?? -Infinity) >= repeatEvery) this.keep(f.id, now);
    }
  }

  get isAnyOn() {
    return this.faults.some((f) => this.isOn(f));
  }

  /** @returns {FaultView[]} */
  views() {
    return this.faults.map((f) => this.view(f));
  }

  /** @param {LiveFault} f @returns {FaultView} */
  view(f) {
    const isOn = this.isOn(f), refusal = this.refusals.get(f.id)?.words ?? '';
    let sentence = refusal || f.sentence || (isOn ? 'waiting for the effect' : '');
    if (!this.isReachable && isOn) sentence = 'It may still be on: the node is not reachable.';
    return {
      id: f.id, name: f.name, station: f.station, isOn, isDisabled: !this.isReachable,
      isOpen: isOn || sentence !== '', isBroken: isOn, note: this.note(f, isOn), sentence, isRefusal: refusal !== '',
    };
  }

  /** @param {LiveFault} f @param {boolean} isOn */
  note(f, isOn) {
    if (!this.isReachable) return 'not reachable';
    if (!isOn) return '';
    if (!f.on) return 'switching on';
    if (f.by && f.by !== this.page) return 'on, by another page';
    return f.since_ms ? `on for ${spanWords(this.liveAt - f.since_ms)}` : 'on';
  }
}

/**
 * What a screen reader hears: each effect once, not again when only its figures
 * change, and each end.
 */
export class FaultSpeaker {
  constructor() {
    /** @type {Map<string, string>} */ this.said = new Map();
  }

  /** @param {FaultView[]} views @returns {string} what is new, or '' */
  news(views) {
    const words = [];
    for (const v of views) {
      const plain = v.sentence === 'waiting for the effect' ? '' : v.sentence.replace(/[\d.,]+/g, '0'), state = `${v.isOn} ${plain}`;
      const before = this.said.get(v.id) ?? 'false ';
      this.said.set(v.id, state);
      if (state === before) continue;
      if (plain && !before.endsWith(` ${plain}`)) words.push(`${v.name}: ${v.sentence}`);
      else if (before.startsWith('true') !== v.isOn) words.push(`${v.name}: ${v.isOn ? 'on' : 'off'}`);
    }
    return words.join(' ');
  }
}
