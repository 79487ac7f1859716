// The text of the tree's rows. Their bars are drawn behind them.
import { el } from '../../app/dom.js';
import { bytes, count, duration } from './format.js';
import { bytesOf } from './draw.js';
import { isFolded } from './model.js';
import { hopWords, letters, mechanisms, nameIn, phases, texts, wayOf } from './texts.js';

/** @typedef {import('./types.js').Row} Row */
/** @typedef {import('./types.js').PhaseRow} PhaseRow */
/** @typedef {import('./types.js').HopRow} HopRow */
/** @typedef {import('./types.js').Phase} Phase */
/** @typedef {import('./types.js').Group} Group */

/** The disc with a mechanism's letter. @param {string} mechanism @param {string} [size] */
export function disc(mechanism, size = '') {
  const known = Object.hasOwn(letters, mechanism) ? mechanism : 'code';
  return el(`i.disc.disc-${known}${size}`, { 'aria-hidden': 'true' }, nameIn(letters, known));
}

/** Offers are numbered; positions are told by their count. @param {Phase} phase */
export function phaseTitle(phase) {
  const name = nameIn(phases, phase.name), nth = phase.nth ?? 0;
  return nth > 0 && !['position', 'chat'].includes(phase.name) ? `${name} ${nth}` : name;
}

/** How a phase that may end in several ways did. @param {Phase} phase */
function outcome(phase) {
  const bad = phase.hops.find((h) => h.failed), ended = phase.hops.find((h) => h.name === 'offer_ended' && h.reason);
  return bad ? bad.code ?? '' : ended && !phase.hops.some((h) => h.failed) ? ended.reason ?? '' : '';
}

/** @param {PhaseRow} row */
export function phaseCount(row) {
  const { members, picked } = row.group;
  if (members.length > 1) return `${picked + 1} of ${members.length}`;
  const hops = row.shown < row.total ? `${row.shown} of ${count(row.total, 'hop')}` : count(row.total, 'hop'), end = outcome(row.group.phase);
  return end && end.length < 16 ? `${hops} · ${end}` : hops;
}

const cell = (/** @type {string} */ what, /** @type {any} */ ...children) => el(what, { role: 'gridcell' }, ...children);

/** Only for those who hear the page. @param {string} words */
const spoken = (words) => el('span.hidden', {}, words);

/** @param {PhaseRow} row */
function phaseCells(row) {
  const { phase } = row.group, after = isFolded(phase) ? `, then ${phase.gap_what || texts.nothingHere} ${duration(phase.gap_us)}` : '';
  return [cell('span.name', el('i.twist', { 'aria-hidden': 'true' }), el('b', {}, phaseTitle(phase)), el('small', {}, phaseCount(row))), cell('span.waits', spoken('–')),
    cell('span.time', el('b', {}, duration(phase.duration_us))), cell('span.bytes', bytes(bytesOf(phase)) || spoken('–')), cell('span.when', spoken(`${phase.batch_note ?? ''}${after}` || '–'))];
}

/** @param {HopRow} row @param {Record<string, string>|undefined} names of parts */
function hopCells({ hop }, names) {
  const way = wayOf(hop, names);
  return [cell('span.name', disc(hop.mechanism), el('span.way', { title: `${way}: ${nameIn(hopWords, hop.name)}` }, way), spoken(`, ${nameIn(mechanisms, hop.mechanism)}, ${nameIn(hopWords, hop.name)}`)),
    cell('span.waits', el(`i.${hop.sync ? 'sync' : 'async'}`, { 'aria-hidden': 'true' }), spoken(hop.sync ? texts.waits : texts.doesNot)),
    cell('span.time', hop.seen ? el('b', {}, duration(hop.duration_us)) : el('span.not-seen', {}, texts.notSeen)),
    cell('span.bytes', bytes(hop.bytes) || spoken('–')), cell('span.when', spoken(whenWords(hop)))];
}

/** @param {import('./types.js').Hop} hop */
function whenWords(hop) {
  if (!hop.seen) return `${texts.expected}: ${hop.mended_by ?? ''}`;
  const doubt = hop.doubt_us > 0 ? `, ${texts.twoClocks} ±${duration(hop.doubt_us)}` : '';
  return `from ${duration(hop.began_us)}${doubt}${hop.failed ? `, ${hop.code ?? ''} ${hop.reason ?? ''}` : ''}${(hop.batch ?? 0) > 1 ? `, one of ${hop.batch}` : ''}`;
}

/**
 * @param {Row} row @param {number} index @param {number} height
 * @param {{selected: boolean, dim: boolean, names?: Record<string, string>}} is
 */
export function rowElement(row, index, height, is) {
  const isPhase = row.kind === 'phase';
  const node = el(`div.row.${row.kind}`, { id: row.id, role: 'row', 'aria-rowindex': String(index + 2), 'aria-level': isPhase ? '1' : '2', 'aria-expanded': isPhase ? String(row.isOpen) : null,
    'aria-selected': String(is.selected), 'data-index': String(index) }, isPhase ? phaseCells(row) : hopCells(row, is.names));
  if (!isPhase && !row.hop.seen) node.classList.add('unseen');
  if (!isPhase && row.hop.failed) node.classList.add('bad');
  node.classList.toggle('dim', is.dim);
  node.style.top = `${index * height}px`;
  return node;
}

/** The heads of the columns, for those who hear the page. */
export function headRow() {
  return el('div.hidden', { role: 'row', 'aria-rowindex': '1' }, texts.columns.map((c) => el('span', { role: 'columnheader' }, c)));
}
