// Draws the bars of all phases in the window into one picture behind the rows.
import { svg, line, text, textWidth, cut } from './svg.js';
import { bar, missingBar, capsuleWidth, cross } from './bars.js';
import { arrows, arrowsWidth, batchBoxes, batchesOf, batchNote, doubts, folds, gap, ghost, middle, ticks } from './marks.js';
import { endOf, foldsOf, makeAxis } from './axis.js';
import { hopBeside, phaseBeside, reachOf, smallBars } from './model.js';
import { bytes, duration } from './format.js';
import { foldWords, hopWords, nameIn, texts } from './texts.js';

/** @typedef {import('./types.js').Row} Row */
/** @typedef {import('./types.js').HopRow} HopRow */
/** @typedef {import('./types.js').Hop} Hop */
/** @typedef {import('./types.js').Phase} Phase */
/** @typedef {import('./types.js').Group} Group */
/** @typedef {import('./types.js').Ride} Ride */
/** @typedef {import('./marks.js').Geometry} Geometry */
/** @typedef {import('./marks.js').Place} Place */
/** @typedef {{geo: Geometry, median: import('./types.js').Median|null, beside: Ride|null, ghost: boolean, doubt: boolean, only: string|null, onPick: (g: Group, member: number) => void}} How */

/**
 * Returns the pictures of rows[from] to rows[to - 1], whole phases at a time.
 * @param {Row[]} rows @param {number} from @param {number} to @param {How} how
 */
export function drawRows(rows, from, to, how) {
  const pictures = [];
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i];
    if (row.kind !== 'phase') continue;
    let end = i + 1;
    while (end < rows.length && rows[end].kind === 'hop') end++;
    if (end > from && i < to) pictures.push(drawPhase(row, /** @type {HopRow[]} */ (rows.slice(i + 1, end)), i, how));
    i = end - 1;
  }
  return pictures;
}

/** @param {import('./types.js').PhaseRow} row @param {HopRow[]} hops @param {number} index @param {How} how */
function drawPhase(row, hops, index, how) {
  const { geo } = how, { phase } = row.group, head = index * geo.row, other = phaseBeside(how.beside, phase);
  const until = other && !foldsOf(phase).length && !foldsOf(other).length ? other.duration_us : 0;
  const axis = makeAxis(phase, geo.axisWidth, { until: Math.max(reachOf(phase), until), fold: geo.isPhone ? 56 : 92 });
  /** @type {Place} */
  const place = { geo, axis, phase, hops, head, top: head + geo.row };
  return svg('g', {}, strip(row.group, head, how), hops.length ? drawOpen(place, other, how) : drawFolded(place, how));
}

/** Whether the map's legend keeps another mechanism. @param {Hop} hop @param {{only: string|null}} how */
export const isDim = (hop, how) => Boolean(how.only && hop.mechanism !== how.only);

/** @param {Place} p @param {How} how */
function drawFolded(p, how) {
  const { geo, axis, phase } = p, y = p.head + geo.row / 2;
  const bars = smallBars(phase, (us) => geo.x0 + axis.place(us));
  return [line(geo.x0, p.head, geo.x0, p.head + geo.row, 'zero'), ...bars.map((b) => svg('g', { class: b.hop && isDim(b.hop, how) && 'dim' }, smallBar(b, y))),
    how.geo.gapWidth > 0 && gap(geo, phase, p.head, geo.row)];
}

/** @param {{x: number, width: number, hop: Hop|null, count: number}} b @param {number} y */
function smallBar(b, y) {
  if (b.count < 3) return bar(b.hop?.mechanism ?? 'code', b.x, y, b.width);
  return svg('g', { class: 'merged' }, svg('rect', { x: b.x, y: y - 6.5, width: b.width, height: 13, rx: 3 }), text(b.x + b.width / 2, y + 3.5, String(b.count), '', 'middle'));
}

/** @param {Place} p @param {Phase|null} other @param {How} how */
function drawOpen(p, other, how) {
  const noted = p.hops.map((row, i) => noteOf(p, row.hop, i));
  return [how.doubt && doubts(p), batchBoxes(p), ticks(p), line(p.geo.x0, p.head + p.geo.row, p.geo.x0, p.top + p.hops.length * p.geo.row, 'zero'),
    folds(p, noted), how.ghost && ghost(p, how.median), p.hops.map((row, i) => svg('g', { class: isDim(row.hop, how) && 'dim' }, drawHop(p, row.hop, i, other), noted[i].picture)), gapBeside(p, noted)];
}

/** @param {Place} p @param {Hop} hop @param {number} i @param {Phase|null} other */
function drawHop(p, hop, i, other) {
  const y = middle(p, i), { x0 } = p.geo, twin = hopBeside(other, p.phase, hop), up = twin ? 3 : 0;
  const second = twin?.seen && twinBar(p, hop, twin, y + 5);
  if (!hop.seen) return [missingBar(hop.mechanism, x0 + missingAt(p, i), y - up), second];
  if (p.axis.folds.some((f) => f.hop === hop)) return second;
  const x = x0 + p.axis.place(hop.began_us), width = p.axis.place(endOf(hop)) - p.axis.place(hop.began_us);
  return [bar(hop.mechanism, x, y - up, width, { part: twin ? 0.75 : 1 }), second, hop.failed && cross(x + Math.max(3, width) + 8, y)];
}

