// From a ride to the rows of the tree. Pure.
import { endOf, seenHops, segmentsOf } from './axis.js';

/** @typedef {import('./types.js').Hop} Hop */
/** @typedef {import('./types.js').Phase} Phase */
/** @typedef {import('./types.js').Ride} Ride */
/** @typedef {import('./types.js').Median} Median */
/** @typedef {import('./types.js').Group} Group */
/** @typedef {import('./types.js').Row} Row */
/** @typedef {import('./types.js').Filter} Filter */

/** How many trips a median needs before it is shown. */
export const enoughTrips = 20;

/** @returns {Filter} */
export const noFilter = () => ({ wait: null, slow: false, waits: false, unseen: false });

/** @param {Filter} f */
export const isFiltering = (f) => Boolean(f.wait || f.slow || f.waits || f.unseen);

/** @param {Ride} ride */
export const hopCount = (ride) => ride.phases.reduce((n, p) => n + p.hops.length, 0);

/** Fills in what older nodes, or empty lists, leave out. @param {any} ride @returns {Ride} */
export function readRide(ride) {
  const phases = (ride.phases ?? []).map((/** @type {any} */ p) => ({
    duration_us: 0, unknown_us: 0, gap_us: 0, ...p,
    hops: (p.hops ?? []).map((/** @type {any} */ h) => ({ began_us: 0, duration_us: 0, own_us: 0, doubt_us: 0, wait: 'code', what: '', ...h })),
  }));
  return { state: '', from: '', to: '', requested_at_ms: 0, duration_us: 0, clock_doubt_us: 0, complete: true, ...ride, nodes: ride.nodes ?? [], waited_us: ride.waited_us ?? {}, phases };
}

/** Whether the time after a phase is shown. A shorter one only counts. @param {Phase} p */
export const isFolded = (p) => p.gap_us >= 1000;

/** What makes two phases alike. @param {Phase} p */
const shapeOf = (p) => `${p.name}:${p.hops.map((h) => (h.seen ? '' : '-') + h.name + (h.failed ? '!' : '')).join()}`;

const streams = new Set(['position', 'chat']);

/**
 * Groups phases that repeat: positions and messages always, others from four of
 * one shape on. picks says which member of a group is shown.
 * @param {Phase[]} phases @param {Map<string, number>} [picks] group id -> nth
 * @returns {Group[]}
 */
export function groupPhases(phases, picks = new Map()) {
  const byKey = new Map(), many = new Map();
  for (const p of phases) many.set(shapeOf(p), (many.get(shapeOf(p)) ?? 0) + 1);
  for (const p of phases) {
    const key = streams.has(p.name) ? p.name : (many.get(shapeOf(p)) ?? 0) > 3 ? shapeOf(p) : `${p.name}-${p.nth ?? 0}`;
    if (!byKey.has(key)) byKey.set(key, []);
    byKey.get(key).push(p);
  }
  return [...byKey].map(([id, members]) => {
    const wanted = members.findIndex((/** @type {Phase} */ p) => (p.nth ?? 0) === picks.get(id));
    const picked = wanted >= 0 ? wanted : slowestOf(members);
    return { id, members, picked, phase: members[picked] };
  });
}

/** @param {Phase[]} members */
function slowestOf(members) {
  return members.reduce((best, p, i) => (p.duration_us > members[best].duration_us ? i : best), 0);
}

/** @param {Phase} p */
export const misses = (p) => p.hops.some((h) => h.expected && !h.seen);

/** @param {Phase} p */
export const fails = (p) => p.hops.some((h) => h.failed);

/** @param {Median|null} median @param {string} name */
export const medianPhase = (median, name) => (median && median.trips >= enoughTrips ? median.phases.find((p) => p.name === name) ?? null : null);

/** The median of a hop of a phase; n counts hops of one name. @param {Median|null} median @param {Phase} phase @param {Hop} hop */
export function medianHop(median, phase, hop) {
  const like = medianPhase(median, phase.name)?.hops.filter((h) => h.name === hop.name) ?? [];
  if (like.length < 2) return like[0] ?? null;
  const same = like.filter((h) => h.from === hop.from && h.to === hop.to), among = same.length ? same : like;
  const at = phase.hops.filter((h) => h.name === hop.name && h.to === hop.to).indexOf(hop);
  return among[Math.min(Math.max(at, 0), among.length - 1)];
}

