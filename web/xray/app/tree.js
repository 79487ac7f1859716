// The tree of phases and hops: one tab stop, rows recycled when there are many.
import { el } from '../../app/dom.js';
import { svg, hatches } from './svg.js';
import { drawRows, isDim } from './draw.js';
import { headRow, rowElement } from './rows.js';
import { shortParts, texts } from './texts.js';

/** @typedef {import('./types.js').Row} Row */
/** @typedef {import('./types.js').Group} Group */
/** @typedef {import('./marks.js').Geometry} Geometry */
/**
 * @typedef {object} TreeHooks
 * @property {(row: Row) => void} onSelect
 * @property {(row: Row) => void} onEnter
 * @property {(group: Group, open: boolean) => void} onFold
 * @property {(group: Group, member: number) => void} onPick
 * @property {(row: Row|null) => void} onHover
 */

/** Up to so many rows all of them are in the page. */
const recycleFrom = 60;
const around = 12;
const phoneWidth = 560;

/** Where things are in so many pixels. @param {number} width @returns {Geometry} */
export function geometryOf(width) {
  if (width < phoneWidth) return { x0: 196, axisWidth: width - 196 - 20, gapX: width, gapWidth: 0, row: 24, left: 8, isPhone: true };
  const x0 = width < 860 ? 330 : 400, gapWidth = width < 860 ? 150 : Math.min(300, Math.max(180, Math.round(width * 0.224)));
  return { x0, axisWidth: width - x0 - gapWidth - 30, gapX: width - gapWidth - 21, gapWidth, row: 18, left: 22, isPhone: false };
}

