// "Where 41.2 s went": the whole trip as one bar, and its last part again,
// larger. A click lists the hops of that share.
import { el, fill } from '../../app/dom.js';
import { sharesOf } from './model.js';
import { duration, percent } from './format.js';
import { nameIn, waits } from './texts.js';

/** @typedef {import('./types.js').Ride} Ride */
/** @typedef {{wait: string, us: number, share: number}} Share */

/**
 * @param {HTMLElement} node @param {Ride} ride @param {string|null} chosen the share that is listed
 * @param {(wait: string) => void} onShare
 */
export function renderSummary(node, ride, chosen, onShare) {
  const { whole, all, largest, rest, restShare } = sharesOf(ride), ordered = rest.length && largest ? [largest, ...rest] : all;
  const part = (/** @type {Share} */ s, /** @type {number} */ of, /** @type {string} */ where) => partOf(s, of, where, chosen, onShare, s === largest);
  fill(node, el('h3', {}, 'Where ', el('b', {}, duration(whole)), ' went'),
    el(`div.bar-of.whole${rest.length ? '' : '.alone'}`, {}, ordered.map((s) => (rest.length && s !== largest ? sliver(s) : part(s, 1, 'whole')))),
    rest.length > 0 && el('span.zoomed', { 'aria-hidden': 'true' }, percent(restShare)),
    rest.length > 0 && el('div.bar-of.rest', {}, rest.map((s) => part(s, restShare, 'rest'))),
    el('ul.shares', { 'aria-hidden': 'true' }, ordered.slice(1).map((s) => el('li', {}, el(`i.of-${s.wait}`), `${nameIn(waits, s.wait)} ${percent(s.share)}`))));
}

/** What is too thin to be clicked here stands again in the larger bar. @param {Share} s */
function sliver(s) {
  const node = el(`i.part.of-${s.wait}`, { 'aria-hidden': 'true' });
  node.style.flexGrow = String(s.share);
  return node;
}

/** @param {Share} s @param {number} of @param {string} where @param {string|null} chosen @param {(wait: string) => void} onShare @param {boolean} isLargest */
function partOf(s, of, where, chosen, onShare, isLargest) {
  const name = nameIn(waits, s.wait), words = `${name} ${percent(s.share)}`;
  const node = el(`button.part.of-${s.wait}`, { type: 'button', id: `share-${where}-${s.wait}`, 'aria-pressed': String(chosen === s.wait), title: `${words}, ${duration(s.us)}`,
    'aria-label': `${words}, ${duration(s.us)}: list its hops`, onclick: () => onShare(s.wait) }, el('span', {}, isLargest ? `${words} · ${duration(s.us)}` : words));
  node.style.flexGrow = String(s.share / of);
  return node;
}
