// The fault switches: pills beside the stations that they break, which grow into
// cards while they are on. On a phone they are a list below the map.
import { el } from '../../app/dom.js';
import { FaultDesk, FaultSpeaker } from './faultdesk.js';

/**
 * @typedef {import('./faultdesk.js').FaultView} FaultView
 * @typedef {import('./linemap-figures.js').Live} Live
 * @typedef {object} Pill
 * @property {HTMLElement} node @property {HTMLButtonElement} button
 * @property {HTMLElement} note @property {HTMLElement} sentence
 */

const address = '/xray/api/faults';

/** @type {import('./faultdesk.js').Ask} */
async function askNode(method, id, body) {
  try {
    const response = await fetch(id ? `${address}/${encodeURIComponent(id)}` : address,
      { method, headers: { 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) });
    if (response.ok) return '';
    const problem = await response.json().catch(() => ({}));
    return problem.detail || 'This node has no fault switches: they are there in ridehail demo.';
  } catch {
    return 'The node does not answer. Try again when it is back.';
  }
}

/** Where each switch stands on a wide map. Others stand beside the phones. */
const groups = /** @type {Record<string, string>} */ ({ delay: 'middle', database_away: 'middle', redis_away: 'redis', provider_down: 'provider' });

export class FaultSwitches {
  /**
   * @param {HTMLElement} map the switches are put into it
   * @param {() => void} onChange something else than a live event changed them
   * @param {import('./faultdesk.js').Ask} [ask]
   */
  constructor(map, onChange, ask = askNode) {
    this.desk = new FaultDesk(crypto.randomUUID?.() ?? String(Math.random()), ask);
    this.speaker = new FaultSpeaker();
    this.onChange = onChange;
    /** @type {Map<string, Pill>} */ this.pills = new Map();
    this.newest = /** @type {string[]} */ ([]); // ids that are open, the newest first
    this.isUnfolded = false; // the list of a phone shows all switches
    this.node = el('div.faults', { role: 'group', 'aria-label': 'Fault switches' });
    this.places = new Map(['phones', 'middle', 'redis', 'provider'].map((name) => [name, el(`div.fault-group.at-${name}`)]));
    this.more = el('button.more', { type: 'button', 'aria-expanded': 'false', onclick: () => this.unfold() });
    this.status = el('p.hidden', { role: 'status', id: 'fault-news' });
    this.foot = el('div.foot'); // on a phone it takes buttons that have no place in the header
    this.node.append(...this.places.values(), this.more, this.foot, this.status);
    this.more.hidden = true;
    map.append(this.node);
  }

  /** @param {Live} live */
  take(live) {
    this.desk.take(live.faults, live.at_ms);
    this.show();
  }

  /** @param {boolean} isReachable */
  setReachable(isReachable) {
    if (this.desk.isReachable === isReachable) return;
    this.desk.isReachable = isReachable;
    this.show();
  }

  /** Whether this node has no switches. */
  get isEmpty() {
    return this.desk.faults.length === 0;
  }

  tick() {
    this.desk.tick(performance.now());
    this.show();
  }

  async allOff() {
    const done = this.desk.allOff(performance.now());
    this.show();
    this.onChange();
    const why = await done;
    this.show();
    this.onChange();
    this.status.textContent = why || 'All faults are off.';
  }

  unfold() {
    this.isUnfolded = !this.isUnfolded;
    this.show();
    this.onChange();
  }

  /** @param {string} id */
  async toggle(id) {
    const done = this.desk.toggle(id, performance.now());
    this.show();
    this.onChange();
    await done;
    this.show();
    this.onChange();
  }

  show() {
    const views = this.desk.views(), ids = new Set(views.map((v) => v.id));
    for (const [id, pill] of this.pills) {
      if (ids.has(id)) continue;
      pill.node.remove();
      this.pills.delete(id);
    }

    const open = views.filter((v) => v.isOpen).map((v) => v.id);
    this.newest = [...open.filter((id) => !this.newest.includes(id)), ...this.newest.filter((id) => open.includes(id))];
    for (const view of views) this.showOne(view);
    this.showMore(views);
    const news = this.speaker.news(views);
    if (news) this.status.textContent = news;
  }

  /** @param {FaultView} view */
  showOne(view) {
    const pill = this.pills.get(view.id) ?? this.addPill(view), group = groupOf(view.id);
    const isFirst = this.newest.find((id) => groupOf(id) === group) === view.id;
    pill.node.dataset.state = view.isBroken ? 'on' : view.isOpen ? 'told' : 'off';
    pill.node.toggleAttribute('data-first', isFirst);
    pill.node.toggleAttribute('data-newest', this.newest[0] === view.id);
    pill.node.toggleAttribute('data-refused', view.isRefusal);
    pill.button.setAttribute('aria-checked', String(view.isOn));
    pill.button.setAttribute('aria-disabled', String(view.isDisabled)); // disabled would take the focus away
    setText(pill.note, view.note);
    setText(pill.sentence, view.sentence);
    pill.sentence.hidden = view.sentence === '';
  }

  /** @param {FaultView} view @returns {Pill} */
  addPill(view) {
    const note = el('span.note', { id: `fault-note-${view.id}` }), sentence = el('p.sentence', { id: `fault-words-${view.id}` });
    const button = /** @type {HTMLButtonElement} */ (el('button.switch', {
      type: 'button', role: 'switch', 'aria-checked': 'false', id: `fault-${view.id}`, 'aria-describedby': `fault-note-${view.id} fault-words-${view.id}`,
      onclick: () => this.toggle(view.id),
    }, el('i', { 'aria-hidden': 'true' }), el('span.name', { title: view.name }, view.name)));
    const node = el('div.fault', { 'data-fault': view.id }, el('div.fault-head', {}, button, note), sentence);
    this.places.get(groupOf(view.id))?.append(node);
    this.pills.set(view.id, { node, button, note, sentence });
    return { node, button, note, sentence };
  }

  /** On a phone one card stands there, and a button for the others. @param {FaultView[]} views */
  showMore(views) {
    const shown = this.newest.length ? 1 : 0, others = views.length - shown;
    this.node.toggleAttribute('data-unfolded', this.isUnfolded);
    this.more.hidden = others === 0;
    this.more.setAttribute('aria-expanded', String(this.isUnfolded));
    setText(this.more, this.isUnfolded ? 'Fewer' : shown ? `${others} more ${others === 1 ? 'fault' : 'faults'}` : `${others} fault switches`);
  }
}

/** @param {string} id */
const groupOf = (id) => groups[id] ?? 'phones';

/** Changes a text only when it is another one, so that nothing is read or drawn again. @param {Element} node @param {string} words */
export function setText(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

/** The header's button. @param {FaultSwitches} switches */
export function allOffButton(switches) {
  return el('button.pill.all-off', { type: 'button', id: 'all-off', 'aria-keyshortcuts': '0', onclick: () => switches.allOff() }, 'All faults off');
}
