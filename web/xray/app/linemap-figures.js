// The words and figures of the map: what a live event says of each line and
// station. Nothing here touches the document.

/**
 * @typedef {object} LiveLine
 * @property {string} id from-to:mechanism
 * @property {string} from @property {string} to @property {string} mechanism
 * @property {number} rate_hz @property {number} was_hz
 * @property {number} p50_us @property {number} p99_us 0: no sample
 * @property {'ok' | 'held' | 'cut' | 'idle'} state
 * @typedef {{part: string, waiting: number, unit: string, sentence?: string}} LiveStation
 * @typedef {{line: string, trip?: string, name: string, ago_ms: number}} LiveDot
 * @typedef {object} Account what became of one class of messages
 * @property {string} mechanism @property {string} class
 * @property {number} sent @property {number} delivered @property {number} recovered @property {number} repeated
 * @property {number} overwritten @property {number} lost @property {number} waiting
 * @typedef {object} LiveFault
 * @property {string} id @property {string} name @property {string} station
 * @property {boolean} on @property {number} [since_ms] @property {string} [sentence]
 * @property {string} [by] @property {boolean} possible @property {string} [why]
 * @typedef {object} Live one event of GET /v1/xray/live
 * @property {number} at_ms @property {string} node @property {string[]} nodes
 * @property {LiveLine[]} lines @property {LiveStation[]} stations @property {LiveDot[]} dots
 * @property {Account[]} ledger @property {LiveFault[]} faults
 * @property {string} [newest_trip]
 */

/** The mechanisms in the order of the legend, with their letters. */
export const mechanisms = [
  { name: 'socket', letter: 'S', words: 'socket' },
  { name: 'memory', letter: 'M', words: 'memory' },
  { name: 'rpc', letter: 'R', words: 'RPC' },
  { name: 'pubsub', letter: 'P', words: 'pub/sub' },
  { name: 'direct', letter: 'D', words: 'direct' },
  { name: 'queue', letter: 'Q', words: 'queue' },
  { name: 'database', letter: 'B', words: 'database' },
  { name: 'person', letter: '', words: 'a person' },
];

/** @param {string} mechanism */
export const letterOf = (mechanism) => mechanisms.find((m) => m.name === mechanism)?.letter ?? '?';

/** @param {string} mechanism */
export const wordsOf = (mechanism) => mechanisms.find((m) => m.name === mechanism)?.words ?? mechanism;

/** @type {Record<string, string>} */
const partNames = {
  rider_phone: 'Phone (rider)', driver_phone: 'Phone (driver)', gateway: 'Gateway', memory: 'Shared memory', dispatch: 'Dispatch', routing: 'Routing',
  store: 'Store', outbox: 'Outbox, relay', redis: 'Redis', queue: 'Queue', provider: 'Provider',
};

/**
 * A station's name; that of the other node depends on how many there are.
 * @param {string} part @param {Live | null} live
 */
export function partName(part, live) {
  if (part !== 'node') return partNames[part] ?? part;
  if (!live) return 'Other node';
  const others = live.nodes.filter((n) => n !== live.node);
  if (others.length === 0) return 'no other node';
  return others.length > 1 ? `${others.length} other nodes` : capitalised(others[0]);
}

/** @param {string} name of a node */
function capitalised(name) {
  if (name.length > 12) return 'Other node';
  return name.replace(/^node[- ]?(?=\d)/i, 'Node ').replace(/^./, (c) => c.toUpperCase());
}

/** This node's name, for the middle of the map. @param {Live | null} live */
export const homeName = (live) => (live && live.node.length <= 12 ? capitalised(live.node) : 'This node');

/** @param {number} hz */
export function rateFigure(hz) {
  if (!(hz > 0)) return '0';
  if (hz >= 10) return Math.round(hz).toLocaleString('en');
  return String(Number(hz.toFixed(hz >= 0.1 ? 1 : 2)));
}

