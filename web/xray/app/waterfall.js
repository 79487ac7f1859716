// One trip as a tree of phases and hops: what is shown, selected and open.
import { el } from '../../app/dom.js';
import { fittingPicks, groupPhases, hopRowID, isFiltering, noFilter, notableHop, opensByItself, readRide, rideOfMedian, rowsOf } from './model.js';
import { renderFilters, renderHead, renderNotice } from './head.js';
import { listenToSwipes, renderPhase, renderPhoneBar } from './phone.js';
import { renderSummary } from './summary.js';
import { Tree } from './tree.js';
import { texts } from './texts.js';

/** @typedef {import('./types.js').Hop} Hop */
/** @typedef {import('./types.js').Ride} Ride */
/** @typedef {import('./types.js').Median} Median */
/** @typedef {import('./types.js').Group} Group */
/** @typedef {import('./types.js').Row} Row */
/** @typedef {import('./types.js').Filter} Filter */
/**
 * @typedef {object} View
 * @property {Ride|null} ride
 * @property {Median|null} median
 * @property {Ride|null} beside
 * @property {string} besideName
 * @property {Group[]} groups
 * @property {Filter} filter
 * @property {string|null} only the mechanism that is kept, the others are dim
 * @property {boolean} ghost
 * @property {boolean} doubt
 * @property {boolean} isOngoing
 * @property {string} stale why the figures may be old
 * @property {number} at the phase that a phone shows
 */
/**
 * @typedef {object} Actions
 * @property {() => void} toggleGhost
 * @property {() => void} toggleDoubt
 * @property {(change: Partial<Filter>) => void} filter
 * @property {(at: number) => void} goTo
 */
/**
 * @typedef {object} Hooks
 * @property {(hop: Hop|null) => void} onRow a row is pointed at
 * @property {(hop: Hop|null) => void} [onSelect]
 * @property {() => void} [onOpen] the selected hop is to be looked into
 */

const endStates = new Set(['completed', 'cancelled', 'expired', 'paid', '']);

export class Waterfall {
  /** @param {HTMLElement} element @param {Hooks} hooks */
  constructor(element, hooks) {
    this.hooks = hooks;
    /** @type {View} */
    this.view = { ride: null, median: null, beside: null, besideName: '', groups: [], filter: noFilter(), only: null, ghost: true, doubt: true, isOngoing: false, stale: '', at: 0 };
    /** @type {Map<string, boolean>} */ this.opened = new Map();
    /** @type {Map<string, number>} */ this.picks = new Map();
    this.selected = '';
    this.wasPhone = false;
    this.actions = this.#actions();
    this.tree = new Tree({ onSelect: (row) => this.#choose(row.id), onEnter: () => hooks.onOpen?.(), onFold: (g, open) => this.#fold(g, open), onPick: (g, i) => this.pick(g, i),
      onHover: (row) => hooks.onRow(row?.kind === 'hop' ? row.hop : null) });
    this.parts = this.#build(element);
    listenToSwipes(this.parts.frame, (step) => this.stepPhase(step));
    new ResizeObserver(() => this.#resized()).observe(this.parts.frame);
  }

  /** @param {HTMLElement} element */
  #build(element) {
    const part = (/** @type {string} */ id, more = {}) => el('div', { id, ...more });
    const none = el('p', { id: 'none', hidden: true }, texts.nothingLeft);
    const parts = { head: part('head'), summary: part('summary', { role: 'group', 'aria-label': texts.summary }), notice: el('p', { id: 'notice', role: 'status', hidden: true }),
      filters: part('filters', { role: 'group', 'aria-label': texts.filterLabel, hidden: true }), phase: part('phase', { hidden: true }),
      frame: el('div', { id: 'tree-frame' }, this.tree.node, none), bar: part('bar', { hidden: true }) };
    element.replaceChildren(el('i.grip', { 'aria-hidden': 'true' }), ...Object.values(parts));
    return { ...parts, none };
  }

