// One hop, looked into: its figure among others, what it is, its frame, what may
// be lost and what mends it, and where to read on.
import { el, fill } from '../../app/dom.js';
import { svg, text } from './svg.js';
import { disc } from './rows.js';
import { histogram, indent, piecesOf } from './frame.js';
import { answerTo, medianHop } from './model.js';
import { bytes, duration, figure } from './format.js';
import { hopWords, mechanisms, nameIn, put, texts, wayOf } from './texts.js';

/** @typedef {import('./types.js').Hop} Hop */
/** @typedef {import('./types.js').Group} Group */
/** @typedef {import('./types.js').Median} Median */
/** @typedef {{hop: Hop, group: Group, median: Median|null}} Shown */
/** @typedef {{move: (step: number) => void, close: () => void}} DrawerHooks */

/** @param {HTMLElement} node @param {Shown} shown @param {DrawerHooks} on */
export function renderDrawer(node, shown, on) {
  const { hop } = shown, kept = node.querySelector('.inside')?.scrollTop ?? 0;
  fill(node, el('i.notch', { 'aria-hidden': 'true' }), headOf(hop, on), el('div.inside', { tabindex: '0', role: 'group', 'aria-label': wayOf(hop) },
    figureOf(hop), histogramOf(shown), failureOf(hop), el('p.what', {}, hop.what), frameOf(hop), factsOf(shown), linksOf(hop)));
  const inside = node.querySelector('.inside');
  if (inside && node.dataset.hop === keyOf(shown)) inside.scrollTop = kept;
  node.dataset.hop = keyOf(shown);
}

/** @param {Shown} s */
const keyOf = (s) => `${s.group.id} ${s.hop.name} ${s.hop.to} ${s.group.picked}`;

/** @param {Hop} hop @param {DrawerHooks} on */
function headOf(hop, on) {
  const button = (/** @type {string} */ id, /** @type {string} */ words, /** @type {() => void} */ onclick) => el('button.round', { type: 'button', id: `drawer-${id}`, 'aria-label': words, onclick }, el(`i.${id}`, { 'aria-hidden': 'true' }));
  return el('header', {}, disc(hop.mechanism, '.large'), el('div', {}, el('h2', { id: 'drawer-title', tabindex: '-1' }, wayOf(hop)),
    el('p', {}, `${nameIn(mechanisms, hop.mechanism)} · ${hop.sync ? texts.waits : texts.doesNot.replace(/$/, ' wait')}`)),
  button('up', texts.up, () => on.move(-1)), button('down', texts.down, () => on.move(1)), button('close', texts.close, on.close));
}

/** @param {Hop} hop */
function figureOf(hop) {
  const { number, unit } = figure(hop.duration_us);
  const doubt = hop.doubt_us > 0 ? `two clocks measured it: ±${duration(hop.doubt_us)}, so a bar is never shifted` : 'one clock measured it, so no doubt';
  return el('div.figure', {}, hop.seen ? el('strong', {}, number, el('small', {}, ` ${unit}`)) : el('strong.not-seen', {}, texts.notSeen),
    el('p', {}, hop.seen ? `${nameIn(hopWords, hop.name)}; ${doubt}` : texts.expected + (hop.reason ? `: ${hop.reason}` : '')));
}

const chart = { width: 158, height: 34 };

