// The live line map above the trip. It fills #map with stations and lines,
// #legend and #controls in the header, and #ledger below.
import { byID, el } from '../../app/dom.js';
import { DotCanvas } from './linemap-canvas.js';
import { DotTraffic } from './linemap-dots.js';
import { hasCross, homeName, partName, rateWords, stationsAway, timesWords, waitingWords } from './linemap-figures.js';
import { pathLength, pointAt } from './linemap-geometry.js';
import { placesFor } from './linemap-places.js';
import { drawMap } from './linemap-svg.js';
import { FaultSwitches, allOffButton, setText } from './faults.js';
import { listenToMapKeys } from './linemap-keys.js';
import { Ledger, ReaderTable } from './ledger.js';
import { createLegend } from './legend.js';
import { LiveFeed } from './live.js';

/**
 * @typedef {import('./linemap-figures.js').Live} Live
 * @typedef {import('./linemap-dots.js').Track} Track
 * @typedef {import('./linemap-places.js').Places} Places
 * @typedef {{from: string, to: string, mechanism: string}} LineName
 * @typedef {object} Hooks
 * @property {(trip: string, name: string) => void} onHop a dot was clicked
 * @property {(mechanism: string|null) => void} onLegend one mechanism is kept, or all
 * @property {(line: LineName|null) => void} [onHover] a line is pointed at
 * @property {(live: any) => void} [onLive] each live event, for what else follows it
 * @property {(link: {state: 'connecting'|'live'|'lost', ageS: number}) => void} [onLink] how old the figures are
 */

/** How many pixels before its end a line's cross is: on a wide map before the water. @param {Places} places */
const beforeCross = (places) => (places.isTall ? 46 : 72);

/** Where a line's messages run, and where they stop. @param {Places} places @returns {Track[]} */
export const tracksOf = (places) => places.lines.map((line) => {
  const length = pathLength(line.points), room = (/** @type {string} */ part) => {
    const s = places.stations[part];
    return Math.min(s.w, s.h) / 2;
  };
  const begin = room(line.from), end = length - room(line.to);
  return { id: line.id, begin, end, cross: Math.max(begin + (end - begin) / 2, length - beforeCross(places)) };
});

class LineMap {
  /** @param {HTMLElement} element @param {Hooks} hooks */
  constructor(element, hooks) {
    this.element = element;
    this.hooks = hooks;
    /** @type {Live | null} */ this.live = null;
    /** @type {string | null} the mechanism that is kept */ this.only = null;
    /** @type {LineName | null} */ this.highlighted = null;
    this.selected = ''; // the line whose times a phone shows
    this.isPaused = this.isLost = false;
    this.shownAt = 0; // when the shown figures came
    this.frame = 0;
    this.lastFrame = 0;

    this.traffic = new DotTraffic();
    this.canvas = new DotCanvas();
    this.reader = new ReaderTable();
    this.drawing = el('div.drawing');
    this.age = el('p.age', { hidden: true });
    element.append(this.drawing, this.reader.node, this.age);
    this.listen();
    this.resize();
  }

  listen() {
    const still = matchMedia('(prefers-reduced-motion: reduce)'), dark = matchMedia('(prefers-color-scheme: dark)');
    const onStill = () => { this.traffic.setStill(still.matches); this.moveDots(); };
    still.addEventListener('change', onStill);
    onStill();
    dark.addEventListener('change', () => { this.canvas.forgetColours(); this.paint(); });
    new ResizeObserver(() => { if (this.element.clientWidth !== this.places?.width) this.resize(); }).observe(this.element);
    this.drawing.addEventListener('pointermove', (/** @type {PointerEvent} */ event) => this.point(event));
    this.drawing.addEventListener('pointerleave', () => this.pointAway());
    this.drawing.addEventListener('click', (/** @type {MouseEvent} */ event) => this.press(event));
  }

  /** Draws all anew, for the width that there is. */
  resize() {
    const places = this.places = placesFor(this.element.clientWidth), tracks = tracksOf(places);
    const crosses = new Map(tracks.map((t) => [t.id, pointAt(places.lines.find((l) => l.id === t.id)?.points ?? [], t.cross)]));
    this.drawn = drawMap(places, crosses);
    this.traffic.setTracks(tracks);
    this.canvas.resize(places.lines, places.width, places.height);
    this.drawing.style.height = `${places.height}px`;
    this.drawing.replaceChildren(this.drawn.below, this.canvas.node, this.drawn.above);
    this.element.toggleAttribute('data-tall', places.isTall);
    this.element.toggleAttribute('data-times', places.hasTimes);
    this.placeSwitches();
    this.showFigures();
    this.showHighlight();
    this.keep(this.only);
    this.paint();
  }