  /** @returns {Actions} */
  #actions() {
    const flip = (/** @type {'ghost'|'doubt'} */ what) => () => { this.view[what] = !this.view[what]; this.render(); };
    return { toggleGhost: flip('ghost'), toggleDoubt: flip('doubt'), goTo: (at) => this.#goTo(at), filter: (change) => this.#filter(change) };
  }

  /** @param {Partial<Filter>} change */
  #filter(change) {
    Object.assign(this.view.filter, change);
    for (const [id, nth] of fittingPicks(this.view.groups, this.view.filter)) this.picks.set(id, nth);
    this.#regroup();
    this.render();
  }

  get isPhone() {
    return this.tree.geometry.isPhone;
  }

  /**
   * Shows a ride, or what it has become. Another trip begins with its own rows
   * open; the same trip keeps what is open, selected and scrolled to.
   * @param {any} data @param {{beside?: any, besideName?: string, median?: Median|null, stale?: string}} [more] beside is a ride or a median
   */
  show(data, { beside = null, besideName = '', median = null, stale = '' } = {}) {
    const ride = readRide(data), isNew = ride.trip !== this.view.ride?.trip;
    const other = beside && (beside.trips ? rideOfMedian(beside) : readRide(beside));
    Object.assign(this.view, { ride, median, beside: other, besideName, stale, isOngoing: !endStates.has(ride.state) });
    if (isNew) this.#begin(ride, median);
    this.#regroup();
    this.render();
    if (isNew) this.tree.centre();
  }

  /** @param {Ride} ride @param {Median|null} median */
  #begin(ride, median) {
    this.opened.clear();
    this.picks.clear();
    this.view.filter = noFilter();
    this.selected = '';
    const hop = notableHop(ride, median);
    if (hop) this.selectHop(hop, false);
  }

  #regroup() {
    this.view.groups = groupPhases(this.view.ride?.phases ?? [], this.picks);
  }

  /** @param {Group} g */
  #isOpen(g) {
    return this.opened.get(g.id) ?? opensByItself(g.phase, this.view.median, this.selectedHop);
  }

  /** @returns {Hop|null} */
  get selectedHop() {
    for (const g of this.view.groups) for (const h of g.phase.hops) if (hopRowID(g, h) === this.selected) return h;
    return null;
  }

  get selectedGroup() {
    return this.view.groups.find((g) => `p-${g.id}` === this.selected || g.phase.hops.some((h) => hopRowID(g, h) === this.selected)) ?? null;
  }

  rows() {
    const { groups, filter, at } = this.view;
    if (this.isPhone && !isFiltering(filter)) return rowsOf(groups.slice(at, at + 1), { isOpen: () => true, filter });
    return rowsOf(groups, { isOpen: (g) => this.#isOpen(g), filter });
  }

  render() {
    const { view, actions, parts } = this;
    renderHead(parts.head, view, actions);
    renderFilters(parts.filters, view, actions);
    renderNotice(parts.notice, view);
    if (!view.ride) return;
    this.#showSummary();
    this.wasPhone = this.isPhone;
    if (this.isPhone && !isFiltering(view.filter)) renderPhase(parts.phase, view, actions);
    else parts.phase.hidden = true;
    renderPhoneBar(parts.bar, this.isPhone ? this.selectedHop : null, () => this.hooks.onOpen?.());
    const rows = this.rows();
    parts.none.hidden = rows.length > 0;
    this.tree.show(rows, this.selected, { median: view.median, beside: view.beside, ghost: view.ghost && !view.beside, doubt: view.doubt, only: view.only });
    this.hooks.onSelect?.(this.selectedHop);
  }

  #showSummary() {
    const { view, actions, parts } = this;
    if (view.ride) renderSummary(parts.summary, view.ride, view.filter.wait, (wait) => actions.filter({ wait: view.filter.wait === wait ? null : wait }));
  }

  #resized() {
    if (this.view.ride && this.isPhone !== this.wasPhone) this.render();
    else this.#showSummary(); // other labels fit now
  }

  /** @param {string} id */
  #choose(id) {
    if (id !== this.selected) this.#keepOpen();
    this.selected = id;
    this.render();
    this.tree.reveal();
  }

  /** What is open now stays so when another hop is selected. */
  #keepOpen() {
    for (const g of this.view.groups) if (this.#isOpen(g)) this.opened.set(g.id, true);
  }

  /** @param {Group} group @param {boolean} open */
  #fold(group, open) {
    this.#keepOpen();
    this.opened.set(group.id, open);
    if (!open) this.selected = `p-${group.id}`;
    this.render();
  }

  /** Shows another of the phases that repeat. @param {Group} group @param {number} member */
  pick(group, member) {
    this.picks.set(group.id, group.members[member].nth ?? 0);
    this.opened.set(group.id, true);
    this.#regroup();
    this.render();
  }

  /** @param {Hop} hop @param {boolean} [draw] */
  selectHop(hop, draw = true) {
    const phases = this.view.ride?.phases ?? [], phase = phases.find((p) => p.hops.includes(hop));
    const group = phase && groupPhases(phases, this.picks).find((g) => g.members.includes(phase));
    if (!phase || !group) return;
    this.picks.set(group.id, phase.nth ?? 0);
    this.#regroup();
    this.view.at = this.view.groups.findIndex((g) => g.id === group.id);
    const id = hopRowID(this.view.groups[this.view.at], hop);
    this.opened.set(group.id, true);
    if (draw) this.#choose(id);
    else this.selected = id;
  }

  /** Selects a hop by its name. @param {string} name @param {number} [nth] @param {string} [phase] */
  select(name, nth, phase) {
    const phases = this.view.ride?.phases ?? [];
    const fitting = phases.filter((p) => (!phase || p.name === phase) && (nth === undefined || (p.nth ?? 0) === nth));
    const named = (fitting.length ? fitting : phases).flatMap((p) => p.hops).filter((h) => h.name === name), hop = named[named.length - 1];
    if (hop) this.selectHop(hop);
    return Boolean(hop);
  }

  /** Keeps the hops of one mechanism and dims the others. @param {string|null} mechanism */
  filterMechanism(mechanism) {
    this.view.only = mechanism;
    this.render();
  }

  /** Marks the rows of a line of the map. @param {{from: string, to: string, mechanism: string}|null} line */
  highlight(line) {
    for (const node of this.tree.canvas.querySelectorAll('.row.hop')) {
      const row = this.tree.rows[Number(/** @type {HTMLElement} */ (node).dataset.index)];
      node.classList.toggle('of-line', Boolean(line && row?.kind === 'hop' && row.hop.mechanism === line.mechanism && row.hop.from === line.from && row.hop.to === line.to));
    }
  }

  /** Goes to the next or last phase. @param {number} step */
  stepPhase(step) {
    const { groups, at } = this.view;
    if (this.isPhone) return this.#goTo(at + step);
    const now = groups.findIndex((g) => g === this.selectedGroup), group = groups[Math.min(groups.length - 1, Math.max(0, now + step))];
    if (group) this.#choose(`p-${group.id}`);
    return undefined;
  }

  /** @param {number} at */
  #goTo(at) {
    const group = this.view.groups[at];
    if (!group) return;
    this.view.at = at;
    const { hops } = group.phase, slowest = hops.reduce((a, b) => (b.own_us > (a?.own_us ?? -1) && b.mechanism !== 'person' ? b : a), hops[0]);
    this.selected = slowest ? hopRowID(group, slowest) : `p-${group.id}`;
    this.render();
  }

  /** The next hop up or down. @param {number} step */
  moveHop(step) {
    return this.tree.moveHop(step);
  }
}

/** @param {HTMLElement} element @param {Hooks} hooks */
export const createWaterfall = (element, hooks) => new Waterfall(element, hooks);