/** @typedef {{words: string, short: string, isBroken: boolean}} RateWords */

/** What stands above a line. @param {LiveLine | undefined} line @returns {RateWords} */
export function rateWords(line) {
  if (!line) return { words: '–', short: '–', isBroken: false };
  const rate = `${rateFigure(line.rate_hz)}/s`, was = `was ${rateFigure(line.was_hz)}/s`;
  if (line.state === 'held') {
    const words = line.rate_hz > 0 ? `${rate}, held` : line.was_hz > 0 ? `held, ${was}` : 'held';
    return { words, short: 'held', isBroken: true };
  }
  if (line.state === 'cut') return { words: line.was_hz > 0 ? `${rate}, ${was}` : `${rate}, cut`, short: line.was_hz > 0 ? rate : 'cut', isBroken: true };
  return { words: rate, short: rate, isBroken: false };
}

const units = /** @type {[number, string][]} */ ([[1e6, 's'], [1e3, 'ms'], [0, 'µs']]);

/** @param {number} us @returns {[string, string]} */
function timeFigure(us) {
  const [size, unit] = units.find(([least]) => us >= least) ?? [0, 'µs'];
  const value = us / (size || 1);
  return [value >= 10 || !size ? String(Math.round(value)) : String(Number(value.toFixed(1))), unit];
}

/** What stands below a line: p50 / p99; empty without samples. @param {LiveLine | undefined} line */
export function timesWords(line) {
  if (!line || !(line.p99_us > 0)) return '';
  const [half, unit] = timeFigure(line.p50_us), [most, mostUnit] = timeFigure(line.p99_us);
  return unit === mostUnit ? `${half} / ${most} ${unit}` : `${half} ${unit} / ${most} ${mostUnit}`;
}

/** What waits at a station, empty for nothing. @param {LiveStation | undefined} station */
export function waitingWords(station) {
  if (!station || !(station.waiting > 0)) return '';
  return station.waiting === 1 ? `1 ${station.unit.replace(/s$/, '')} waits` : `${station.waiting.toLocaleString('en')} ${station.unit} wait`;
}

/** How long something took or takes. @param {number} ms */
export function spanWords(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min${s % 60 && s < 600 ? ` ${s % 60} s` : ''}` : `${Math.floor(s / 3600)} h`;
}

/** Faults that take a station away, so that the station itself carries the cross. */
const takesAway = new Set(['redis_away', 'database_away', 'provider_down']);

/** The stations that a fault has taken away. @param {Live | null} live @returns {Set<string>} */
export const stationsAway = (live) => new Set((live?.faults ?? []).filter((f) => f.on && takesAway.has(f.id)).map((f) => f.station));

/**
 * Whether a line carries a cross of its own: it is broken, and does not begin at
 * a station that carries one.
 * @param {LiveLine} line @param {Set<string>} away
 */
export const hasCross = (line, away) => (line.state === 'held' || line.state === 'cut') && !away.has(line.from);

const stateWords = { ok: 'flows', held: 'held: messages wait', cut: 'cut', idle: 'no traffic' };

/**
 * The map as rows of a table.
 * @param {Live} live
 */
export const readerRows = (live) => live.lines.map((line) => ({
  id: line.id,
  line: `${partName(line.from, live)} to ${partName(line.to, live)}`,
  mechanism: wordsOf(line.mechanism),
  rate: rateWords(line).words,
  times: timesWords(line) || '–',
  state: stateWords[line.state] ?? line.state,
}));

const outcomes = /** @type {const} */ (['delivered', 'recovered', 'repeated', 'overwritten', 'lost', 'waiting']);

/** The ledger's columns after its names. */
export const ledgerColumns = /** @type {const} */ (['sent', ...outcomes]);

/** How many messages of an account are not told. 0: it adds up. @param {Account} account */
export const missingFrom = (account) => account.sent - outcomes.reduce((sum, name) => sum + account[name], 0);