/**
 * Whether a phase opens by itself: it holds the selected hop, misses or failed
 * one, or differs from its median by more than a quarter.
 * @param {Phase} phase @param {Median|null} median @param {Hop|null} selected
 */
export function opensByItself(phase, median, selected) {
  if ((selected && phase.hops.includes(selected)) || misses(phase) || fails(phase)) return true;
  const usual = medianPhase(median, phase.name);
  return Boolean(usual && usual.duration_us > 0 && Math.abs(phase.duration_us - usual.duration_us) > usual.duration_us / 4);
}

/** @param {Hop} h @param {Filter} f */
export function passes(h, f) {
  if (f.wait && (h.wait !== f.wait || !(h.own_us > 0))) return false;
  if (f.slow && !(h.duration_us > 100)) return false;
  if (f.waits && !h.sync) return false;
  return !f.unseen || !h.seen;
}

/**
 * The rows of the tree. A filter leaves out phases without a hop that passes,
 * and opens the others.
 * @param {Group[]} groups
 * @param {{isOpen: (g: Group) => boolean, filter: Filter}} how
 * @returns {Row[]}
 */
export function rowsOf(groups, { isOpen, filter }) {
  /** @type {Row[]} */
  const rows = [];
  for (const group of groups) {
    const { phase } = group, hops = phase.hops.filter((h) => passes(h, filter)), filtering = isFiltering(filter);
    if (filtering && !hops.length && !ownsShare(phase, filter)) continue;
    const open = filtering ? hops.length > 0 : isOpen(group);
    rows.push({ kind: 'phase', id: `p-${group.id}`, group, isOpen: open, shown: hops.length, total: phase.hops.length });
    if (open) for (const hop of hops) rows.push({ kind: 'hop', id: hopRowID(group, hop), group, hop, index: phase.hops.indexOf(hop) });
  }
  return rows;
}

/**
 * The members that a filter wants of groups whose shown one has no hop that
 * passes: group id -> nth.
 * @param {Group[]} groups @param {Filter} filter @returns {Map<string, number>}
 */
export function fittingPicks(groups, filter) {
  const fits = (/** @type {Phase} */ p) => p.hops.some((h) => passes(h, filter)), picks = new Map();
  for (const g of groups) {
    const other = isFiltering(filter) && !fits(g.phase) && g.members.find(fits);
    if (other) picks.set(g.id, other.nth ?? 0);
  }
  return picks;
}

/** The id of a hop's row stays when hops come before it. @param {Group} group @param {Hop} hop */
export function hopRowID(group, hop) {
  const alike = group.phase.hops.filter((h) => h.name === hop.name && h.to === hop.to);
  return `h-${group.id}-${hop.name}-${hop.to}-${alike.indexOf(hop)}`;
}

/** A phase without such a hop may still have waited so after its end. @param {Phase} p @param {Filter} f */
function ownsShare(p, f) {
  if (!f.wait || f.slow || f.waits || f.unseen) return false;
  return f.wait === 'unknown' ? p.unknown_us > 0 : p.gap_wait === f.wait && p.gap_us > 0;
}

/**
 * The hop to begin with: the slowest against its median; without a median the
 * longest that waits for no person and no queue.
 * @param {Ride} ride @param {Median|null} median
 */
export function notableHop(ride, median) {
  let best = null, most = -Infinity;
  for (const phase of ride.phases) {
    for (const hop of seenHops(phase)) {
      if (hop.wait === 'people' || hop.wait === 'queue') continue;
      const usual = medianHop(median, phase, hop);
      const much = median && median.trips >= enoughTrips ? (usual && usual.duration_us >= 20 ? hop.duration_us / usual.duration_us : 0) : hop.own_us;
      if (much > most) [best, most] = [hop, much];
    }
  }
  return best;
}

