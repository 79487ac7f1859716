// The lab's page: opens what the address says, runs experiments, and tells the
// views when to render.
import { el, fill, byID } from '../../app/dom.js';
import { getExperiments, getFrame, runExperiment, stopRun } from './api.js';
import { addPoints, copyChart } from './chart.js';
import { renderGuess, renderHeading } from './guess.js';
import { listenToKeys } from './keys.js';
import { renderKnobs, runButtons, tickRun } from './knobs.js';
import { renderList } from './list.js';
import { breakName, defaultKnobs, defaultSeed, readLink, writeLink } from './permalink.js';
import { PlotCard } from './plotcard.js';
import { curveNames, isBusy, keepDone, mayGuess, mayRun, newState, readDone, runsOf } from './store.js';
import { renderBar, renderTop } from './top.js';
import { renderBreak, renderClaims, renderNext, renderNotices, renderReal } from './verdict.js';

const state = newState();
const stillness = matchMedia('(prefers-reduced-motion: reduce)');
const shownRuns = new Map(); // address -> the finding and form of a run in this visit

const on = {
  open: (name) => {
    history.pushState({ from: state.experiment?.name ?? '' }, '', `/lab/${name}`);
    openAddress({ isNew: true });
  },
  back: () => history.back(),
  toList: () => { document.body.dataset.view = 'list'; byID('list').querySelector('[aria-current]')?.focus(); },
  guess: (letter) => {
    state.form.guess = letter;
    say(`Guess ${letter}`);
    render();
  },
  guessAgain: () => {
    Object.assign(state, { phase: 'ready', finding: null, reader: null });
    Object.assign(state.form, { guess: '', drawn: null, skipped: false });
    say('Draw your curve, or choose');
    refreshFrame();
    byID('guess-A')?.focus();
  },
  drew: (drawn) => {
    const isFirst = !state.form.drawn;
    state.form.drawn = drawn;
    if (isFirst) render();
    else plot.drawSoon();
  },
  skip: () => { state.form.skipped = true; render(); byID('run-side')?.focus(); },
  run: () => { if (mayRun(state)) startRun(); },
  stop: () => stop(),
  turn: (name, value) => { state.form.knobs[name] = value; afterTurn(); },
  seed: (value) => { state.form.seed = value; afterTurn(); },
  reset: () => { Object.assign(state.form, { knobs: defaultKnobs(state.experiment), seed: defaultSeed }); state.corrections = []; afterTurn(); },
  view: (view) => { state.view = view; render(); },
  focusCurve: (number) => {
    if (mayGuess(state)) { // it names the curve that the pen draws
      state.drawFor = number;
      if (state.form.drawn?.curve) state.form.drawn.curve = curveNames(state)[number];
    } else {
      state.focus = state.focus === number ? -1 : number;
    }
    render();
  },
  openSheet: (name) => {
    state.sheet = name;
    render();
    (name ? byID(name).querySelector('button, input:not(:disabled)') : byID('bar').querySelector('button'))?.focus();
  },
  copy: async (words, called = words) => {
    try {
      await navigator.clipboard.writeText(words);
      say(`Copied: ${called}`);
    } catch {
      say(`Copy it by hand: ${words}`);
    }
    render();
  },
  say,
};

const plot = new PlotCard(state, on);

/** The one status line. */
function say(words) {
  state.status = words;
  byID('status').textContent = words;
}

// A button that is replaced between press and release gets no click, so nothing
// is drawn anew meanwhile. The field of the seed asks for it when it loses the focus to the press.
let isPressed = false, rendersLater = false;
addEventListener('pointerdown', () => { isPressed = true; }, true);
addEventListener('click', endPress); // after the handlers of the button
for (const kind of ['pointerup', 'pointercancel']) addEventListener(kind, () => setTimeout(endPress), true);

function endPress() {
  isPressed = false;
  if (rendersLater) render();
}

function render() {
  rendersLater = isPressed;
  if (isPressed) return;
  document.body.dataset.phase = state.phase;
  document.body.dataset.experiment = state.experiment?.name ?? '';
  document.body.dataset.sheet = state.sheet;
  renderTop(state, on, isBusy(state) || !state.experiment ? location.pathname + location.search : writeLink(state.experiment, state.form));
  if (!state.list) return;
  renderList(byID('list'), state, on.open);
  const isExperiment = Boolean(state.experiment);
  for (const id of ['guess', 'plot-card', 'side', 'bar']) byID(id).hidden = !isExperiment;
  if (!isExperiment) {
    byID('claims').hidden = byID('notices').hidden = true;
    if (state.phase === 'break') renderBreak(byID('heading'), state, on);
    return;
  }

  renderHeading(byID('heading'), state);
  renderGuess(byID('guess'), state, on);
  renderClaims(byID('claims'), state);
  renderNotices(byID('notices'), state);
  renderKnobs(byID('knobs'), state, on);
  renderReal(byID('real'), state, on);
  renderNext(byID('next'), state, on);
  renderBar(state, on, runButtons(state, on, 'bar'));
  plot.render();
  tickRun(state, performance.now(), stillness.matches);
}

