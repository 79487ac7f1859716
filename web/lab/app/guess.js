// The heading with the course's question, and the guess: options first, then
// which of them came true.
import { el, fill } from '../../app/dom.js';
import { hasGuessed, isBusy, mayGuess } from './store.js';

const letters = ['A', 'B', 'C', 'D'];

export function renderHeading(host, state) {
  const e = state.experiment;
  fill(host, el('p.crumb', {}, `${e.topic} · ${e.name}`), el('h1', {}, e.question),
    ...e.asks.map((a) => el('p.ask', {}, el('b', {}, a.number), ' ', el('q', {}, a.question))));
}

export function renderGuess(host, state, on) {
  const e = state.experiment, open = mayGuess(state);
  fill(host,
    el('div.guess-head', {}, el('h2', { id: 'situation' }, e.situation || 'What will happen?'), sideNote(state, on)),
    el('div.options', { role: 'radiogroup', 'aria-labelledby': 'situation' }, e.options.map((words, i) => option(state, letters[i], words, open, on))));
}

function sideNote(state, on) {
  if (state.form.drawn) return el('span.drew', {}, el('i.dash', { 'aria-hidden': 'true' }), 'you drew this');
  if (mayGuess(state) && !hasGuessed(state)) return el('span.hint', {}, 'Draw your curve, or choose');
  if (state.phase === 'done') return el('button.link', { id: 'guess-again', type: 'button', onclick: on.guessAgain }, 'Guess again');
  return null;
}

function option(state, letter, words, open, on) {
  const seen = state.finding?.seen === letter, mine = state.form.guess === letter, isKnown = state.phase === 'done';
  const verdict = seen ? (mine ? 'so' : 'seen') : 'not so';
  const said = !isKnown ? mine && ['your guess'] : mine ? [el('span.wide', {}, 'your guess, '), verdict] : seen && [verdict];
  return el('label.option', { 'data-mine': mine || null, 'data-seen': isKnown && seen || null, 'data-known': isKnown || isBusy(state) || null },
    el('input', { type: 'radio', name: 'guess', id: `guess-${letter}`, value: letter, checked: mine, disabled: !open, onchange: () => on.guess(letter) }),
    el('i.letter', { 'aria-hidden': 'true' }, letter), el('span.words', {}, el('span.hidden', {}, `${letter}: `), words), said && el('span.said', {}, ...said));
}
