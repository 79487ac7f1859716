// Times and sizes as people read them. Pure.

/** @param {number} value @param {number} digits how many count */
function digitsOf(value, digits) {
  if (value === 0) return '0';
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(places, 2));
}

/** "484 µs", "1.12 ms", "3.4 s", "2 min 5 s". @param {number} us @returns {string} */
export function duration(us) {
  if (!Number.isFinite(us)) return '–';
  if (us < 0) return `−${duration(-us)}`;
  if (us < 9.95) return `${Number(us.toFixed(1))} µs`;
  if (us < 999.5) return `${Math.round(us)} µs`;
  if (us < 999_500) return `${digitsOf(us / 1e3, 3)} ms`;
  if (us < 59_950_000) return `${digitsOf(us / 1e6, us < 9.95e6 ? 2 : 3)} s`;
  const seconds = Math.round(us / 1e6);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** A round time without the zeros of its fraction: 2 ms, not 2.00 ms. @param {number} us */
export const tickTime = (us) => duration(us).replace(/\.(\d*?)0+ /, (_, kept) => (kept ? `.${kept} ` : ' '));

/** The number and the unit of duration apart. @param {number} us */
export function figure(us) {
  const words = duration(us), at = words.lastIndexOf(' ');
  return at < 0 || words.includes('min') ? { number: words, unit: '' } : { number: words.slice(0, at), unit: words.slice(at + 1) };
}

/** @param {number|undefined} n */
export function bytes(n) {
  if (!n) return '';
  if (n < 1000) return `${n} B`;
  if (n < 999_500) return `${n < 9950 ? (n / 1000).toFixed(1) : Math.round(n / 1000)} kB`;
  return `${(n / 1e6).toFixed(1)} MB`;
}

/** @param {number} share of 1 */
export function percent(share) {
  const p = share * 100;
  if (p > 0 && p < 0.1) return '<0.1 %';
  if (p > 99.5 && p < 100) return p > 99.9 ? '>99.9 %' : `${Number(p.toFixed(1))} %`;
  return p < 1.95 && p > 0 ? `${Number(p.toFixed(1))} %` : `${Math.round(p)} %`;
}

/** 18:20:02, in this browser's time. @param {number} ms */
export const clockTime = (ms) => new Date(ms).toLocaleTimeString('en-GB');

/** @param {number} ms */
export function ago(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  return s < 90 ? `${s} s ago` : s < 5400 ? `${Math.round(s / 60)} min ago` : `${Math.round(s / 3600)} h ago`;
}

/** @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

/** A place: coordinates are cut to what tells parts of a town apart. @param {string} place */
export function place(place) {
  const pair = /^\s*(-?\d+\.\d+),\s*(-?\d+\.\d+)\s*$/.exec(place);
  return pair ? `${Number(pair[1]).toFixed(2)}, ${Number(pair[2]).toFixed(2)}` : place;
}