/** Shows what the address says: a form, filled and not run, or a run of this visit. */
function openAddress({ isNew = false } = {}) {
  if (isBusy(state)) stop();
  const { name, unknown, experiment, form } = readLink(location.pathname, location.search, state.list.experiments);
  if (!name && !unknown) {
    document.body.dataset.view = matchMedia('(max-width: 919px)').matches ? 'list' : 'experiment';
    const first = state.list.experiments.find((e) => !state.done.has(e.name)) ?? state.list.experiments[0];
    if (!first) return fail('This program has no experiments.');
    history.replaceState(history.state, '', `/lab/${first.name}`);
    return openAddress();
  }

  if (isNew || location.search) document.body.dataset.view = 'experiment';
  const kept = shownRuns.get(location.pathname + location.search);
  Object.assign(state, { experiment, form: kept?.form ?? form, finding: kept?.finding ?? null, phase: kept ? 'done' : 'ready', corrections: [],
    frame: null, live: null, run: null, view: 'plot', focus: -1, reader: null, drawFor: 0, cursor: -1, sheet: '', status: '' });
  if (name === breakName) state.phase = 'break';
  if (unknown) return fail(`There is no experiment called ${unknown}. Choose one from the list.`);
  document.title = `${name} · ridehail lab`;
  render();
  scrollTo(0, 0);
  if (isNew) byID('centre').focus({ preventScroll: true });
  if (experiment) refreshFrame();
}

function fail(words) {
  Object.assign(state, { phase: state.list ? 'nowhere' : 'failed', experiment: null });
  render();
  fill(byID('heading'), el('h1', {}, 'The lab cannot show this'), el('p.ask', { role: 'alert' }, words));
}

/** Asks for the empty plot of the settings; the server also corrects them. */
async function refreshFrame() {
  const { experiment, form } = state;
  render();
  try {
    const { chart, knobs, corrections } = await getFrame(experiment.name, form.knobs);
    if (state.form !== form) return;
    state.frame = chart;
    form.knobs = knobs;
    if (corrections.length) state.corrections = corrections;
  } catch (err) {
    if (state.form !== form) return;
    say(err.message);
  }
  render();
}

function afterTurn() {
  state.corrections = [];
  if (mayGuess(state)) refreshFrame();
  else render();
}

async function startRun() {
  const { experiment, form } = state, run = { began: performance.now(), takes: experiment.seconds, waitUntil: 0, abort: new AbortController(), unseen: [] };
  Object.assign(state, { phase: 'running', finding: null, live: null, stoppedAt: undefined, run, corrections: [], reader: null, cursor: -1, sheet: '' });
  form.skipped = true; // a second run needs no second guess
  const link = writeLink(experiment, form);
  history[link === location.pathname + location.search ? 'replaceState' : 'pushState']({ from: experiment.name }, '', link);
  say('Running');
  render();
  const ticking = setInterval(() => tickRun(state, performance.now(), stillness.matches), 250);

  try {
    await waitTurn(run, () => runExperiment({ experiment: experiment.name, guess: form.guess, knobs: form.knobs, seed: form.seed },
      (name, data) => { if (state.run === run) takeEvent(name, data, run); }, run.abort.signal));
  } catch (err) {
    if (state.run === run) endRun('stopped', err.name === 'AbortError' ? 'Stopped' : err.message);
  } finally {
    clearInterval(ticking);
  }
}

/** Tries until no other run is on. */
async function waitTurn(run, attempt) {
  for (;;) {
    try {
      return await attempt();
    } catch (err) {
      if (!err.wait || state.run !== run) throw err;
      run.waitUntil = performance.now() + 1000 * err.wait;
      state.phase = 'waiting';
      say(err.message);
      render();
      await sleep(Math.min(err.wait, 2) * 1000, run.abort.signal);
      if (state.run !== run) return undefined;
    }
  }
}

function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(new DOMException('stopped', 'AbortError'));
    }, { once: true });
  });
}

function takeEvent(name, data, run) {
  switch (name) {
    case 'started':
      Object.assign(run, { id: data.run, began: performance.now(), takes: data.takes_s });
      state.phase = 'running';
      state.corrections = data.corrections ?? [];
      state.form.knobs = data.knobs;
      say('Running');
      return render();
    case 'frame':
      state.frame = data;
      state.live = copyChart(data);
      return plot.render();
    case 'points': {
      if (stillness.matches) { // drawn once, at the end
        run.unseen.push(...data.points);
        return undefined;
      }
      const before = state.live.panels.reduce((n, p) => n + p.curves.length, 0);
      addPoints(state.live, data.points);
      return state.live.panels.reduce((n, p) => n + p.curves.length, 0) === before ? plot.drawSoon() : plot.render();
    }
    case 'result': return showFinding(data);
    case 'stopped': return endRun('stopped', data.says);
    default: return endRun('stopped', data.says);
  }
}

function showFinding(finding) {
  const { name } = state.experiment, runs = [...runsOf(state), finding].slice(-4);
  state.runs.set(name, runs);
  state.done.add(name);
  keepDone(localStorage, state.done);
  state.finding = finding;
  shownRuns.set(location.pathname + location.search, { finding, form: structuredClone(state.form) });
  const held = finding.claims.filter((c) => c.holds).length;
  endRun('done', `Ran in ${finding.seconds} s: ${held} of ${finding.claims.length} claims hold`);
}

function endRun(phase, words) {
  if (state.live && state.run?.unseen.length) addPoints(state.live, state.run.unseen);
  const xs = (state.live?.panels ?? []).flatMap((p) => p.curves.filter((c) => !c.style).flatMap((c) => c.points.map((at) => at.x)));
  Object.assign(state, { phase, run: null, stoppedAt: xs.length ? Math.max(...xs) : undefined });
  say(words);
  render();
}

function stop() {
  const { run } = state;
  if (!run) return;
  if (run.id && !run.stopping) {
    run.stopping = true;
    stopRun(run.id);
  } else {
    run.abort.abort();
  }
  tickRun(state, performance.now(), stillness.matches);
}

async function boot() {
  state.done = readDone(localStorage);
  listenToKeys(state, on, plot);
  addEventListener('popstate', () => state.list && openAddress());
  addEventListener('pagehide', () => state.run?.abort.abort());
  try {
    state.list = await getExperiments();
  } catch (err) {
    return fail(err.message);
  }
  return openAddress();
}

boot();