/** The hop by its number in the whole ride, from 1, as addresses have it. @param {Ride} ride @param {number} n */
export function hopNumbered(ride, n) {
  return ride.phases.flatMap((p) => p.hops)[n - 1] ?? null;
}

/** @param {Ride} ride @param {Hop|null} hop */
export const numberOf = (ride, hop) => (hop ? ride.phases.flatMap((p) => p.hops).indexOf(hop) + 1 : 0);

/** The same phase of another ride. @param {Ride|null} other @param {Phase} phase */
export function phaseBeside(other, phase) {
  if (!other) return null;
  const same = other.phases.filter((p) => p.name === phase.name);
  return same.find((p) => (p.nth ?? 0) === (phase.nth ?? 0)) ?? same[0] ?? null;
}

/** The same hop in the other ride's phase. @param {Phase|null} other @param {Phase} phase @param {Hop} hop */
export function hopBeside(other, phase, hop) {
  if (!other) return null;
  const alike = (/** @type {Hop} */ h) => h.name === hop.name && h.to === hop.to;
  return other.hops.filter(alike)[phase.hops.filter(alike).indexOf(hop)] ?? null;
}

/** A median as a ride, to lie beside another. @param {Median} median @returns {Ride} */
export function rideOfMedian(median) {
  const phases = median.phases.map((p) => ({
    ...p, hops: p.hops.map((h) => ({ ...h, mechanism: '', seen: true, expected: true, sync: false, own_us: 0, doubt_us: 0, wait: 'code', what: '' })),
  }));
  return readRide({ trip: '', phases });
}

/** What answers a hop: the next that goes the other way. @param {Phase} phase @param {Hop} hop */
export function answerTo(phase, hop) {
  const back = seenHops(phase).filter((h) => h !== hop && h.from === hop.to && h.to === hop.from && h.began_us >= hop.began_us);
  return back.sort((a, b) => a.began_us - b.began_us)[0] ?? null;
}

/** @param {number} part @param {number} whole */
const shareOf = (part, whole) => (whole > 0 ? part / whole : 0);

export const waitOrder = ['people', 'queue', 'network', 'disk', 'unknown', 'code'];

/**
 * Where the time went, the largest first drawn whole. Rest is what is drawn
 * again, larger: everything but the largest, where that is more than half.
 * @param {Ride} ride
 */
export function sharesOf(ride) {
  const whole = waitOrder.reduce((sum, w) => sum + Math.max(0, ride.waited_us[w] ?? 0), 0);
  const all = waitOrder.map((wait) => ({ wait, us: Math.max(0, ride.waited_us[wait] ?? 0), share: shareOf(Math.max(0, ride.waited_us[wait] ?? 0), whole) })).filter((s) => s.us > 0);
  const largest = all.reduce((a, b) => (b.us > a.us ? b : a), all[0] ?? null);
  const rest = largest && largest.share > 0.6 && largest.share < 1 ? all.filter((s) => s !== largest) : [];
  return { whole, all, largest, rest, restShare: rest.reduce((sum, s) => sum + s.share, 0) };
}

/**
 * The bars of a folded phase: one for each segment, at least three pixels wide.
 * Three and more that would lie on each other become one with their number.
 * @param {Phase} phase @param {(us: number) => number} place
 */
export function smallBars(phase, place) {
  /** @type {{x: number, width: number, hop: Hop|null, count: number}[]} */
  const bars = [];
  for (const s of segmentsOf(phase).filter((x) => x.hop)) {
    const x = place(s.from), width = Math.max(3, place(s.to) - x), last = bars.at(-1);
    const overlaps = last && last.width <= 14 && place(s.to) - x < 3 && x < last.x + last.width;
    if (overlaps) Object.assign(last, { count: last.count + 1, width: last.count + 1 > 2 ? 14 : last.width + 2 });
    else bars.push({ x: Math.max(x, last && last.count > 2 ? last.x + last.width : x), width, hop: s.hop, count: 1 });
  }
  return bars;
}

/** @param {Phase} phase @param {number} [until] */
export const reachOf = (phase, until = 0) => Math.max(until, ...seenHops(phase).map(endOf), 0);
