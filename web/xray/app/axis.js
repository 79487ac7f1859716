// The time axis of one phase: linear, but long waits of people and queues are
// folded to a fixed width. Pure.

/** @typedef {import('./types.js').Hop} Hop */
/** @typedef {import('./types.js').Phase} Phase */
/** @typedef {{from: number, to: number, hop: Hop|null}} Segment from and to in microseconds; hop null: unknown */
/** @typedef {{from: number, to: number, x: number, width: number, hop: Hop|null}} Fold */
/** @typedef {{end: number, width: number, folds: Fold[], place: (us: number) => number, ticks: {us: number, x: number, since: number}[]}} Axis since: the zero, or the end of a fold */

/** @param {Hop} h */
export const endOf = (h) => h.began_us + h.duration_us;

/** @param {Phase} phase */
export const seenHops = (phase) => phase.hops.filter((h) => h.seen);

/**
 * Cuts a phase into times that belong to one hop each: the latest-begun that
 * covers it.
 * @param {Phase} phase
 * @returns {Segment[]}
 */
export function segmentsOf(phase) {
  const hops = seenHops(phase).filter((h) => h.duration_us > 0);
  const edges = [...new Set([0, phase.duration_us, ...hops.flatMap((h) => [h.began_us, endOf(h)])])].sort((a, b) => a - b);
  /** @type {Segment[]} */
  const all = [];
  for (let i = 1; i < edges.length; i++) {
    const hop = coveringHop(hops, edges[i - 1], edges[i]), last = all.at(-1);
    if (last && last.hop === hop && last.to === edges[i - 1]) last.to = edges[i];
    else all.push({ from: edges[i - 1], to: edges[i], hop });
  }
  return all;
}

/** @param {Hop[]} hops @param {number} from @param {number} to */
function coveringHop(hops, from, to) {
  /** @type {Hop|null} */
  let found = null;
  for (const h of hops) if (h.began_us <= from && endOf(h) >= to && (!found || h.began_us >= found.began_us)) found = h;
  return found;
}

const idle = (/** @type {Hop|null} */ hop) => !hop || hop.wait === 'people' || hop.wait === 'queue';

/**
 * Returns the times that are folded: waits for a person or in a queue, and
 * times without a hop, that are longer than all work of the phase together.
 * @param {Phase} phase
 */
export function foldsOf(phase) {
  const segments = segmentsOf(phase);
  const work = segments.filter((s) => !idle(s.hop)).reduce((sum, s) => sum + s.to - s.from, 0);
  return segments.filter((s) => idle(s.hop) && s.to - s.from > Math.max(1.2 * work, 200));
}

/**
 * Makes the axis of a phase in so many pixels. `until` is where it ends, at
 * least the phase's own end.
 * @param {Phase} phase @param {number} width @param {{until?: number, fold?: number}} [more] fold is the width of a folded time
 * @returns {Axis}
 */
export function makeAxis(phase, width, { until = 0, fold = 92 } = {}) {
  const folded = foldsOf(phase), end = Math.max(phase.duration_us, until, 1);
  const each = Math.min(fold, (width * 0.7) / Math.max(1, folded.length));
  const whole = end - folded.reduce((sum, f) => sum + f.to - f.from, 0);
  const only = whole <= 0 && folded.length ? width / folded.length : each;
  const scale = whole > 0 ? (width - folded.length * each) / whole : 0;
  const place = placer(folded, scale, only);
  const folds = folded.map((f) => ({ ...f, x: place(f.from), width: only }));
  return { end, width, folds, place, ticks: ticksOf(folds, end, scale, place) };
}

/** @param {Segment[]} folds @param {number} scale @param {number} each */
function placer(folds, scale, each) {
  return (/** @type {number} */ us) => {
    let x = us * scale;
    for (const f of folds) {
      if (us <= f.from) break;
      const inside = Math.min(us, f.to) - f.from;
      x += (inside / (f.to - f.from)) * each - inside * scale;
    }
    return x;
  };
}

/**
 * Ticks at round times: from the zero, and after a fold from its end.
 * @param {Segment[]} folds @param {number} end @param {number} scale pixels of a microsecond @param {(us: number) => number} place
 */
function ticksOf(folds, end, scale, place) {
  const ticks = [{ us: 0, x: 0, since: 0 }];
  if (!scale) return ticks;
  const step = niceStep(110 / scale);
  let from = 0;
  for (const until of [...folds.map((f) => f.from), end]) {
    for (let us = from + step; us <= until && ticks.length < 40; us += step) ticks.push({ us, x: place(us), since: from });
    from = folds.find((f) => f.from === until)?.to ?? end;
  }
  return ticks.filter((t, i) => i === 0 || t.x - ticks[i - 1].x > 40);
}

/** The round number next above: 1, 2, 2.5 or 5 times a power of ten. @param {number} least */
export function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= least * 0.999) ?? 10 * power;
}