  /** Tells the style sheet where the switches' stations are. */
  placeSwitches() {
    const { stations } = /** @type {Places} */ (this.places), style = this.element.style;
    for (const part of ['gateway', 'dispatch', 'redis']) style.setProperty(`--at-${part}`, `${stations[part].x}px`);
  }

  /** @param {Live} live */
  update(live) {
    if (this.isPaused) return;
    this.live = live;
    this.shownAt = performance.now();
    this.showFigures();
    this.reader.show(live);
    if (this.isLost) return;
    this.traffic.take(live);
    this.moveDots();
  }

  showFigures() {
    const live = this.live, drawn = this.drawn;
    if (!drawn) return;
    const lines = new Map(live?.lines.map((l) => [l.id, l])), stations = new Map(live?.stations.map((s) => [s.part, s])), away = stationsAway(live);
    for (const [id, nodes] of drawn.lines) {
      const line = lines.get(id), rate = rateWords(line), times = timesWords(line), state = line?.state ?? 'idle';
      setText(nodes.rate, this.places?.hasTimes ? rate.words : rate.short);
      setText(nodes.times, state === 'cut' ? '' : times);
      for (const node of [nodes.drawn, nodes.marks]) node.dataset.state = state;
      nodes.cross.toggleAttribute('data-shown', line !== undefined && hasCross(line, away));
    }
    for (const [part, nodes] of drawn.stations) {
      const waits = stations.get(part);
      setText(nodes.label, partName(part, live));
      setText(nodes.count, waitingWords(waits));
      setText(nodes.title, waits?.sentence || partName(part, live));
      nodes.group.toggleAttribute('data-away', away.has(part));
      nodes.group.toggleAttribute('data-absent', part === 'node' && live !== null && live.nodes.length < 2);
    }
    if (drawn.home) setText(drawn.home, homeName(live));
  }

  /** @param {LineName | null} line */
  highlight(line) {
    this.highlighted = line;
    this.showHighlight();
  }

  showHighlight() {
    const h = this.highlighted, parts = h ? [h.from, h.to] : [];
    for (const [, nodes] of this.drawn?.lines ?? []) {
      const place = this.places?.lines.find((l) => l.id === nodes.drawn.dataset.line);
      const isIt = Boolean(h && place && place.mechanism === h.mechanism && parts.includes(place.from) && parts.includes(place.to));
      nodes.drawn.toggleAttribute('data-lit', isIt);
      nodes.marks.toggleAttribute('data-lit', isIt || place?.id === this.selected);
    }
    for (const [part, nodes] of this.drawn?.stations ?? []) nodes.group.toggleAttribute('data-lit', parts.includes(part));
  }

  /** Keeps one mechanism and dims the others. @param {string | null} mechanism */
  keep(mechanism) {
    this.only = mechanism;
    this.element.toggleAttribute('data-only', mechanism !== null);
    for (const [, nodes] of this.drawn?.lines ?? []) for (const node of [nodes.drawn, nodes.marks]) node.toggleAttribute('data-kept', node.dataset.mechanism === mechanism);
    this.paint();
  }