export class Tree {
  /** @param {TreeHooks} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    /** @type {Row[]} */
    this.rows = [];
    this.selected = '';
    /** @type {any} */
    this.how = { median: null, beside: null, ghost: true, doubt: true, only: null };
    this.picture = svg('svg', { class: 'picture', 'aria-hidden': 'true' });
    this.canvas = el('div.canvas', { role: 'rowgroup' });
    this.node = el('div', { id: 'tree', role: 'treegrid', tabindex: '0', 'aria-label': texts.tree, 'aria-colcount': '5' }, el('div', { role: 'rowgroup' }, headRow()), this.canvas);
    this.#listen();
  }

  #listen() {
    this.node.addEventListener('scroll', () => this.#paint());
    this.node.addEventListener('keydown', (/** @type {KeyboardEvent} */ e) => this.#key(e));
    this.canvas.addEventListener('click', (/** @type {Event} */ e) => this.#click(e));
    this.canvas.addEventListener('pointerover', (/** @type {Event} */ e) => this.hooks.onHover(this.#rowAt(e)));
    this.canvas.addEventListener('pointerleave', () => this.hooks.onHover(null));
    new ResizeObserver(() => this.#paint()).observe(this.node);
  }

  get geometry() {
    return geometryOf(this.node.clientWidth || 1000);
  }

  /** Shows rows. @param {Row[]} rows @param {string} selected a row's id @param {object} how what is drawn with them */
  show(rows, selected, how) {
    Object.assign(this, { rows, selected });
    this.how = { ...this.how, ...how };
    this.#paint();
  }

  get index() {
    return this.rows.findIndex((r) => r.id === this.selected);
  }

  /** The rows that are in the page now. */
  #window() {
    const { row } = this.geometry, n = this.rows.length;
    if (n <= recycleFrom) return [0, n];
    const from = Math.floor(this.node.scrollTop / row) - around;
    return [Math.max(0, from), Math.min(n, from + Math.ceil(this.node.clientHeight / row) + 2 * around)];
  }

  #paint() {
    const geo = this.geometry, [from, to] = this.#window(), high = this.rows.length * geo.row, kept = this.node.scrollTop;
    this.node.dataset.size = geo.isPhone ? 'phone' : geo.x0 < 400 ? 'narrow' : 'wide';
    this.node.style.setProperty('--x0', `${geo.x0}px`);
    this.node.style.setProperty('--row', `${geo.row}px`);
    this.node.setAttribute('aria-rowcount', String(this.rows.length + 1));
    this.canvas.style.height = `${high}px`;
    this.picture.setAttribute('height', String(high));
    this.picture.replaceChildren(hatches(), ...drawRows(this.rows, from, to, { ...this.how, geo, onPick: this.hooks.onPick }));
    this.canvas.replaceChildren(...this.rows.slice(from, to).map((r, i) => rowElement(r, from + i, geo.row, { selected: r.id === this.selected, dim: r.kind === 'hop' && isDim(r.hop, this.how), names: geo.isPhone ? shortParts : undefined })), this.picture);
    if (this.node.scrollTop !== kept) this.node.scrollTop = kept;
    this.#point();
  }

  /** Tells assistive software which row is meant, while it is in the page. */
  #point() {
    if (document.getElementById(this.selected)) this.node.setAttribute('aria-activedescendant', this.selected);
    else this.node.removeAttribute('aria-activedescendant');
  }

  /** Scrolls so that the selected row and most of what follows are seen. */
  centre() {
    this.node.scrollTop = Math.max(0, this.index * this.geometry.row - this.node.clientHeight * 0.55);
  }

  /** Scrolls only as far as the selected row needs. */
  reveal() {
    const { row } = this.geometry, y = this.index * row, { scrollTop, clientHeight } = this.node;
    if (this.index < 0 || !clientHeight) return;
    if (y < scrollTop) this.node.scrollTop = Math.max(0, y - row);
    else if (y + row > scrollTop + clientHeight) this.node.scrollTop = y + 2 * row - clientHeight;
  }

  /** Where the selected row's middle is on the page; null when it is not shown. */
  selectedY() {
    const box = document.getElementById(this.selected)?.getBoundingClientRect(), frame = this.node.getBoundingClientRect();
    return box && box.bottom > frame.top && box.top < frame.bottom ? box.top + box.height / 2 : null;
  }

  /** @param {Event} event */
  #rowAt(event) {
    const node = /** @type {Element} */ (event.target).closest?.('.row');
    return node instanceof HTMLElement ? this.rows[Number(node.dataset.index)] ?? null : null;
  }

  /** @param {Event} event */
  #click(event) {
    const row = this.#rowAt(event);
    if (!row) return;
    this.hooks.onSelect(row);
    if (row.kind === 'phase') this.hooks.onFold(row.group, !row.isOpen);
    else this.hooks.onEnter(row);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = this.rows[this.index] ?? this.rows[0];
    if (row && this.#press(event, row)) event.preventDefault();
  }

  /** @param {KeyboardEvent} event @param {Row} row */
  #press({ key, shiftKey }, row) {
    const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[key];
    if (step !== undefined) return this.move(step);
    if ((key === 'ArrowLeft' || key === 'ArrowRight') && shiftKey) return this.#pick(row.group, key === 'ArrowRight' ? 1 : -1);
    if (key === 'ArrowRight') return row.kind === 'phase' && !row.isOpen ? this.#fold(row.group, true) : this.move(1);
    if (key === 'ArrowLeft') return row.kind === 'phase' ? this.#fold(row.group, false) : this.#select(this.rows.find((r) => r.group === row.group));
    if (key !== 'Enter') return false;
    if (row.kind === 'phase') this.hooks.onFold(row.group, !row.isOpen);
    else this.hooks.onEnter(row);
    return true;
  }

  /** Goes so many rows on. @param {number} step */
  move(step) {
    const at = Math.min(this.rows.length - 1, Math.max(0, (this.index < 0 ? 0 : this.index) + step));
    return this.#select(this.rows[at]);
  }

  /** Goes to the next hop, over the rows of phases. @param {number} step */
  moveHop(step) {
    for (let i = this.index + step; i >= 0 && i < this.rows.length; i += step) if (this.rows[i].kind === 'hop') return this.#select(this.rows[i]);
    return false;
  }

  /** @param {Row|undefined} row */
  #select(row) {
    if (row) this.hooks.onSelect(row);
    return true;
  }

  /** @param {Group} group @param {boolean} open */
  #fold(group, open) {
    this.hooks.onFold(group, open);
    return true;
  }

  /** @param {Group} group @param {number} step */
  #pick(group, step) {
    const at = group.picked + step;
    if (group.members[at]) this.hooks.onPick(group, at);
    return true;
  }
}
