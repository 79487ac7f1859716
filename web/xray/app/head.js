// The head of the card: which trip this is, the key of the signs, and filters.
import { el, fill } from '../../app/dom.js';
import { svg } from './svg.js';
import { clockTime, count, duration, place } from './format.js';
import { enoughTrips, hopCount, isFiltering } from './model.js';
import { nameIn, put, texts, waits } from './texts.js';

/** @typedef {import('./waterfall.js').View} View */
/** @typedef {import('./waterfall.js').Actions} Actions */

/** From so many hops on the filters stay on top. */
const filterFrom = 60;

const glyphs = {
  ghost: () => svg('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, svg('path', { d: 'M4 2v6h6v6', class: 'ghost' })),
  doubt: () => el('i.doubt-swatch', { 'aria-hidden': 'true' }),
};

/** @param {HTMLElement} node @param {View} view @param {Actions} on */
export function renderHead(node, view, on) {
  const { ride } = view;
  if (!ride) return fill(node, el('h2', {}, texts.title));
  const nodes = ride.nodes.filter((n) => !n.missing).length;
  fill(node, el('h2', {}, el('button.pick', { type: 'button', id: 'pick', popovertarget: 'picker', 'aria-haspopup': 'true' }, texts.title, el('i.down', { 'aria-hidden': 'true' }))),
    el('p.about', {}, `${clockTime(ride.phases[0]?.began_at ?? ride.requested_at_ms)} · ${count(hopCount(ride), 'hop')}`, nodes > 0 && el('span.places', {}, ` on ${count(nodes, 'node')}`),
      view.isOngoing && el('b.ongoing', {}, ` · ${texts.goesOn}`), ride.from && el('span.places', {}, ` · ${place(ride.from)} to ${place(ride.to)}`)),
    el('div.key', {}, el('span', {}, el('i.sync', { 'aria-hidden': 'true' }), texts.waits), el('span', {}, el('i.async', { 'aria-hidden': 'true' }), texts.doesNot),
      toggle('ghost', medianWords(view), view.ghost, on.toggleGhost, !hasMedian(view)), toggle('doubt', `${texts.doubt} ${ride.clock_doubt_us > 0 ? `±${duration(ride.clock_doubt_us)}` : ''}`.trim(), view.doubt, on.toggleDoubt, false)),
    el('button.beside', { type: 'button', id: 'beside', popovertarget: 'beside-picker', 'aria-haspopup': 'true' }, view.beside ? view.besideName : texts.besideShort, !view.beside && el('span.places', {}, texts.besideRest)));
  return undefined;
}

/** @param {View} view */
const hasMedian = (view) => Boolean(view.median && view.median.trips >= enoughTrips);

/** @param {View} view */
const medianWords = (view) => (hasMedian(view) ? put(texts.median, view.median?.trips ?? 0) : texts.medianLater);

/** @param {'ghost'|'doubt'} id @param {string} words @param {boolean} pressed @param {() => void} onclick @param {boolean} disabled */
function toggle(id, words, pressed, onclick, disabled) {
  return el('button', { type: 'button', id: `key-${id}`, 'aria-pressed': String(pressed), disabled, onclick }, glyphs[id](), words);
}

/** @param {HTMLElement} node @param {View} view @param {Actions} on */
export function renderFilters(node, view, on) {
  const { ride, filter } = view, chip = (/** @type {string} */ id, /** @type {string} */ words, /** @type {boolean} */ pressed, /** @type {() => void} */ onclick) => (
    el('button.chip', { type: 'button', id: `only-${id}`, 'aria-pressed': String(pressed), onclick }, words));
  node.hidden = !ride || (hopCount(ride) < filterFrom && !isFiltering(filter));
  if (node.hidden) return;
  fill(node, el('span', {}, texts.filterLabel), chip('slow', texts.slow, filter.slow, () => on.filter({ slow: !filter.slow })),
    chip('waits', texts.onlyWaits, filter.waits, () => on.filter({ waits: !filter.waits })), chip('unseen', texts.unseen, filter.unseen, () => on.filter({ unseen: !filter.unseen })),
    filter.wait && chip('wait', nameIn(waits, filter.wait), true, () => on.filter({ wait: null })));
}

/** Which nodes are missing, and what else must be known of the figures. @param {HTMLElement} node @param {View} view */
export function renderNotice(node, view) {
  const missing = view.ride?.nodes.filter((n) => n.missing).map((n) => n.name) ?? [];
  const words = [missing.length ? texts.notAll + missing.join(', ') : '', view.stale].filter(Boolean).join(' · ');
  node.hidden = !words;
  if (node.textContent !== words) node.textContent = words;
}
