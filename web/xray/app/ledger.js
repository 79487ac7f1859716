// The ledger of messages: per mechanism and class what became of all that was
// sent, with the check that it adds up; and the map's figures as a table.
import { el } from '../../app/dom.js';
import { ledgerColumns, missingFrom, readerRows, wordsOf } from './linemap-figures.js';
import { disc } from './linemap-svg.js';
import { svg } from './svg.js';
import { setText } from './faults.js';

/** @typedef {import('./linemap-figures.js').Live} Live */

/**
 * Table rows that keep their elements from one update to the next, so that a
 * reader in the middle of them is not thrown out.
 */
class SteadyRows {
  /** @param {HTMLElement} body of the table @param {(key: string) => (HTMLElement | SVGElement | string)[]} [lead] what stands before the first text */
  constructor(body, lead = () => []) {
    this.body = body;
    this.lead = lead;
    /** @type {Map<string, {row: HTMLElement, cells: HTMLElement[]}>} */ this.rows = new Map();
  }

  /** @param {{key: string, kind?: string, cells: string[]}[]} rows the first cell is the row's header */
  show(rows) {
    const keys = new Set(rows.map((r) => r.key));
    for (const [key, { row }] of this.rows) if (!keys.has(key)) { row.remove(); this.rows.delete(key); }
    for (const { key, kind, cells } of rows) {
      const kept = this.rows.get(key) ?? this.add(key, cells.length);
      if (kind !== undefined) kept.row.dataset.kind = kind;
      cells.forEach((words, i) => setText(kept.cells[i], words));
    }
  }

  /** @param {string} key @param {number} columns */
  add(key, columns) {
    const cells = Array.from({ length: columns }, (_, i) => (i === 0 ? el('span') : el('td')));
    const row = el('tr', {}, el('th', { scope: 'row' }, ...this.lead(key), cells[0]), ...cells.slice(1));
    this.body.append(row);
    this.rows.set(key, { row, cells });
    return { row, cells };
  }
}

/** @param {string} caption @param {string[]} heads @param {HTMLElement} body @param {string} [kind] its class, with a dot */
const table = (caption, heads, body, kind = '') => el(`table${kind}`, {}, el('caption', {}, caption),
  el('thead', {}, el('tr', {}, ...heads.map((h) => el('th', { scope: 'col' }, h)))), body);

const figureHeads = ['Line', 'Mechanism', 'Rate', 'p50 / p99', 'State'];

/** The map's figures for screen readers, outside of what is seen. */
export class ReaderTable {
  constructor() {
    const body = el('tbody');
    this.rows = new SteadyRows(body);
    this.waits = el('p');
    this.node = el('div.hidden', {}, table('The line map as a table', figureHeads, body), this.waits);
  }

  /** @param {Live} live */
  show(live) {
    this.rows.show(readerRows(live).map((r) => ({ key: r.id, cells: [r.line, r.mechanism, r.rate, r.times, r.state] })));
    setText(this.waits, live.stations.filter((s) => s.sentence).map((s) => s.sentence).join(' '));
  }
}

const sign = (/** @type {string} */ mechanism) => svg('svg', { class: `sign m-${mechanism}`, width: 18, height: 18, viewBox: '0 0 18 18', 'aria-hidden': 'true' }, disc(9, 9, mechanism));

/** The ledger below the trip, opened by a button in the header. */
export class Ledger {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.section = section;
    const accounts = el('tbody'), figures = el('tbody');
    this.accounts = new SteadyRows(accounts, (key) => [sign(key.split('/')[0])]);
    this.figures = new SteadyRows(figures, (key) => [sign(key.split(':')[1])]);
    this.sum = el('p.ledger-sum');
    this.button = el('button.pill', { type: 'button', id: 'ledger-open', 'aria-expanded': 'false', 'aria-controls': section.id, onclick: () => this.open(section.hasAttribute('hidden')) }, 'Ledger');
    section.tabIndex = -1;
    section.append(
      el('header', {}, el('h2', {}, 'Ledger of messages'), this.sum, el('button.close', { type: 'button', 'aria-label': 'Close the ledger', onclick: () => this.open(false) }, '×')),
      scroller('Ledger', table('What became of all messages since this node began', ['Messages', ...ledgerColumns.map((c) => c[0].toUpperCase() + c.slice(1)), 'Check'], accounts)),
      scroller('Lines', table('The lines of the map', figureHeads, figures, '.figures')),
    );
    section.addEventListener('keydown', (event) => { if (event.key === 'Escape') this.open(false); });
    /** @type {Live | null} */ this.live = null;
  }

  /** @param {boolean} isOpen */
  open(isOpen) {
    this.section.hidden = !isOpen;
    this.button.setAttribute('aria-expanded', String(isOpen));
    this.show(this.live);
    if (isOpen) {
      this.section.focus({ preventScroll: true });
      this.section.scrollIntoView({ block: 'nearest', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'instant' : 'smooth' });
    } else {
      this.button.focus();
    }
  }

  /** @param {Live | null} live */
  show(live) {
    this.live = live;
    if (!live || this.section.hidden) return;
    const accounts = live.ledger, wrong = accounts.filter((a) => missingFrom(a) !== 0).length;
    setText(this.sum, wrong ? `${wrong} of ${accounts.length} rows do not add up` : accounts.length ? 'Every row adds up: sent is the sum of all that follows.' : 'No message was sent yet.');
    this.sum.toggleAttribute('data-wrong', wrong > 0);
    this.accounts.show(accounts.map((a) => ({
      key: `${a.mechanism}/${a.class}`, kind: missingFrom(a) ? 'wrong' : a.lost ? 'lost' : '',
      cells: [`${wordsOf(a.mechanism)}, ${a.class}`, ...ledgerColumns.map((c) => a[c].toLocaleString('en')), checkWords(missingFrom(a))],
    })));
    this.figures.show(readerRows(live).map((r) => ({ key: r.id, cells: [r.line, r.mechanism, r.rate, r.times, r.state] })));
  }
}

/** @param {number} missing */
const checkWords = (missing) => (missing === 0 ? 'adds up' : `${Math.abs(missing).toLocaleString('en')} ${missing > 0 ? 'missing' : 'too many'}`);

/** @param {string} name @param {HTMLElement} child */
const scroller = (name, child) => el('div.scroller', { tabindex: '0', role: 'region', 'aria-label': name }, child);
