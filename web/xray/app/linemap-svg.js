// Draws the map as SVG, in two layers: lines below the dots, stations and words
// above them. Text goes in as text only; colours and sizes are in map.css.
import { offsetLine, pathOf } from './linemap-geometry.js';
import { letterOf } from './linemap-figures.js';
import { svg } from './svg.js';

/**
 * @typedef {import('./linemap-places.js').Places} Places
 * @typedef {import('./linemap-places.js').LinePlace} LinePlace
 * @typedef {import('./linemap-places.js').StationPlace} StationPlace
 * @typedef {import('./linemap-places.js').TextPlace} TextPlace
 * @typedef {object} LineNodes what an update changes of a line
 * @property {SVGElement} drawn @property {SVGElement} marks
 * @property {SVGElement} rate @property {SVGElement} times @property {SVGElement} cross @property {SVGElement} hit
 * @typedef {{group: SVGElement, label: SVGElement, count: SVGElement, title: SVGElement}} StationNodes
 */

/** @param {TextPlace} place @param {string} kind @param {string} [words] */
const text = (place, kind, words = '') => svg('text', { x: place.x, y: place.y, class: kind, 'text-anchor': place.anchor }, words);

/** The line in the style of its mechanism. @param {string} mechanism @param {[number, number][]} points @returns {SVGElement[]} */
export function strokes(mechanism, points) {
  const d = pathOf(points);
  if (mechanism === 'rpc') return [-2.5, 2.5].map((by) => svg('path', { d: pathOf(offsetLine(points, by)), class: 'stroke' }));
  const stroke = svg('path', { d, class: 'stroke' });
  return mechanism === 'database' ? [stroke, svg('path', { d, class: 'bars' })] : [stroke];
}

/** A mechanism's letter in a disc of its colour. @param {number} x @param {number} y @param {string} mechanism */
export const disc = (x, y, mechanism) => svg('g', { class: 'disc', transform: `translate(${x} ${y})` },
  svg('circle', { r: 8.5 }), svg('text', { y: 3.8, 'text-anchor': 'middle' }, letterOf(mechanism)));

/** @param {number} size */
const crossPath = (size) => `M${-size},${-size}L${size},${size}M${size},${-size}L${-size},${size}`;

/** @param {string} mechanism */
const kindOf = (mechanism) => `m-${mechanism}`;

/** @param {LinePlace} place @param {[number, number]} crossAt @returns {LineNodes} */
function lineNodes(place, crossAt) {
  const rate = svg('tspan', { class: 'rate' }), times = svg('tspan', { class: 'times' });
  const words = place.times
    ? [text(place.rate, 'figure'), text(place.times, 'figure')]
    : [text(place.rate, 'figure')];
  words[0].append(rate);
  if (!place.times) times.setAttribute('dx', '6');
  words[words.length - 1].append(times);
  const cross = svg('g', { class: 'cross', transform: `translate(${crossAt[0].toFixed(1)} ${crossAt[1].toFixed(1)})` },
    svg('circle', { r: 8 }), svg('path', { d: crossPath(2.8) }));
  const marked = { 'data-mechanism': place.mechanism, 'data-line': place.id };
  return {
    drawn: svg('g', { class: `line ${kindOf(place.mechanism)}`, ...marked }, ...strokes(place.mechanism, place.points)),
    marks: svg('g', { class: `marks ${kindOf(place.mechanism)}`, ...marked }, disc(...place.disc, place.mechanism), cross, ...words),
    hit: svg('path', { class: 'hit', d: pathOf(place.points), ...marked }),
    rate, times, cross,
  };
}

/** @param {string} part @param {StationPlace} place @returns {StationNodes} */
function stationNodes(part, place) {
  const { x, y, w, h } = place, title = svg('title');
  const box = (/** @type {number} */ by, /** @type {string} */ kind) => svg('rect', {
    x: x - w / 2 - by, y: y - h / 2 - by, width: w + 2 * by, height: h + 2 * by, class: kind,
    rx: place.shape === 'phone' ? 4.5 + by : Math.min(w, h) / 2 + by,
  });
  const label = text(place.label, 'label'), count = text(place.count, 'count');
  const inside = place.shape === 'phone' ? [svg('path', { class: 'home-key', d: `M${x - 3},${y + h / 2 - 4.5}h6` })] : [];
  return {
    group: svg('g', { class: 'station', 'data-part': part }, box(5, 'halo'), box(0, 'shape'), ...inside,
      svg('path', { class: 'away', d: crossPath(4.5), transform: `translate(${x} ${y})` }), label, count, title),
    label, count, title,
  };
}

/**
 * Draws everything for a size of the map.
 * @param {Places} places @param {Map<string, [number, number]>} crosses where each line's cross is
 */
export function drawMap(places, crosses) {
  /** @type {Map<string, LineNodes>} */
  const lines = new Map(places.lines.map((place) => [place.id, lineNodes(place, crosses.get(place.id) ?? place.points[0])]));
  /** @type {Map<string, StationNodes>} */
  const stations = new Map(Object.entries(places.stations).map(([part, place]) => [part, stationNodes(part, place)]));
  const size = { width: places.width, height: places.height, viewBox: `0 0 ${places.width} ${places.height}` };
  const all = [...lines.values()], home = svg('g');
  const note = places.note ? [text(places.note, 'note', 'Above a line: messages a second. Below it: p50 / p99. Water: a network to cross.')] : [];
  if (places.home) home.append(text(places.home, 'home'));
  return {
    lines, stations, home: home.firstElementChild,
    below: svg('svg', { class: 'below', 'aria-hidden': 'true', ...size }, svg('g', { class: 'water' }, ...places.water.map((d) => svg('path', { d }))), ...all.map((l) => l.drawn)),
    above: svg('svg', { class: 'above', role: 'img', 'aria-label': 'Stations are the parts, lines the ways they talk. A table with the same figures follows.', ...size },
      ...all.map((l) => l.hit), home, ...note, ...all.map((l) => l.marks), ...[...stations.values()].map((s) => s.group)),
  };
}
