// Paints the dots between the two layers of the map. A canvas, because more than
// a hundred of them may move, and a frame must stay cheap without a GPU.
import { pointAt } from './linemap-geometry.js';

/**
 * @typedef {import('./linemap-dots.js').Dot} Dot
 * @typedef {import('./linemap-places.js').LinePlace} LinePlace
 */

const radius = 6;
const reach = 14; // pixels from a dot that still count as a click on it

export class DotCanvas {
  constructor() {
    this.node = document.createElement('canvas');
    this.node.setAttribute('aria-hidden', 'true');
    /** @type {Map<string, LinePlace>} */ this.places = new Map();
    /** @type {Map<string, HTMLCanvasElement>} one picture for each mechanism */ this.pictures = new Map();
    this.scale = 1;
  }

  /** @param {LinePlace[]} lines @param {number} width @param {number} height */
  resize(lines, width, height) {
    this.places = new Map(lines.map((l) => [l.id, l]));
    this.scale = Math.min(2, devicePixelRatio || 1);
    this.node.width = Math.round(width * this.scale);
    this.node.height = Math.round(height * this.scale);
    this.node.style.width = `${width}px`;
    this.node.style.height = `${height}px`;
    this.pictures.clear();
  }

  /** Colours are read anew, as after a change between light and dark. */
  forgetColours() {
    this.pictures.clear();
  }

  /** @param {Dot[]} dots @param {string | null} only the mechanism that is kept, or null */
  paint(dots, only) {
    const ctx = this.node.getContext('2d');
    if (!ctx) return;
    ctx.clearRect(0, 0, this.node.width, this.node.height);
    for (const dot of dots) {
      const place = this.places.get(dot.line);
      if (!place) continue;
      const picture = this.pictureOf(place.mechanism), [x, y] = pointAt(place.points, dot.at);
      ctx.globalAlpha = only && only !== place.mechanism ? 0.15 : 1;
      ctx.drawImage(picture, x * this.scale - picture.width / 2, y * this.scale - picture.height / 2);
    }
  }

  /** @param {string} mechanism */
  pictureOf(mechanism) {
    let picture = this.pictures.get(mechanism);
    if (picture) return picture;
    picture = document.createElement('canvas');
    const size = Math.ceil((radius + 2) * 2 * this.scale), ctx = picture.getContext('2d'), style = getComputedStyle(this.node);
    picture.width = picture.height = size;
    if (ctx) {
      ctx.scale(this.scale, this.scale);
      ctx.beginPath();
      ctx.arc(size / 2 / this.scale, size / 2 / this.scale, radius, 0, 2 * Math.PI);
      ctx.fillStyle = style.getPropertyValue(`--m-${mechanism}`).trim() || '#888';
      ctx.strokeStyle = style.getPropertyValue('--land').trim() || '#fff';
      ctx.lineWidth = 2;
      ctx.fill();
      ctx.stroke();
    }
    this.pictures.set(mechanism, picture);
    return picture;
  }

  /** The nearest dot to a place, if it is near enough. @param {Dot[]} dots @param {number} x @param {number} y @returns {Dot | null} */
  dotAt(dots, x, y) {
    let best = null, least = reach;
    for (const dot of dots) {
      const place = this.places.get(dot.line);
      if (!place || !dot.name) continue;
      const [px, py] = pointAt(place.points, dot.at), far = Math.hypot(px - x, py - y);
      if (far < least) [best, least] = [dot, far];
    }
    return best;
  }
}
