// The knobs and the buttons of a run, beside the plot and, on a phone, below it.
import { el, fill } from '../../app/dom.js';
import { knobPlace, knobStep, knobText, knobValue } from './scale.js';
import { hasGuessed, isBusy, mayRun, mayTurn, runsOf } from './store.js';

export function renderKnobs(host, state, on) {
  const e = state.experiment, open = mayTurn(state);
  fill(host,
    el('div.card-head', {}, el('h2', { id: 'knobs-title' }, 'Knobs'), open ? null : el('span', {}, 'open after the first run'), closeSheet(on)),
    el('form.knobs', { onsubmit: (event) => event.preventDefault() },
      ...e.knobs.map((k) => (k.choices ? choiceKnob(k, state, open, on) : numberKnob(k, state, open, on))), seedKnob(state, open, on)),
    ...runButtons(state, on, 'side'),
    el('div.under-run', {}, el('span', {}, runsOf(state).length ? 'Earlier runs stay as ghosts' : ''),
      open ? el('button.link', { id: 'reset', type: 'button', onclick: on.reset }, 'Reset') : null));
}

export const closeSheet = (on) => el('button.round.close-sheet', { type: 'button', 'aria-label': 'Close', onclick: () => on.openSheet('') }, '×');

function numberKnob(k, state, open, on) {
  const given = state.form.knobs[k.name], value = Number.isFinite(Number(given)) && given !== '' ? Number(given) : k.default;
  const output = el('output', { id: `knob-${k.name}-value`, for: `knob-${k.name}` }, knobText(k, value));
  const input = el('input', {
    type: 'range', id: `knob-${k.name}`, min: 0, max: 1000, step: 1, value: knobPlace(k, value), disabled: !open,
    'aria-valuetext': knobText(k, value), 'aria-describedby': `knob-${k.name}-help`,
    oninput: () => show(knobValue(k, Number(input.value))),
    onchange: () => on.turn(k.name, String(current)),
    onkeydown: (event) => {
      const direction = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!direction) return;
      event.preventDefault();
      show(knobStep(k, current, direction));
      on.turn(k.name, String(current));
    },
  });
  let current = value;
  input.style.setProperty('--at', `${knobPlace(k, value) / 10}%`);

  function show(next) {
    current = next;
    output.textContent = knobText(k, next);
    input.value = knobPlace(k, next);
    input.setAttribute('aria-valuetext', knobText(k, next));
    input.style.setProperty('--at', `${knobPlace(k, next) / 10}%`);
  }

  return el('div.knob', {}, el('div.knob-head', {}, el('label', { for: `knob-${k.name}` }, k.label), output), input,
    el('div.ends', { 'aria-hidden': 'true' }, el('span', {}, knobText(k, k.low)), el('span', {}, knobText(k, k.high))),
    el('p.help', { id: `knob-${k.name}-help` }, k.help), correction(k.name, state));
}

function choiceKnob(k, state, open, on) {
  return el('fieldset.knob', { disabled: !open }, el('legend', {}, k.label),
    el('div.choices', {}, k.choices.map((c) => el('label', {},
      el('input', { type: 'radio', name: `knob-${k.name}`, id: `knob-${k.name}-${c}`, value: c, checked: state.form.knobs[k.name] === c, onchange: () => on.turn(k.name, c) }),
      el('span', {}, c)))),
    el('p.help', {}, k.help), correction(k.name, state));
}

function seedKnob(state, open, on) {
  const input = el('input', { type: 'text', inputmode: 'numeric', id: 'seed', value: state.form.seed, disabled: !open, autocomplete: 'off', maxlength: 20,
    onchange: () => on.seed(/^\d+$/.test(input.value.trim()) ? input.value.trim() : state.form.seed) });
  return el('div.knob.seed', {}, el('label', { for: 'seed' }, 'Seed'), input);
}

function correction(name, state) {
  const c = state.corrections.find((x) => x.knob === name);
  return c ? el('p.correction', {}, `“${c.asked}”: ${c.says}`) : null;
}

/** Run, and Stop or Skip beside it. */
export function runButtons(state, on, place) {
  const seconds = `${Math.round(state.experiment.seconds)} s`, again = runsOf(state).length > 0;
  if (isBusy(state)) {
    return [el('div.run-row', {}, el('div.run.busy', { id: `busy-${place}` },
      el('i.bar', { 'aria-hidden': 'true' }), el('span.run-words', {}, '')),
    el('button.quiet', { id: `stop-${place}`, type: 'button', onclick: on.stop, 'aria-keyshortcuts': 'Escape' }, 'Stop'))];
  }

  const why = !state.list.may_run ? state.list.why_not : '';
  return [el('div.run-row', {},
    el('button.run', { id: `run-${place}`, type: 'button', disabled: !mayRun(state), onclick: on.run, 'aria-keyshortcuts': 'R',
      'aria-describedby': why ? `why-${place}` : null },
    el('i.triangle', { 'aria-hidden': 'true' }), el('span', {}, again ? 'Run again' : 'Run'), el('span.takes', {}, seconds)),
    state.list.may_run && !hasGuessed(state) ? el('button.quiet', { id: `skip-${place}`, type: 'button', onclick: on.skip }, 'Skip', el('span.wide', {}, ' the guess')) : null),
  why && place === 'side' ? el('p.why', { id: `why-${place}` }, why) : null];
}

/** The words and the bar of a run that is on; called a few times a second. */
export function tickRun(state, now, isStill) {
  const { run } = state;
  if (!run) return;
  const waits = state.phase === 'waiting';
  const passed = (now - run.began) / 1000, left = Math.max(1, Math.ceil((run.waitUntil - now) / 1000));
  const words = waits ? `Another run is on, ${left} s left` : passed < run.takes ? `${Math.floor(passed)} of ${Math.round(run.takes)} s` : `${Math.floor(passed)} s, almost done`;
  for (const node of document.querySelectorAll('.run.busy')) {
    node.querySelector('.run-words').textContent = run.stopping ? 'Stopping' : words;
    node.dataset.waits = waits;
    node.querySelector('.bar').style.setProperty('--share', waits || isStill ? 0 : Math.min(1, passed / run.takes).toFixed(3));
  }
}
