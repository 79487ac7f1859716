// "Where 41.2 s went": the whole trip as one bar, and its last part again,
// larger. A click lists the hops of that share.
import { el, fill } from '../../app/dom.js';
import { sharesOf } from './model.js';
import { textWidth } from './svg.js';
import { duration, percent } from './format.js';
import { nameIn, waits } from './texts.js';

/** @typedef {import('./types.js').Ride} Ride */
/** @typedef {{wait: string, us: number, share: number}} Share */

/** What stands beside the larger bar, in pixels. */
const besideRest = 420, besideAlone = 200;

/**
 * Draws it again without the labels that turn out too long for their part: they
 * stand beside the bar then, which makes it shorter.
 * @param {HTMLElement} node @param {Ride} ride @param {string|null} chosen the share that is listed
 * @param {(wait: string) => void} onShare
 */
export function renderSummary(node, ride, chosen, onShare) {
  const tooLong = new Set();
  for (let left = 5; left > 0; left--) {
    draw(node, ride, { chosen, onShare, tooLong });
    const cut = [...node.querySelectorAll('button.part > span')].filter((words) => words.getBoundingClientRect().width > (words.parentElement?.clientWidth ?? 0));
    if (!cut.length) return;
    for (const words of cut) tooLong.add(words.parentElement?.dataset.wait);
  }
}

/** @param {HTMLElement} node @param {Ride} ride @param {{chosen: string|null, onShare: (wait: string) => void, tooLong: Set<string|undefined>}} how */
function draw(node, ride, { chosen, onShare, tooLong }) {
  const { whole, all, largest, rest, restShare } = sharesOf(ride), isZoomed = rest.length > 0, ordered = isZoomed && largest ? [largest, ...rest] : all;
  const width = (node.clientWidth || 1000) - (isZoomed ? besideRest : besideAlone), of = isZoomed ? restShare : 1;
  const fits = (/** @type {Share} */ s) => (isZoomed && s === largest) || (!tooLong.has(s.wait) && textWidth(labelOf(s), true) + 24 <= (s.share / of) * width);
  const part = (/** @type {Share} */ s, /** @type {string} */ where) => partOf(s, { where, of: where === 'rest' ? restShare : 1, isLabelled: fits(s), hasTime: s === largest && !tooLong.has(s.wait), isChosen: chosen === s.wait, onShare });
  fill(node, el('h3', {}, 'Where ', el('b', {}, duration(whole)), ' went'),
    el(`div.bar-of.whole${isZoomed ? '' : '.alone'}`, {}, ordered.map((s) => (isZoomed && s !== largest ? sliver(s) : part(s, 'whole')))),
    isZoomed && el('span.zoomed', { 'aria-hidden': 'true' }, percent(restShare)), isZoomed && el('div.bar-of.rest', {}, rest.map((s) => part(s, 'rest'))),
    el('ul.shares', { 'aria-hidden': 'true' }, ordered.slice(isZoomed ? 1 : 0).sort((a, b) => b.us - a.us).map((s) => el(`li${fits(s) || s.share < 0.01 * of ? '.fits' : ''}`, {}, el(`i.of-${s.wait}`), labelOf(s)))));
}

/** @param {Share} s */
const labelOf = (s) => `${nameIn(waits, s.wait)} ${s.share < 0.001 ? duration(s.us) : percent(s.share)}`;

/** What is too thin to be clicked here stands again in the larger bar. @param {Share} s */
function sliver(s) {
  const node = el(`i.part.of-${s.wait}`, { 'aria-hidden': 'true' });
  node.style.flexGrow = String(s.share);
  return node;
}

/**
 * @param {Share} s
 * @param {{where: string, of: number, isLabelled: boolean, hasTime: boolean, isChosen: boolean, onShare: (wait: string) => void}} how
 */
function partOf(s, { where, of, isLabelled, hasTime, isChosen, onShare }) {
  const words = labelOf(s), time = duration(s.us);
  const node = el(`button.part.of-${s.wait}`, { type: 'button', 'data-wait': s.wait, id: `share-${where}-${s.wait}`, 'aria-pressed': String(isChosen), title: `${words}, ${time}`,
    'aria-label': `${words}, ${time}: list its hops`, onclick: () => onShare(s.wait) }, isLabelled && el('span', {}, hasTime ? `${words} · ${time}` : words));
  node.style.flexGrow = String(s.share / of);
  return node;
}
