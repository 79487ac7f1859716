// What lies around the bars of an open phase: ticks, folded times, batches,
// clock doubt, the ghost of the median, and the time until the next phase.
import { svg, line, text, textWidth, cut, hatchOf } from './svg.js';
import { torn } from './bars.js';
import { endOf } from './axis.js';
import { isFolded, medianHop } from './model.js';
import { duration, tickTime } from './format.js';
import { batchWords, foldWords, nameIn, put, sharedWords, texts } from './texts.js';

/** @typedef {import('./types.js').Hop} Hop */
/** @typedef {import('./types.js').Phase} Phase */
/** @typedef {import('./types.js').HopRow} HopRow */
/** @typedef {import('./axis.js').Axis} Axis */
/**
 * Where things are: x0 is the zero of all phases, top the first hop's row.
 * @typedef {{x0: number, axisWidth: number, gapX: number, gapWidth: number, row: number, left: number, isPhone: boolean}} Geometry
 * @typedef {{geo: Geometry, axis: Axis, phase: Phase, hops: HopRow[], head: number, top: number}} Place
 */

/** @param {Place} p */
const bottomOf = (p) => p.top + p.hops.length * p.geo.row;

/** The middle of the i-th hop's row. @param {Place} p @param {number} i */
export const middle = (p, i) => p.top + (i + 0.5) * p.geo.row;

/** @param {Place} p */
export function ticks(p) {
  const { geo, axis } = p, y = p.head + geo.row / 2 + 4;
  const shown = axis.ticks.filter((t) => t.x <= geo.axisWidth + 1);
  const last = shown.at(-1);
  return shown.flatMap((t) => {
    const words = t.us === 0 ? '0' : t.since > 0 ? `+${tickTime(t.us - t.since)}` : t === last || t.us >= 1e6 ? tickTime(t.us) : tickTime(t.us).replace(/ .*$/, '');
    return [text(geo.x0 + t.x, y, words, 'tick', 'middle'),
      t.us > 0 && line(geo.x0 + t.x, p.head + geo.row, geo.x0 + t.x, bottomOf(p), 'grid')];
  });
}

/**
 * @param {Place} p
 * @param {{from: number, to: number}[]} noted where the words of each row are
 */
export function folds(p, noted) {
  return p.axis.folds.map((f) => {
    const i = p.hops.findIndex((h) => h.hop === f.hop), x = p.geo.x0 + f.x, wait = f.hop?.wait;
    const own = f.hop ? nameIn(foldWords, f.hop.name) : texts.nothingHere, words = foldLabel(own, f.to - f.from, f.width - 8);
    return svg('g', {}, torn(x, p.top, f.width, p.hops.length * p.geo.row, hatchOf(wait)),
      label(x + f.width / 2, middle(p, i < 0 ? freeRow(x, x + f.width, noted) : i), words));
  });
}

/** The row next to the middle without words from one x to another; that of the ticks where there is none. @param {number} from @param {number} to @param {{from: number, to: number}[]} noted */
function freeRow(from, to, noted) {
  const half = (noted.length - 1) / 2, rows = noted.map((_, i) => i).sort((a, b) => Math.abs(a - half) - Math.abs(b - half));
  return rows.find((i) => noted[i].to <= from || noted[i].from >= to) ?? -1;
}

/** @param {string} what @param {number} us @param {number} width */
function foldLabel(what, us, width) {
  const whole = `${what} ${duration(us)}`;
  return textWidth(whole, true) <= width ? whole : duration(us);
}

/** Words on paper, over a hatch. @param {number} x @param {number} y @param {string} words */
export function label(x, y, words) {
  const width = textWidth(words, true) + 16;
  return svg('g', { class: 'label' }, svg('rect', { x: x - width / 2, y: y - 8, width, height: 16, rx: 8 }), text(x, y + 4, words, '', 'middle'));
}

/**
 * The bands of doubt: around the end of a hop that two clocks measured, and over
 * what another node did then. A bar inside it is never shifted.
 * @param {Place} p
 */