/** The hop of the other ride, as far as the axis goes. @param {Place} p @param {Hop} hop @param {Hop} twin @param {number} y */
function twinBar(p, hop, twin, y) {
  const most = p.geo.axisWidth + 8, x = Math.min(most - 3, p.axis.place(twin.began_us)), width = Math.min(most, p.axis.place(endOf(twin))) - x;
  return bar(hop.mechanism, p.geo.x0 + x, y, width, { part: 0.5, kind: 'second' });
}

/** A hop that was not seen stands behind the one before it. @param {Place} p @param {number} i */
function missingAt(p, i) {
  const before = p.hops.slice(0, i).filter((r) => r.hop.seen).map((r) => endOf(r.hop));
  return Math.min(p.axis.place(Math.max(0, ...before)) + 4, p.geo.axisWidth - capsuleWidth);
}

/**
 * The words of a row: what failed, what is missing, what others shared, or what
 * the hop does. Urgent ones may reach over the time until the next phase.
 * @param {Place} p @param {Hop} hop @param {number} i
 */
function noteOf(p, hop, i) {
  const batch = batchesOf(p.hops).find((b) => b.first === i), words = wordsOf(p, hop, batch);
  const begin = p.geo.x0 + (hop.seen ? p.axis.place(hop.began_us) : missingAt(p, i));
  const after = (hop.seen ? p.geo.x0 + Math.max(p.axis.place(endOf(hop)), p.axis.place(hop.began_us) + 3) : begin + capsuleWidth) + 8 + (hop.failed ? 10 : 0) + (batch ? 4 : 0);
  const limit = words.urgent ? p.geo.gapX + p.geo.gapWidth : p.geo.x0 + p.geo.axisWidth + 10;
  const lead = batch ? arrowsWidth(batch.size) : 0, fits = textWidth(words.text) + lead <= limit - after;
  if (!fits && begin - p.geo.x0 - 8 > textWidth(words.text) && !batch) return { reach: 0, from: begin - 6 - textWidth(words.text), to: begin - 6, picture: text(begin - 6, middle(p, i) + 4, words.text, `note ${words.kind}`, 'end') };
  if (!fits && !words.urgent) return { reach: 0, from: 0, to: 0, picture: null };
  const shown = cut(words.text, limit - after - lead);
  return { reach: after + lead + textWidth(shown), from: after, to: after + lead + textWidth(shown), picture: svg('g', {}, batch && arrows(after, middle(p, i), batch.size), text(after + lead, middle(p, i) + 4, shown, `note ${words.kind}`)) };
}

/** @param {Place} p @param {Hop} hop @param {any} batch */
function wordsOf(p, hop, batch) {
  if (!hop.seen) return { text: p.geo.isPhone ? texts.expected : `${texts.expected}: ${hop.reason || hop.mended_by || '–'}`, urgent: true, kind: '' };
  if (hop.failed) return { text: [...new Set([hop.code, hop.reason])].filter(Boolean).join(': '), urgent: true, kind: 'bad' };
  if (batch) return { text: batchNote(p.phase, batch), urgent: true, kind: '' };
  if (hop.doubt_us > 0) return { text: `${texts.twoClocks}: ±${duration(hop.doubt_us)}`, urgent: false, kind: '' };
  const isFolded = p.axis.folds.some((f) => f.hop === hop);
  return { text: hop.reason || nameIn(isFolded ? { ...hopWords, ...foldWords } : hopWords, hop.name), urgent: false, kind: '' };
}

/** The time until the next phase, in the longest run of rows whose words do not reach it. @param {Place} p @param {{reach: number}[]} noted */
function gapBeside(p, noted) {
  let best = [0, 0], from = 0;
  for (let i = 0; i <= noted.length; i++) {
    if (i < noted.length && noted[i].reach <= p.geo.gapX - 4) continue;
    if (i - from > best[1] - best[0]) best = [from, i];
    from = i + 1;
  }
  const rows = Math.min(best[1] - best[0], 4);
  return rows > 0 ? gap(p.geo, p.phase, p.top + (best[1] - rows) * p.geo.row, rows * p.geo.row) : gap(p.geo, p.phase, p.head, p.geo.row);
}

/** The ticks of a phase that repeats: their height is its time, and a click picks one. @param {Group} group @param {number} head @param {How} how */
function strip(group, head, how) {
  const n = group.members.length, { geo } = how;
  if (n < 2 || geo.isPhone) return null;
  const longest = Math.max(...group.members.map((m) => m.duration_us), 1), step = Math.min(7, geo.gapWidth / n), x = geo.gapX + geo.gapWidth - n * step;
  return svg('g', { class: 'strip' }, group.members.map((m, i) => {
    const height = 3 + 11 * (m.duration_us / longest), kind = i === group.picked ? 'picked' : m.hops.some((h) => h.failed || (h.expected && !h.seen)) ? 'bad' : '';
    return svg('g', { onclick: (/** @type {Event} */ e) => { e.stopPropagation(); how.onPick(group, i); } }, svg('title', {}, `${m.nth ?? i + 1}: ${duration(m.duration_us)}${bytes(bytesOf(m)) && `, ${bytes(bytesOf(m))}`}`),
      svg('rect', { x: x + i * step, y: head, width: step, height: geo.row, class: 'hit' }),
      svg('rect', { x: x + i * step + step * 0.2, y: head + geo.row - 2 - height, width: Math.max(1, step * 0.6), height, rx: 1, class: kind }));
  }));
}

/** @param {Phase} p */
export const bytesOf = (p) => p.hops.reduce((sum, h) => sum + (h.bytes ?? 0), 0);
