// A frame as JSON, in pieces that a page can colour; and what a histogram needs.
// Pure.

const token = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null)/g;
const most = 4000;

/** Indents a frame; one that is no JSON stays as it is. @param {string} frame */
export function indent(frame) {
  const short = frame.length > most ? `${frame.slice(0, most)}…` : frame;
  try {
    return pretty(JSON.parse(frame), 0).slice(0, most);
  } catch {
    return short;
  }
}

/** As JSON.stringify, but what fits a line stays on it. @param {any} value @param {number} depth @returns {string} */
function pretty(value, depth) {
  const flat = JSON.stringify(value) ?? 'null';
  if (typeof value !== 'object' || value === null || flat.length + 2 * depth < 34) return flat.replace(/","/g, '", "').replace(/([}\]\d"]),"/g, '$1, "');
  const pad = '  '.repeat(depth + 1), isList = Array.isArray(value);
  const inside = isList ? value.map((v) => pad + pretty(v, depth + 1)) : Object.entries(value).map(([k, v]) => `${pad}${JSON.stringify(k)}: ${pretty(v, depth + 1)}`);
  return `${isList ? '[' : '{'}\n${inside.join(',\n')}\n${'  '.repeat(depth)}${isList ? ']' : '}'}`;
}

/**
 * Cuts JSON into pieces with their kind: key, string, number, word or ''.
 * @param {string} json @returns {{kind: string, words: string}[]}
 */
export function piecesOf(json) {
  const pieces = [];
  let at = 0;
  for (const m of json.matchAll(token)) {
    if (m.index > at) pieces.push({ kind: '', words: json.slice(at, m.index) });
    pieces.push({ kind: m[1] ? (m[2] ? 'key' : 'string') : m[3] ? 'number' : 'word', words: m[0] });
    at = m.index + m[0].length;
  }
  if (at < json.length) pieces.push({ kind: '', words: json.slice(at) });
  return pieces;
}

/**
 * Sorts samples into columns between the 1st and the 99th of a hundred. Those
 * outside count in the first and the last; so does the value.
 * @param {number[]} samples @param {number} value @param {number} [columns]
 */
export function histogram(samples, value, columns = 15) {
  const sorted = [...samples].filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length < 2) return null;
  const at = (/** @type {number} */ share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const low = at(0.01), high = Math.max(at(0.99), low + 1e-3), counts = Array(columns).fill(0);
  const column = (/** @type {number} */ v) => Math.min(columns - 1, Math.max(0, Math.floor(((v - low) / (high - low)) * columns)));
  for (const s of sorted) counts[column(s)]++;
  return { counts, low, high, median: at(0.5), here: column(value), size: sorted.length };
}
