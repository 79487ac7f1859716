// The bar of one hop in the style of its mechanism: colour, line and shape, so
// that none is told by colour alone.
import { svg, line } from './svg.js';

const least = 3;

/** @typedef {(x: number, y: number, width: number, part: number) => (SVGElement|SVGElement[])} Style */

/** @param {number} x @param {number} y @param {number} width @param {number} height @param {string} kind */
const block = (x, y, width, height, kind) => svg('rect', { x, y: y - height / 2, width, height, class: `fill-${kind}` });

/** @type {Record<string, Style>} */
const styles = {
  socket: (x, y, w, part) => block(x, y, w, 5.5 * part, 'socket'),
  memory: (x, y, w, part) => block(x, y, w, 10 * part, 'memory'),
  rpc: (x, y, w, part) => [block(x, y - 3.2 * part, w, 2.6 * part, 'rpc'), block(x, y + 3.2 * part, w, 2.6 * part, 'rpc')],
  pubsub: (x, y, w, part) => dotted(x, y, w, 3.3 * part),
  direct: (x, y, w, part) => svg('line', { x1: x, y1: y, x2: x + w, y2: y, class: 'line-direct', 'stroke-width': 5 * part, 'stroke-dasharray': '18 5 5 5' }),
  queue: (x, y, w, part) => svg('line', { x1: x, y1: y, x2: x + w, y2: y, class: 'line-queue', 'stroke-width': 5.5 * part, 'stroke-dasharray': '11 4' }),
  database: (x, y, w, part) => [block(x, y, w, 4.5 * part, 'database'), ...rungs(x, y, w, 6 * part)],
  code: (x, y, w, part) => block(x, y, w, 5.5 * part, 'code'),
  person: (x, y, w, part) => svg('rect', { x, y: y - 5 * part, width: w, height: 10 * part, fill: 'url(#hatch-people)' }),
};

/** @param {number} x @param {number} y @param {number} width @param {number} r */
function dotted(x, y, width, r) {
  const n = Math.max(1, Math.min(60, Math.round(width / 10)));
  const step = n > 1 ? (width - 2 * r) / (n - 1) : 0;
  return Array.from({ length: n }, (_, i) => svg('circle', { cx: x + r + i * step, cy: y, r, class: 'fill-pubsub' }));
}

/** @param {number} x @param {number} y @param {number} width @param {number} high */
function rungs(x, y, width, high) {
  if (width < 8) return [];
  const n = Math.max(1, Math.round(width / 22));
  return Array.from({ length: n + 1 }, (_, i) => line(x + 1 + (i * (width - 2)) / n, y - high, x + 1 + (i * (width - 2)) / n, y + high, 'line-database'));
}

/**
 * @param {string} mechanism @param {number} x @param {number} y its middle @param {number} width
 * @param {{part?: number, kind?: string}} [more] part is its height, 1 whole
 */
export function bar(mechanism, x, y, width, { part = 1, kind = '' } = {}) {
  const style = styles[mechanism] ?? styles.code;
  return svg('g', { class: `bar ${kind}` }, style(x, y, Math.max(least, width), part));
}

/** A hop that was expected and not seen. @param {string} mechanism @param {number} x @param {number} y */
export function missingBar(mechanism, x, y) {
  return svg('rect', { x, y: y - 5.5, width: capsuleWidth, height: 11, rx: 5.5, class: `missing line-${mechanism}` });
}
export const capsuleWidth = 46;

/** A cross at the end of a hop that failed. @param {number} x @param {number} y */
export function cross(x, y) {
  return svg('g', { class: 'failed' }, svg('circle', { cx: x, cy: y, r: 6 }), svg('path', { d: `M${x - 2.5},${y - 2.5}l5,5m0,-5l-5,5` }));
}

/** A band with torn edges, as if a piece of the axis had been torn out. @param {number} x @param {number} y @param {number} width @param {number} height @param {string} hatch */
export function torn(x, y, width, height, hatch) {
  const steps = Math.max(2, Math.round(height / 4.5)), dy = height / steps;
  let right = '', left = '';
  for (let i = 0; i < steps; i++) {
    right += `l${i % 2 ? 3 : -3},${dy.toFixed(2)}`;
    left += `l${i % 2 ? 3 : -3},${(-dy).toFixed(2)}`;
  }
  return svg('path', { d: `M${x.toFixed(1)},${y}H${(x + width).toFixed(1)}${right}H${x.toFixed(1)}${left}Z`, fill: `url(#${hatch})`, class: 'torn' });
}
