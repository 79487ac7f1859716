// The plot with its legend, its reader, and the pen for a guess.
import { el, fill } from '../../app/dom.js';
import { barNames, drawGuess, guessSteps, isBarPanel, lastWord } from './chart.js';
import { drawPlot, formatPlace, readValues } from './plot.js';
import { figure } from './scale.js';
import { curveClass } from './svg.js';
import { curveNames, isBusy, mayGuess, shownChart, shownGhosts } from './store.js';
import { renderTable } from './table.js';

/** Between two drawings while points come: what draws shares the machine with what is measured. */
const drawEvery = 120;

const isPhone = () => matchMedia('(max-width: 919px)').matches;

export class PlotCard {
  #state;
  #on;
  #frames = [];
  #asked = false;
  #plot = document.getElementById('plot');
  #pen = null; // the place of a pen that is down: { frame, x, y }

  constructor(state, on) {
    this.#state = state;
    this.#on = on;
    this.#plot.addEventListener('pointerdown', (e) => this.#penDown(e));
    this.#plot.addEventListener('pointermove', (e) => this.#penMove(e));
    for (const end of ['pointerup', 'pointercancel']) this.#plot.addEventListener(end, () => { this.#pen = null; });
    this.#plot.addEventListener('pointerleave', () => {
      if (!this.#pen) this.#moveReader(null);
    });
    this.#plot.addEventListener('blur', () => this.#moveReader(null));
    new ResizeObserver(() => this.drawSoon()).observe(document.getElementById('plot-card'));
  }

  /** Renders head, legend, status and the plot or table. */
  render() {
    const s = this.#state, chart = shownChart(s) ?? { panels: [] };
    const isTable = s.view === 'table';
    fill(document.getElementById('plot-head'),
      el('h2', { id: 'plot-title' }, chart.title || chart.y?.name || 'Plot'), el('span.subtitle', {}, chart.subtitle ?? ''),
      el('div.toggle', { role: 'group', 'aria-label': 'Show as' }, ...[['plot', 'Plot'], ['table', 'Table']].map(([view, words]) => el('button', {
        type: 'button', id: `view-${view}`, 'aria-pressed': String(s.view === view), 'aria-keyshortcuts': 'T', onclick: () => this.#on.view(view) }, words))));

    this.#plot.hidden = isTable;
    document.getElementById('table').hidden = !isTable;
    if (isTable) renderTable(document.getElementById('table'), chart, s.finding, this.#on);
    document.getElementById('status').textContent = s.status;
    this.#renderLegend(chart);
    this.drawSoon();
  }

  #renderLegend(chart) {
    const s = this.#state, names = curveNames(s);
    const isShown = names.length > 1 || !chart.panels?.some(isBarPanel);
    const keys = names.map((name, i) => el('li', {}, el('button', {
      type: 'button', id: `curve-${i + 1}`, 'aria-pressed': String(mayGuess(s) ? s.drawFor === i : s.focus === i), 'aria-keyshortcuts': i < 9 ? String(i + 1) : null,
      onclick: () => this.#on.focusCurve(i), onpointerenter: () => this.#fade(i), onpointerleave: () => this.#fade(-1),
    }, el(`i.number.${curveClass(i)}`, {}, String(i + 1)), el('span', {}, name), this.#word(chart, name))));
    const ghosts = shownGhosts(s).map((g) => el('li.key', {}, el('i.pale', { 'aria-hidden': 'true' }), `earlier run: ${g.name}`));
    const guess = s.form?.drawn ? [el('li.key', {}, el('i.dash', { 'aria-hidden': 'true' }), 'your guess')] : [];
    fill(document.getElementById('legend'), ...(isShown ? keys : []), ...guess, ...ghosts);
  }

  #word(chart, name) {
    const word = this.#state.phase === 'done' ? lastWord(chart, name) : '';
    return word && el('b', { class: curveClass(curveNames(this.#state).indexOf(name)) }, word);
  }

  #fade(number) {
    this.#draw(number >= 0 ? number : this.#state.focus);
  }

  /** Draws at the next frame of the screen, or a little later during a run. May be called often. */
  drawSoon() {
    if (this.#asked) return;
    this.#asked = true;
    const draw = () => requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw(this.#state.focus);
    });
    if (this.#state.phase === 'running') setTimeout(draw, drawEvery);
    else draw();
  }

  #draw(focus) {
    const s = this.#state, chart = shownChart(s);
    if (!chart || this.#plot.hidden || !this.#plot.clientWidth) return;
    const rows = Math.max(0, ...(chart.panels ?? []).map((p) => barNames(p).length));
    const height = isPhone() ? Math.max(210, rows * 26 + 70) : Math.max(this.#roomFor(chart), rows > 5 ? rows * 26 + 70 : 0);
    this.#frames = drawPlot(this.#plot, {
      chart, width: this.#plot.clientWidth, height, isLive: s.phase === 'running', isDone: s.phase === 'done', ghosts: shownGhosts(s),
      guess: s.form.drawn && { ...s.form.drawn, cursor: s.cursor }, focus, reader: s.reader, stoppedAt: s.phase === 'stopped' ? s.stoppedAt : undefined,
      mayDraw: mayGuess(s),
    });
    this.#plot.classList.toggle('may-draw', mayGuess(s));
    this.#plot.setAttribute('aria-label', this.#describe(chart));
  }

  #roomFor(chart) {
    return (chart.panels?.length ?? 1) > 1 ? 260 : Math.max(300, Math.min(380, innerHeight - 560));
  }

  #describe(chart) {
    const names = curveNames(this.#state);
    const what = `${chart.title || chart.y?.name || 'Plot'} over ${chart.x?.name || 'the bars'}`;
    return mayGuess(this.#state)
      ? `${what}. Draw your guess: left and right pick a point, up and down move it.`
      : `${what}, ${names.length} curves. Left and right move the reader; the table has every point.`;
  }

  /** The panel under a pointer, with the pointer's place in it from 0 to 1. */
  #placeOf(event) {
    const box = this.#plot.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const f = this.#frames.find((p) => x >= p.dx && x <= p.dx + p.width && y >= p.dy && y <= p.dy + p.height);
    if (!f) return null;
    const across = (x - f.dx - f.left) / (f.right - f.left), down = (y - f.dy - f.top) / (f.bottom - f.top);
    const [place, height] = f.inRows ? [down, across] : [across, 1 - down];
    return { frame: f, x: clamp(place), y: clamp(height) };
  }

  #penDown(event) {
    const at = mayGuess(this.#state) && this.#placeOf(event);
    if (!at || event.button !== 0) return;
    this.#plot.setPointerCapture(event.pointerId);
    this.#pen = at;
    this.#state.cursor = -1;
    this.#drawTo(at);
  }

  #penMove(event) {
    const at = this.#placeOf(event);
    if (this.#pen && at && at.frame.number === this.#pen.frame.number) {
      this.#drawTo(at);
      this.#pen = at;
    } else if (!this.#pen && at && !mayGuess(this.#state) && !at.frame.isBars) {
      this.#moveReader(at.x);
    }
  }

  #drawTo(at) {
    const drawn = this.#guessIn(at.frame);
    if (at.frame.isBars) drawn.points[Math.min(drawn.points.length - 1, Math.floor(at.x * drawn.points.length))] = at.y;
    else drawGuess(drawn.points, this.#pen, at);
    this.#on.drew(drawn);
  }

  /** The guess in a panel: the one that is there, or a new flat one. */
  #guessIn(frame) {
    const { drawn } = this.#state.form;
    if (drawn?.panel === frame.number) return drawn;
    const count = frame.isBars ? barNames(frame.panel).length : guessSteps + 1;
    const name = curveNames(this.#state)[this.#state.drawFor];
    return { panel: frame.number, curve: frame.isBars ? '' : name ?? '', points: Array(count).fill(frame.isBars ? 0 : 0.5) };
  }

  #moveReader(place) {
    if (this.#state.reader === place) return;
    this.#state.reader = place;
    this.drawSoon();
  }

  /** Moves the reader or the point of a guess. Returns whether the key meant something. */
  key(name) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[name], lift = { ArrowUp: 1, ArrowDown: -1 }[name];
    if ((!step && !lift) || isBusy(this.#state)) return false;
    this.#draw(this.#state.focus); // a drawing may be due, and the frames are of the last one
    if (!this.#frames.length) return false;
    if (mayGuess(this.#state)) return document.activeElement === this.#plot && this.#keyGuess(step, lift);
    if (!step || this.#frames[0].isBars) return false;
    const s = this.#state, f = this.#frames[0];
    this.#moveReader(clamp((s.reader ?? (step > 0 ? -0.02 : 1.02)) + step * 0.02));
    const at = f.x.value(s.reader), rows = readValues(f, at, curveNames(s)).filter((r) => s.focus < 0 || r.number === s.focus);
    this.#on.say(`At ${formatPlace(at)}: ${rows.map((r) => `${r.name} ${r.words}`).join(', ')}`);
    return true;
  }

  #keyGuess(step, lift) {
    const s = this.#state, f = this.#frames[s.form.drawn?.panel ?? 0], drawn = this.#guessIn(f);
    const last = drawn.points.length - 1;
    s.cursor = s.cursor < 0 ? Math.round(last / 2) : Math.min(last, Math.max(0, s.cursor + (step ?? 0)));
    if (lift) drawn.points[s.cursor] = clamp(drawn.points[s.cursor] + lift * 0.04);
    this.#on.drew(drawn);
    const at = f.isBars ? barNames(f.panel)[s.cursor] : formatPlace(f.x.value(s.cursor / last));
    this.#on.say(`Your guess at ${at}: ${figure(f.y.value(drawn.points[s.cursor]))}`);
    return true;
  }
}

const clamp = (v) => Math.min(1, Math.max(0, v));
