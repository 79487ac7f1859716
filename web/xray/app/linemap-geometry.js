// Lines as points in pixels: how long they are, what lies where along them, and
// lines beside them. Nothing here touches the document.

/** @typedef {[number, number]} Point */

/**
 * A path from a to b of a level piece, a piece at 45 degrees and a level piece.
 * @param {Point} a @param {Point} b @param {number} bendX where the oblique piece begins
 * @returns {Point[]}
 */
export function levelThenOblique(a, b, bendX) {
  const drop = Math.abs(b[1] - a[1]), way = Math.sign(b[0] - a[0]) || 1;
  const points = /** @type {Point[]} */ ([a, [bendX, a[1]], [bendX + way * drop, b[1]], b]);
  return points.filter((p, i) => i === 0 || p[0] !== points[i - 1][0] || p[1] !== points[i - 1][1]);
}

/** @param {Point[]} points */
export function pathLength(points) {
  let sum = 0;
  for (let i = 1; i < points.length; i++) sum += Math.hypot(points[i][0] - points[i - 1][0], points[i][1] - points[i - 1][1]);
  return sum;
}

/**
 * The point at a distance from the first one; past an end, that end.
 * @param {Point[]} points @param {number} distance @returns {Point}
 */
export function pointAt(points, distance) {
  let left = Math.max(0, distance);
  for (let i = 1; i < points.length; i++) {
    const [x, y] = points[i - 1], dx = points[i][0] - x, dy = points[i][1] - y, length = Math.hypot(dx, dy);
    if (left <= length && length > 0) return [x + (dx * left) / length, y + (dy * left) / length];
    left -= length;
  }
  return points[points.length - 1];
}

/**
 * The line at a distance to the right of another, seen along it.
 * @param {Point[]} points @param {number} by @returns {Point[]}
 */
export function offsetLine(points, by) {
  const normals = points.slice(1).map((p, i) => {
    const dx = p[0] - points[i][0], dy = p[1] - points[i][1], length = Math.hypot(dx, dy) || 1;
    return [-dy / length, dx / length];
  });
  return points.map((p, i) => {
    const before = normals[Math.max(0, i - 1)], after = normals[Math.min(normals.length - 1, i)];
    const scale = by / (1 + before[0] * after[0] + before[1] * after[1]); // of the sum of both normals: the corner's mitre
    return [p[0] + (before[0] + after[0]) * scale, p[1] + (before[1] + after[1]) * scale];
  });
}

const round = (/** @type {number} */ v) => String(Math.round(v * 10) / 10);

/** A path's d. @param {Point[]} points */
export const pathOf = (points) => points.map(([x, y], i) => `${i ? 'L' : 'M'}${round(x)},${round(y)}`).join('');

/**
 * Whether each piece is level, upright or at 45 degrees.
 * @param {Point[]} points
 */
export const isOfTheMap = (points) => points.slice(1).every(([x, y], i) => {
  const dx = Math.abs(x - points[i][0]), dy = Math.abs(y - points[i][1]);
  return dx < 0.01 || dy < 0.01 || Math.abs(dx - dy) < 0.01;
});

/** Roughly how wide text is. @param {string} words @param {number} size in pixels */
export const textWidth = (words, size) => words.length * size * 0.56;