/** @param {Shown} shown */
function histogramOf({ hop, group, median }) {
  const usual = medianHop(median, group.phase, hop), h = usual && histogram(usual.samples ?? [], hop.duration_us);
  const many = group.members.length > 1 ? `the ${ordinal(group.picked + 1)} of ${group.members.length}` : '';
  const lines = [usual && h && el('span', {}, `median ${duration(h.median)}`), el('span', {}, [bytes(hop.bytes), many].filter(Boolean).join(', ')), h && el('small', {}, put(texts.sameHop, h.size))];
  if (!h) return el('div.among', {}, el('p', {}, lines));
  const step = chart.width / h.counts.length, high = Math.max(...h.counts);
  const bars = h.counts.map((n, i) => svg('rect', { x: i * step, y: chart.height - Math.max(2, (n / high) * chart.height), width: step - 1.5, height: Math.max(2, (n / high) * chart.height), rx: 1, class: i === h.here && hop.seen ? `here fill-${hop.mechanism}` : '' }));
  return el('div.among', {}, svg('svg', { viewBox: `0 0 ${chart.width} ${chart.height + 15}`, role: 'img', 'aria-label': `${duration(hop.duration_us)}, median ${duration(h.median)}, from ${duration(h.low)} to ${duration(h.high)}` },
    bars, text(0, chart.height + 13, duration(h.low)), text(chart.width, chart.height + 13, duration(h.high), '', 'end'), hereLabel(h.here * step + step / 2, hop)), el('p', {}, lines));
}

/** The figure below its column, unless an end's would lie under it. @param {number} x @param {Hop} hop */
function hereLabel(x, hop) {
  return hop.seen && x > 48 && x < chart.width - 56 ? text(x, chart.height + 13, figure(hop.duration_us).number, 'here', 'middle') : null;
}

/** @param {number} n */
export function ordinal(n) {
  const end = n % 100 > 10 && n % 100 < 14 ? 'th' : { 1: 'st', 2: 'nd', 3: 'rd' }[n % 10] ?? 'th';
  return `${n}${end}`;
}

/** @param {Hop} hop */
function failureOf(hop) {
  if (!hop.failed) return null;
  return el('p.failure', {}, el('b', {}, hop.code || 'failed'), hop.reason && hop.reason !== hop.code ? ` ${hop.reason}` : '');
}

/** @param {Hop} hop */
function frameOf(hop) {
  if (!hop.frame) return null;
  return el('pre', { tabindex: '0', 'aria-label': texts.frame }, piecesOf(indent(hop.frame)).map((p) => (p.kind ? el(`span.${p.kind}`, {}, p.words) : p.words)));
}

/** @param {Shown} shown */
function factsOf({ hop, group }) {
  const answer = answerTo(group.phase, hop), later = answer ? answer.began_us - hop.began_us - hop.duration_us : 0;
  const rows = [[texts.mayLose, hop.may_lose || texts.nothing], hop.mended_by && [texts.mendedBy, hop.mended_by],
    answer && [texts.answered, `${nameIn(hopWords, answer.name)}${later > 0 ? `, ${duration(later)} later` : ''}`],
    hop.reason && !hop.failed && hop.seen && [texts.result, hop.reason], hop.repeated && [texts.result, 'an earlier one was enough'],
    (hop.batch ?? 0) > 1 && ['Batch', `one of ${hop.batch}`], hop.node && [texts.node, hop.node]];
  return el('dl', {}, rows.filter(Boolean).map((/** @type {any} */ r) => el('div', {}, el('dt', {}, r[0]), el('dd', {}, r[1]))));
}

/** @param {Hop} hop */
function linksOf(hop) {
  const name = hop.experiment?.trim().split(/\s+/)[0];
  return el('dl.links', {}, hop.source && el('div', {}, el('dt', {}, texts.source), el('dd', {}, copyButton(hop.source))),
    name && el('div', {}, el('dt', {}, texts.experiment), el('dd', {}, el('a', { href: `/lab/${encodeURIComponent(name)}` }, `lab ${hop.experiment}`, el('i.go', { 'aria-hidden': 'true' })))));
}

/** A source line is for an editor: a click copies it. @param {string} source */
function copyButton(source) {
  return el('button.copy', { type: 'button', title: texts.copy, 'aria-label': `${texts.copy} ${source}`, onclick: async (/** @type {any} */ e) => {
    const button = e.currentTarget;
    await navigator.clipboard?.writeText(source).catch(() => {});
    button.dataset.copied = '';
    setTimeout(() => delete button.dataset.copied, 1500);
  } }, source);
}