  /** @param {PointerEvent | MouseEvent} event @returns {[number, number]} in pixels of the map */
  placeOf(event) {
    const box = this.drawing.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** @param {PointerEvent} event */
  point(event) {
    const dot = this.canvas.dotAt(this.traffic.visible(), ...this.placeOf(event));
    const target = event.target instanceof SVGElement ? event.target : null, id = target?.dataset.line ?? dot?.line ?? '';
    this.drawing.toggleAttribute('data-over-dot', Boolean(dot?.trip));
    if (id === this.traffic.frozen) return;
    this.traffic.frozen = id;
    const line = this.places?.lines.find((l) => l.id === id) ?? null;
    this.highlight(line);
    this.hooks.onHover?.(line && { from: line.from, to: line.to, mechanism: line.mechanism });
  }

  pointAway() {
    if (!this.traffic.frozen) return;
    this.traffic.frozen = '';
    this.highlight(null);
    this.hooks.onHover?.(null);
  }

  /** @param {MouseEvent} event */
  press(event) {
    const dot = this.canvas.dotAt(this.traffic.visible(), ...this.placeOf(event));
    if (dot?.trip) {
      this.hooks.onHop(dot.trip, dot.name);
      return;
    }
    const id = event.target instanceof SVGElement ? event.target.dataset.line ?? '' : '';
    this.selected = id === this.selected ? '' : id;
    this.showHighlight();
  }

  /** @param {boolean} isPaused */
  setPaused(isPaused) {
    this.isPaused = isPaused;
    this.showAge('', 0);
    this.moveDots();
  }

  /** @param {boolean} isLost @param {number} ageS @param {string} why */
  setLost(isLost, ageS, why) {
    const was = this.isLost;
    this.isLost = isLost;
    this.element.toggleAttribute('data-stale', isLost);
    this.showAge(why, ageS);
    if (was && !isLost) this.moveDots();
  }

  /** The one line that says why the map stands still. @param {string} why @param {number} ageS */
  showAge(why, ageS) {
    let words = '';
    if (this.isPaused) words = `paused, ${Math.round((performance.now() - this.shownAt) / 1000)} s behind`;
    if (this.isLost) words = why || (this.live ? `no link; these figures are ${ageS} s old` : 'The node is not reachable yet.');
    setText(this.age, words);
    this.age.hidden = words === '';
  }

  moveDots() {
    this.paint();
    if (this.frame || this.isPaused || this.isLost || this.traffic.isStill) return;
    this.lastFrame = performance.now();
    this.frame = requestAnimationFrame((now) => this.nextFrame(now));
  }

  /** Frames end when nothing moves. @param {number} now */
  nextFrame(now) {
    this.frame = 0;
    if (this.isPaused || this.isLost) return;
    const isMoving = this.traffic.step(Math.min(250, Math.max(0, now - this.lastFrame)));
    this.lastFrame = now;
    this.paint();
    if (isMoving) this.frame = requestAnimationFrame((next) => this.nextFrame(next));
  }

  paint() {
    this.canvas.paint(this.traffic.visible(), this.only);
  }
}

/**
 * Makes the map, which follows GET /v1/xray/live by itself. An update replaces
 * what it shows; highlight thickens a line.
 * @param {HTMLElement} element
 * @param {Hooks} hooks
 */
export function createLineMap(element, hooks) {
  const frame = (/** @type {string} */ id) => /** @type {HTMLElement} */ (byID(id));
  const map = new LineMap(element, hooks), ledger = new Ledger(frame('ledger'));
  const controls = frame('controls'), switches = new FaultSwitches(element, () => showAllOff());
  const allOff = allOffButton(switches), pause = pauseButton((isPaused) => map.setPaused(isPaused));
  const showAllOff = () => { allOff.hidden = switches.isEmpty; };
  controls.append(pause.node);
  const narrow = matchMedia('(max-width: 759px)');
  const placeButtons = () => (narrow.matches ? switches.foot : controls).prepend(ledger.button, allOff);
  narrow.addEventListener('change', placeButtons);
  placeButtons();
  createLegend(frame('legend'), (mechanism) => { map.keep(mechanism); hooks.onLegend(mechanism); });
  listenToMapKeys({ allOff: () => { if (!switches.isEmpty) switches.allOff(); }, pause: () => pause.toggle() });
  showAllOff();

  /** @param {Live} live */
  const update = (live) => {
    map.update(live);
    switches.take(live);
    ledger.show(live);
    showAllOff();
  };
  const feed = new LiveFeed({
    onEvent: (live) => { update(live); hooks.onLive?.(live); },
    onLink: (link) => {
      map.setLost(link.state === 'lost', link.ageS, link.why);
      switches.setReachable(link.state === 'live');
      showLink(link.state);
      hooks.onLink?.(link);
    },
  });
  setInterval(() => {
    feed.tick();
    switches.tick();
    if (map.isPaused && !map.isLost) map.showAge('', 0);
  }, 1000);

  return {
    update,
    /** @param {LineName | null} line */ highlight: (line) => map.highlight(line),
    /** @param {boolean} isPaused */ setPaused: (isPaused) => pause.set(isPaused),
  };
}

const linkWords = { connecting: 'Connecting', live: 'Live', lost: 'No link' };

/** The word beside the page's name. It changes rarely, as it is read aloud. @param {'connecting' | 'live' | 'lost'} state */
function showLink(state) {
  document.body.dataset.link = state;
  const words = byID('link-text');
  if (words) setText(words, linkWords[state]);
}

/** @param {(isPaused: boolean) => void} onPause */
function pauseButton(onPause) {
  let isPaused = false;
  const words = el('span.words', {}, 'Pause');
  const node = el('button.pill.pause', { type: 'button', id: 'pause', 'aria-keyshortcuts': 'Space', onclick: () => set(!isPaused) }, el('i', { 'aria-hidden': 'true' }), words);

  /** @param {boolean} wanted */
  function set(wanted) {
    if (wanted === isPaused) return;
    isPaused = wanted;
    node.toggleAttribute('data-paused', isPaused);
    setText(words, isPaused ? 'Go on' : 'Pause');
    onPause(isPaused);
  }
  return { node, set, toggle: () => set(!isPaused) };
}
