// Building SVG. Text goes in as text only.
const space = 'http://www.w3.org/2000/svg';

/**
 * svg('path', { d, class: 'ghost' }, ...children)
 * @param {string} tag @param {Record<string, any>} [attributes] @param {...any} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  const node = /** @type {SVGElement} */ (document.createElementNS(space, tag));
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, typeof value === 'number' ? String(Math.round(value * 10) / 10) : value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

/** @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 @param {string} kind */
export const line = (x1, y1, x2, y2, kind) => svg('line', { x1, y1, x2, y2, class: kind });

/** @param {number} x @param {number} y @param {string} words @param {string} [kind] @param {string} [anchor] */
export const text = (x, y, words, kind = '', anchor = 'start') => svg('text', { x, y, class: kind, 'text-anchor': anchor }, words);

/** @type {CanvasRenderingContext2D|null} */
let ruler = null;

/** How wide words of the waterfall are. @param {string} words @param {boolean} [bold] */
export function textWidth(words, bold = false) {
  ruler ??= document.createElement('canvas').getContext('2d');
  if (!ruler) return words.length * 6.5;
  ruler.font = `${bold ? 600 : 400} 12px ${getComputedStyle(document.body).fontFamily}`;
  return ruler.measureText(words).width;
}

/** Cuts words to a width. @param {string} words @param {number} width @param {boolean} [bold] */
export function cut(words, width, bold = false) {
  if (textWidth(words, bold) <= width) return words;
  let n = Math.max(0, Math.floor((words.length * width) / textWidth(words, bold)));
  while (n > 0 && textWidth(`${words.slice(0, n).trimEnd()}…`, bold) > width) n--;
  return n > 0 ? `${words.slice(0, n).trimEnd()}…` : '';
}

/** The hatches that folded times are filled with. */
export function hatches() {
  const hatch = (/** @type {string} */ id, /** @type {string} */ kind) => svg('pattern', { id, width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    svg('rect', { width: 6, height: 6, class: `${kind}-ground` }), svg('rect', { width: 2, height: 6, class: kind }));
  return svg('defs', {}, hatch('hatch-people', 'hatch'), hatch('hatch-queue', 'hatch-queue'), hatch('hatch-other', 'hatch-other'));
}

/** The hatch of a wait. @param {string|undefined} wait */
export const hatchOf = (wait) => (wait === 'people' || wait === 'queue' ? `hatch-${wait}` : 'hatch-other');