export function doubts(p) {
  const { geo, axis, hops } = p, bands = [], edge = geo.x0 - geo.left, own = hops.find((h) => h.hop.seen)?.hop.node;
  for (let i = 0; i < hops.length; i++) {
    const { hop } = hops[i];
    if (!(hop.doubt_us > 0) || !hop.seen) continue;
    let last = i;
    while (last + 1 < hops.length && hop.node !== own && hops[last + 1].hop.node === hop.node && hops[last + 1].hop.seen) last++;
    const from = Math.max(edge, geo.x0 + axis.place(Math.max(endOf(hop) - hop.doubt_us, -axis.end)));
    const to = geo.x0 + Math.min(geo.axisWidth + 8, axis.place(endOf(hop) + hop.doubt_us));
    bands.push(svg('rect', { x: from, y: p.top + i * geo.row, width: Math.max(2, to - from), height: (last - i + 1) * geo.row, rx: 3, class: 'doubt' }));
    i = last;
  }
  return bands;
}

/** @param {HopRow[]} rows the first of several that share one batch, and how many */
export function batchesOf(rows) {
  const all = [];
  for (let i = 0; i < rows.length; i++) {
    const { hop } = rows[i];
    if (!hop.seen || !((hop.batch ?? 0) > 1)) continue;
    let last = i;
    while (last + 1 < rows.length && rows[last + 1].hop.batch === hop.batch && rows[last + 1].hop.seen) last++;
    all.push({ first: i, last, hop, size: hop.batch ?? 0 });
    i = last;
  }
  return all;
}

/** What others had in a batch. @param {Phase} phase @param {{first: number, last: number, hop: Hop, size: number}} batch */
export function batchNote(phase, batch) {
  if (batch.last > batch.first && phase.batch_note) return phase.batch_note;
  return put(nameIn(batchWords, batch.hop.name) === batch.hop.name ? sharedWords : nameIn(batchWords, batch.hop.name), batch.size);
}

/** The boxes around what was shared. @param {Place} p */
export function batchBoxes(p) {
  return batchesOf(p.hops).map((b) => {
    const inside = p.hops.slice(b.first, b.last + 1).map((r) => r.hop);
    const x = p.geo.x0 + p.axis.place(Math.min(...inside.map((h) => h.began_us))) - 6;
    const to = p.geo.x0 + p.axis.place(Math.max(...inside.map(endOf))) + 6;
    return svg('rect', { x, y: p.top + b.first * p.geo.row + 1, width: Math.max(to - x, 14), height: (b.last - b.first + 1) * p.geo.row - 2, rx: 8, class: 'batch' });
  });
}

/** An arrow for each that shares, at most six. @param {number} x @param {number} y @param {number} n */
export function arrows(x, y, n) {
  const shown = Math.min(6, n);
  return svg('g', { class: 'arrows' }, Array.from({ length: shown }, (_, i) => svg('path', { d: `M${x + i * 9 + 7},${y}h-7m3,-3l-3,3l3,3`, opacity: 1 - i * 0.09 })));
}
/** @param {number} n */
export const arrowsWidth = (n) => Math.min(6, n) * 9 + 6;

/** Where the median of many trips ended, hop by hop. @param {Place} p @param {import('./types.js').Median|null} median */
export function ghost(p, median) {
  let d = '', begun = false;
  for (let i = 0; i < p.hops.length; i++) {
    const usual = medianHop(median, p.phase, p.hops[i].hop);
    if (!usual || p.hops[i].hop.mechanism === 'person') continue;
    const x = (p.geo.x0 + Math.min(p.geo.axisWidth + 6, p.axis.place(usual.began_us + usual.duration_us))).toFixed(1), y = p.top + i * p.geo.row;
    d += `${begun ? `V${y + 1}H${x}` : `M${x},${y + 1}`}V${y + p.geo.row}`;
    begun = true;
  }
  return d && svg('path', { d, class: 'ghost' });
}

/** What filled the time until the next phase. @param {Geometry} geo @param {Phase} phase @param {number} y @param {number} height */
export function gap(geo, phase, y, height) {
  if (!isFolded(phase) || geo.gapWidth < 40) return null;
  const what = phase.gap_what || nameIn({ people: 'a person', queue: 'a queue' }, phase.gap_wait) || texts.nothingHere, time = duration(phase.gap_us);
  const words = `${what} ${time}`, room = geo.gapWidth - 36;
  const shown = textWidth(words, true) <= room ? words : `${cut(what, room - textWidth(` ${time}`, true), true)} ${time}`;
  return svg('g', {}, svg('title', {}, words), torn(geo.gapX, y + 2, geo.gapWidth, height - 4, hatchOf(phase.gap_wait)),
    label(geo.gapX + geo.gapWidth / 2, y + height / 2, shown));
}
