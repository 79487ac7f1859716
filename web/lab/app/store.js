// What the page knows: the list, the experiment that is open, its form, and
// what its runs found. Views read it; only main.js changes it.
import { ghostsOf, measuredNames } from './chart.js';

const doneKey = 'ridehail.lab.done';

export function readDone(storage) {
  try {
    const names = JSON.parse(storage.getItem(doneKey) ?? '[]');
    return new Set(Array.isArray(names) ? names.filter((n) => typeof n === 'string') : []);
  } catch {
    return new Set(); // storage is off, or holds something else
  }
}

export function keepDone(storage, done) {
  try {
    storage.setItem(doneKey, JSON.stringify([...done]));
  } catch { /* storage is off: the marks last as long as the page */ }
}

/** The state of the page. phase is one of: loading, failed, break, nowhere, ready, waiting, running, done, stopped. */
export function newState() {
  return {
    phase: 'loading', list: null, done: new Set(), problem: '',
    experiment: null, form: null, corrections: [], frame: null,
    live: null,      // the chart of the run that is on, or was stopped
    stoppedAt: undefined,
    finding: null,   // of the run that is shown
    runs: new Map(), // experiment -> its findings in this visit, the oldest first
    run: null,       // { id, began, takes, deadline, abort, waitUntil }
    status: '', view: 'plot', focus: -1, reader: null,
    drawFor: 0, cursor: -1, sheet: '',
  };
}

export const runsOf = (state) => state.runs.get(state.experiment?.name) ?? [];

/** What the plot shows. */
export function shownChart(state) {
  if (state.phase === 'running' || state.phase === 'stopped') return state.live ?? state.frame;
  return state.finding?.chart ?? state.frame;
}

export function shownGhosts(state) {
  const runs = runsOf(state);
  if (state.finding) return ghostsOf(runs, state.finding);
  if (state.phase === 'running' && runs.length) return ghostsOf(runs, { settings: settingsOf(state), seed: state.form.seed });
  return [];
}

function settingsOf(state) {
  return state.experiment.knobs.map((k) => ({ name: k.name, value: settingText(k, state.form.knobs[k.name]) }));
}

const settingText = (k, value) => (k.choices ? value : `${Number(value)} ${k.unit ?? ''}`.trim());

export const isBusy = (state) => state.phase === 'running' || state.phase === 'waiting';

/** Whether a person may still guess: before a run, and again when they ask to. */
export const mayGuess = (state) => state.phase === 'ready';

export const hasGuessed = (state) => Boolean(state.form?.guess || state.form?.drawn || state.form?.skipped);

export const mayTurn = (state) => !isBusy(state) && (runsOf(state).length > 0 || state.done.has(state.experiment?.name));

export const mayRun = (state) => Boolean(state.list?.may_run) && !isBusy(state) && ['ready', 'done', 'stopped'].includes(state.phase) && hasGuessed(state);

export const curveNames = (state) => measuredNames(shownChart(state) ?? { panels: [] });
