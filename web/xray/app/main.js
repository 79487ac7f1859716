// Starts the page: the live map above, one trip below.
import { byID, el, fill } from '../../app/dom.js';
import { API } from './api.js';
import { createLineMap } from './linemap.js';
import { createPicker } from './picker.js';
import { createWaterfall } from './waterfall.js';
import { readAddress, writeAddress } from './address.js';
import { renderDrawer } from './drawer.js';
import { listenToKeys } from './keys.js';
import { fails, hopNumbered, misses, numberOf, readRide } from './model.js';
import { ago, clockTime } from './format.js';
import { refusals, texts } from './texts.js';

/** How often a trip that goes on is asked for, and how often one that is awaited. */
const refreshMs = 1000, awaitMs = 3000;
/** After so long without an answer the figures are called old. */
const oldMs = 3000;

/** The node's sentence may begin as the page's. @param {string} words @param {string} says */
const whyNotTraced = (words, says) => (says.startsWith(words.split(',')[0]) ? says : `${words} ${says}`);

class Page {
  constructor() {
    this.api = new API();
    this.trip = '';
    /** @type {any} */ this.ride = null;
    /** @type {any} */ this.median = null;
    /** @type {any} */ this.beside = null;
    this.besideName = '';
    this.answeredAt = Date.now();
    this.isStale = false;
    this.isOpen = innerWidth >= 1100;
    this.wantedHop = 0;
    this.waterfall = createWaterfall(byID('trip'), { onRow: (hop) => this.map.highlight(hop), onSelect: () => this.#selected(), onOpen: () => this.#open() });
    this.map = createLineMap(byID('map'), {
      onHop: (/** @type {string} */ trip, /** @type {string} */ name) => this.#openHop(trip, name),
      onLegend: (/** @type {string|null} */ mechanism) => this.waterfall.filterMechanism(mechanism),
      onHover: (/** @type {any} */ line) => this.waterfall.highlight(line),
    });
    this.#addPickers();
    this.#listen();
  }

  #addPickers() {
    const list = () => this.api.list(), current = () => this.trip;
    document.body.append(
      createPicker('picker', { list, current, choices: ['newest', 'slowest', 'faulty'], isBeside: () => false, onStop: () => {}, onTrip: (id) => this.open(id), onChoice: (c) => this.#choose(c, (id) => this.open(id)) }),
      createPicker('beside-picker', { list, current, choices: ['newest', 'slowest', 'faulty', 'median'], isBeside: () => Boolean(this.beside), onStop: () => this.#layBeside(null, ''),
        onTrip: (id) => this.#compare(id), onChoice: (c) => this.#choose(c, (id) => this.#compare(id)) }));
  }

  #listen() {
    const { actions } = this.waterfall;
    listenToKeys({ phase: (step) => this.waterfall.stepPhase(step), ghost: actions.toggleGhost, doubt: actions.toggleDoubt,
      beside: () => /** @type {any} */ (byID('beside-picker')).showPopover(), escape: () => this.#close() });
    addEventListener('popstate', () => this.#readAddress());
    byID('trip').addEventListener('scroll', () => this.#pointNotch(), true);
  }

  async start() {
    fill(byID('trip'), el('p.state', { role: 'status' }, texts.loading));
    await this.#readAddress();
    this.#follow();
  }

  async #readAddress() {
    const { trip, hop } = readAddress(location.search);
    this.wantedHop = hop;
    if (trip) await this.open(trip, { keepAddress: true });
    else await this.#openNewest();
  }

  /** The newest trip that has ended, or else the newest. */
  async #openNewest() {
    try {
      const trips = await this.api.list(), newest = trips.find((/** @type {any} */ t) => t.ended_ms > 0) ?? trips[0];
      if (newest) await this.open(newest.id, { keepAddress: true });
      else this.#say(texts.empty, 'empty');
    } catch (refusal) {
      this.#refused(refusal, true);
    }
  }

  /** Shows a trip. @param {string} id @param {{keepAddress?: boolean}} [how] */
  async open(id, { keepAddress = false } = {}) {
    try {
      const [ride, median] = await Promise.all([this.api.ride(id), this.api.median().catch(() => null)]);
      if (!keepAddress && id !== this.trip) history.pushState(null, '', writeAddress(id, 0));
      Object.assign(this, { trip: id, ride: readRide(ride), median, answeredAt: Date.now() });
      document.body.dataset.state = 'trip';
      if (!byID('tree')) this.#rebuild();
      this.#show();
      const wanted = hopNumbered(this.ride, this.wantedHop);
      if (wanted) this.waterfall.selectHop(wanted);
      this.wantedHop = 0;
    } catch (refusal) {
      if (id !== this.trip) this.trip = '';
      this.#refused(refusal);
    }
  }

  /** The card held words; the waterfall's parts come back. */
  #rebuild() {
    byID('trip').replaceChildren(el('i.grip', { 'aria-hidden': 'true' }), ...Object.values(this.waterfall.parts).filter((n) => n.id !== 'none'));
  }

  #show(stale = '') {
    this.waterfall.show(this.ride, { beside: this.beside, besideName: this.besideName, median: this.median, stale });
  }

  /** @param {string} trip @param {string} name */
  async #openHop(trip, name) {
    if (trip && trip !== this.trip) await this.open(trip);
    if (this.waterfall.select(name)) this.#open();
  }

  #selected() {
    const hop = this.waterfall.selectedHop, group = this.waterfall.selectedGroup, drawer = byID('drawer');
    drawer.hidden = !hop || !this.isOpen;
    if (!hop || !group) return;
    this.#keepAddress(hop);
    if (drawer.hidden) return;
    renderDrawer(drawer, { hop, group, median: this.median }, { move: (step) => this.waterfall.moveHop(step), close: () => this.#close() });
    requestAnimationFrame(() => this.#pointNotch());
  }

  /** @param {any} hop */
  #keepAddress(hop) {
    const address = writeAddress(this.trip, numberOf(this.waterfall.view.ride ?? this.ride, hop));
    if (location.pathname + location.search !== address) history.replaceState(history.state, '', address);
  }

  #pointNotch() {
    const notch = /** @type {HTMLElement|null} */ (document.querySelector('#drawer .notch')), y = this.waterfall.tree.selectedY();
    if (!notch) return;
    const box = byID('drawer').getBoundingClientRect();
    notch.hidden = y === null || y < box.top + 20 || y > box.bottom - 20;
    if (y !== null) notch.style.top = `${y - box.top}px`;
  }

  #open() {
    this.isOpen = true;
    this.#selected();
    byID('drawer-title')?.focus({ preventScroll: true });
  }

  #close() {
    const drawer = byID('drawer');
    if (drawer.hidden) return false;
    this.isOpen = false;
    drawer.hidden = true;
    this.waterfall.tree.node.focus();
    return true;
  }

  /** @param {import('./picker.js').Choice} choice @param {(id: string) => void} use */
  async #choose(choice, use) {
    if (choice === 'median') {
      if (!this.median?.trips) return texts.noOther;
      this.#layBeside(this.median, texts.besideMedian);
      return '';
    }
    const others = (await this.api.list().catch(() => [])).filter((/** @type {any} */ t) => t.id !== this.trip && t.ended_ms > 0);
    if (!others.length) return texts.noOther;
    const took = (/** @type {any} */ t) => t.ended_ms - t.began_ms;
    const found = choice === 'newest' ? others[0] : choice === 'slowest' ? others.reduce((/** @type {any} */ a, /** @type {any} */ b) => (took(b) > took(a) ? b : a)) : await this.#faulty(others);
    if (!found) return texts.noFault;
    use(found.id);
    return '';
  }

  /** The newest of the last twenty that missed a hop or had one fail. @param {any[]} trips */
  async #faulty(trips) {
    for (const t of trips.slice(0, 20)) {
      const ride = await this.api.ride(t.id).then(readRide, () => null);
      if (ride?.phases.some((p) => fails(p) || misses(p))) return t;
    }
    return null;
  }

