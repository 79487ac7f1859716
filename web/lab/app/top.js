// The bar on top, and the one at a phone's thumb.
import { byID, el, fill } from '../../app/dom.js';
import { runsOf } from './store.js';

export function renderTop(state, on, link) {
  const { experiment: e, list } = state, from = history.state?.from;
  byID('to-list').onclick = on.toList;
  const number = e ? list.experiments.indexOf(e) + 1 : 0;
  fill(byID('where'), el('b', {}, e?.name ?? (state.phase === 'break' ? 'break' : 'lab')),
    e && el('span', {}, `${number} of ${list.experiments.length} · ${list.experiments.filter((x) => state.done.has(x.name)).length} done`));

  const back = byID('back');
  back.hidden = !from;
  back.onclick = on.back;
  if (from) fill(back, el('i.arrow', { 'aria-hidden': 'true' }), el('b', {}, 'Back'), ` to ${from === e?.name ? 'the run before' : from}`);

  const runs = e ? runsOf(state).length : 0;
  fill(byID('run-number'), ...(e ? ['Seed ', el('b', {}, state.form.seed), ...(runs ? [' · run ', el('b', {}, String(runs))] : [])].map(asNode) : []));

  const permalink = byID('permalink');
  permalink.hidden = !e;
  permalink.onclick = () => on.copy(location.origin + link, 'the address');
  fill(permalink, el('i.chain', { 'aria-hidden': 'true' }), el('span', {}, link), el('span.hidden', {}, 'Copy the address of this run'));
}

const asNode = (x) => (typeof x === 'string' ? document.createTextNode(x) : x);

export function renderBar(state, on, buttons) {
  fill(byID('bar'), ...buttons,
    el('button.quiet', { type: 'button', id: 'show-knobs', 'aria-expanded': String(state.sheet === 'knobs'), onclick: () => on.openSheet(state.sheet === 'knobs' ? '' : 'knobs') }, 'Knobs'),
    el('button.quiet', { type: 'button', id: 'show-more', 'aria-expanded': String(state.sheet === 'more'), onclick: () => on.openSheet(state.sheet === 'more' ? '' : 'more') }, 'Code'));
}
