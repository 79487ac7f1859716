// The messages on the map. Each moves once along its line; before a cross they
// pile up. Distances are in pixels from the line's first point. Nothing here
// touches the document or reads a clock.

/**
 * @typedef {object} Track where a line's messages run
 * @property {string} id
 * @property {number} begin @property {number} end
 * @property {number} cross where they stop while the line is held or cut
 * @typedef {object} Dot
 * @property {string} line
 * @property {string} trip empty: of several trips, or only a sign of what waits
 * @property {string} name of the hop
 * @property {number} wait milliseconds before it leaves
 * @property {number} at its distance
 * @typedef {import('./linemap-figures.js').Live} Live
 */

import { hasCross, stationsAway } from './linemap-figures.js';

const speed = 0.2; // pixels in a millisecond
const leastGap = 120; // milliseconds between two dots of a line, so that they stay apart
const pileGap = 11; // pixels between the dots of a pile
const mostInPile = 6;
const mostPerLine = 40;

/** How many dots stand for what waits: one more each time it doubles twice. @param {number} waiting */
export const pileFor = (waiting) => (waiting > 0 ? Math.min(mostInPile, 1 + Math.floor(Math.log2(waiting) / 2)) : 0);

export class DotTraffic {
  constructor() {
    /** @type {Map<string, Track>} */ this.tracks = new Map();
    /** @type {Map<string, Dot[]>} the foremost first */ this.dots = new Map();
    /** @type {Map<string, 'held' | 'cut'>} */ this.broken = new Map();
    this.frozen = ''; // a line that is pointed at stands still, so that its dots can be clicked
    this.isStill = false; // reduced motion
  }

  /**
   * The lines, which a new size of the map moves. Dots keep their share of the way.
   * @param {Track[]} tracks
   */
  setTracks(tracks) {
    const before = this.tracks;
    this.tracks = new Map(tracks.map((t) => [t.id, t]));
    for (const [id, dots] of this.dots) {
      const old = before.get(id), track = this.tracks.get(id);
      if (!old || !track) this.dots.delete(id);
      else for (const d of dots) d.at = track.begin + ((d.at - old.begin) / (old.end - old.begin || 1)) * (track.end - track.begin);
    }
  }

  /** @param {boolean} isStill */
  setStill(isStill) {
    if (this.isStill !== isStill) this.dots.clear();
    this.isStill = isStill;
  }

  /**
   * Takes the messages of a live event. They leave as far apart as they were.
   * @param {Live} live
   */
  take(live) {
    const waiting = new Map(live.stations.map((s) => [s.part, s.waiting])), away = stationsAway(live);
    this.broken = new Map(live.lines.filter((l) => hasCross(l, away)).map((l) => [l.id, l.state === 'held' ? 'held' : 'cut']));
    if (this.isStill) this.stand(live);
    else for (const d of [...live.dots].sort((a, b) => b.ago_ms - a.ago_ms)) this.send(d.line, d.trip ?? '', d.name, Math.max(0, 1000 - d.ago_ms));
    for (const line of live.lines) if (this.broken.get(line.id) === 'held') this.growPile(line.id, waiting.get(line.from) ?? 0);
  }

  /** @param {string} line @param {string} trip @param {string} name @param {number} wait */
  send(line, trip, name, wait) {
    const track = this.tracks.get(line), dots = this.dots.get(line) ?? [], last = dots.at(-1);
    if (!track || dots.length >= mostPerLine || (last && last.at === track.begin && wait < last.wait + leastGap)) return;
    dots.push({ line, trip, name, wait, at: track.begin });
    this.dots.set(line, dots);
  }

  /** One more dot a second, up to what waits at the station before. @param {string} line @param {number} waiting */
  growPile(line, waiting) {
    const track = this.tracks.get(line), dots = this.dots.get(line) ?? [];
    if (!track || dots.length >= pileFor(waiting)) return;
    dots.push({ line, trip: '', name: '', wait: 0, at: this.isStill ? this.pilePlace(track, dots.length) : track.begin });
    this.dots.set(line, dots);
  }

  /** @param {Track} track @param {number} place from the cross */
  pilePlace(track, place) {
    return Math.max(track.begin, track.cross - (place + 1) * pileGap - 3);
  }

  /** Without motion each line with traffic shows its newest messages, up to three, at fixed places. @param {Live} live */
  stand(live) {
    for (const line of live.lines) {
      const track = this.tracks.get(line.id), own = live.dots.filter((d) => d.line === line.id).sort((a, b) => a.ago_ms - b.ago_ms).slice(0, 3);
      if (!track || line.state === 'held') {
        this.dots.set(line.id, (this.dots.get(line.id) ?? []).filter((d) => !d.name));
        continue;
      }
      const step = (track.end - track.begin) / 4;
      this.dots.set(line.id, line.state === 'cut' ? [] : own.map((d, i) => ({ line: line.id, trip: d.trip ?? '', name: d.name, wait: 0, at: track.end - step * (i + 1) })));
    }
  }

  /**
   * Moves everything on. Returns whether something still moves.
   * @param {number} ms since the last step
   */
  step(ms) {
    if (this.isStill) return false;
    let isMoving = false;
    for (const [id, dots] of this.dots) {
      const track = this.tracks.get(id), state = this.broken.get(id);
      if (!track || dots.length === 0) continue;
      if (id === this.frozen) isMoving = true;
      else if (this.moveLine(track, state, dots, ms)) isMoving = true;
    }
    return isMoving;
  }

  /** @param {Track} track @param {'held' | 'cut' | undefined} state @param {Dot[]} dots @param {number} ms */
  moveLine(track, state, dots, ms) {
    const kept = [];
    let isMoving = false, inPile = 0;
    for (const d of dots) {
      const stop = this.stopOf(track, state, d, inPile), waits = Math.min(ms, d.wait);
      if (stop < track.end) inPile++;
      d.wait -= waits;
      d.at = Math.max(d.at, Math.min(stop, d.at + (ms - waits) * speed));

      const isThere = d.at >= stop;
      isMoving ||= !isThere;
      const isGone = isThere && (stop === track.end || state === 'cut' || inPile > mostInPile);
      if (!isGone) kept.push(d);
    }
    this.dots.set(track.id, kept);
    return isMoving;
  }

  /** How far a dot may go. @param {Track} track @param {'held' | 'cut' | undefined} state @param {Dot} dot @param {number} inPile dots before it */
  stopOf(track, state, dot, inPile) {
    if (!state || dot.at > track.cross) return track.end;
    return state === 'cut' ? track.cross : this.pilePlace(track, Math.min(inPile, mostInPile - 1));
  }

  /** All dots that are on the way. @returns {Dot[]} */
  visible() {
    return [...this.dots.values()].flat().filter((d) => d.wait <= 0);
  }
}