  /** @param {string} id */
  async #compare(id) {
    const ride = await this.api.ride(id).catch(() => null);
    if (ride) this.#layBeside(ride, `Beside ${clockTime(readRide(ride).phases[0]?.began_at ?? 0)}`);
  }

  /** @param {any} other @param {string} name */
  #layBeside(other, name) {
    Object.assign(this, { beside: other, besideName: name });
    this.#show();
  }

  /** Asks again while the trip goes on, or while there is none. */
  #follow() {
    setTimeout(async () => {
      if (!document.hidden) await this.#refresh();
      this.#follow();
    }, this.ride ? refreshMs : awaitMs);
  }

  async #refresh() {
    if (!this.ride) return this.#openNewest();
    if (!this.waterfall.view.isOngoing && !this.isStale && !this.isSettling) return undefined;
    try {
      const ride = await this.api.ride(this.trip);
      Object.assign(this, { ride: readRide(ride), answeredAt: Date.now() });
      this.#show();
      this.isStale = false;
    } catch {
      this.isStale = true;
      const old = Date.now() - this.answeredAt;
      if (old > oldMs) this.#show(`${refusals.unreachable} (${ago(old)})`);
    }
    return undefined;
  }

  /** The charge and the receipt come after the end. */
  get isSettling() {
    const last = this.ride.phases.at(-1);
    return Boolean(last) && this.ride.state === 'completed' && Date.now() - last.began_at < 30_000;
  }

  /** @param {any} refusal @param {boolean} [ofList] */
  #refused(refusal, ofList = false) {
    const code = ofList && refusal.status === 404 ? 'no_list' : refusal.code;
    const words = Object.hasOwn(refusals, code) ? refusals[/** @type {keyof typeof refusals} */ (code)] : refusal.message;
    this.#say(code === 'not_traced' ? whyNotTraced(words, refusal.message) : words, code || 'failed');
  }

  /** Words instead of a trip. @param {string} words @param {string} state */
  #say(words, state) {
    this.ride = null;
    byID('drawer').hidden = true;
    document.body.dataset.state = state;
    if (byID('state-words')?.textContent === words) return;
    fill(byID('trip'), el('div.state', {}, el('p', { id: 'state-words', role: 'status' }, words),
      state === 'empty' || state === 'no_list' ? el('a.primary', { href: '/' }, texts.play) : el('button.primary', { type: 'button', id: 'try-again', onclick: () => this.#readAddress() }, texts.tryAgain)));
  }
}

new Page().start();
