// Building SVG. Text goes in as text only.
const space = 'http://www.w3.org/2000/svg';

/** svg('path', { d, class: 'law' }, ...children) */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== null) node.setAttribute(name, value);
  node.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return node;
}

export const line = (x1, y1, x2, y2, kind) => svg('line', { x1, y1, x2, y2, class: kind });

export const text = (x, y, words, kind, anchor = 'start') => svg('text', { x, y, class: kind, 'text-anchor': anchor }, words);

/** A path through points in pixels, broken where a point has no place. */
export function pathThrough(points) {
  let d = '', isOpen = false;
  for (const [x, y] of points) {
    if (!Number.isFinite(x + y)) {
      isOpen = false;
      continue;
    }
    d += `${isOpen ? 'L' : 'M'}${x.toFixed(1)},${y.toFixed(1)}`;
    isOpen = true;
  }
  return d;
}

/** Roughly how wide text of 12 px is. */
export const textWidth = (words) => words.length * 6.6;

export const cut = (words, width) => (textWidth(words) <= width ? words : `${words.slice(0, Math.max(1, Math.floor(width / 6.6) - 1)).trimEnd()}…`);

const colours = 6;

/** The class of a curve by its number from 0. */
export const curveClass = (number) => `curve-${(number % colours) + 1}`;

/** A curve's number in a disc of its colour. */
export function badge(x, y, number, kind) {
  return svg('g', { class: `badge ${kind}`, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
    svg('circle', { r: 9 }), text(0, 4, String(number + 1), 'badge-number', 'middle'));
}
