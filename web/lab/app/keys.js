// The keyboard: A to D guess, R runs, Escape stops, T the table, 1 to 9 the
// curves, arrows the reader or the point of a drawn guess.
import { hasGuessed, isBusy, mayGuess } from './store.js';

export function listenToKeys(state, on, plot) {
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !state.experiment) return;
    if (event.key === 'Escape') return escape(state, on);
    if (isTyping(event.target)) return undefined;
    if (press(event.key, event.target, state, on, plot)) event.preventDefault();
    return undefined;
  });
}

function escape(state, on) {
  if (state.sheet) return on.openSheet('');
  if (isBusy(state)) return on.stop();
  if (state.focus >= 0) return on.focusCurve(state.focus);
  return undefined;
}

const isTyping = (node) => node.matches?.('textarea, select, input[type=text]');

function press(key, target, state, on, plot) {
  const letter = key.toUpperCase();
  if (letter.length === 1 && letter >= 'A' && letter <= 'D') {
    if (!mayGuess(state) || letter.charCodeAt(0) - 65 >= state.experiment.options.length) return false;
    on.guess(letter);
    return true;
  }
  if (letter === 'R') {
    if (!hasGuessed(state)) on.say('Guess first, or skip the guess');
    else on.run();
    return true;
  }
  if (letter === 'T') {
    on.view(state.view === 'plot' ? 'table' : 'plot');
    return true;
  }
  if (key >= '1' && key <= '9') {
    const button = document.getElementById(`curve-${key}`);
    if (button) on.focusCurve(Number(key) - 1);
    return Boolean(button);
  }
  return !target.matches?.('input, [role=region]') && plot.key(key);
}
