// The list of experiments under the course's headings.
import { el, fill } from '../../app/dom.js';
import { breakName } from './permalink.js';

let shown = '';

/** Renders only what has changed: a click must not lose the link that it began on. */
export function renderList(host, state, open) {
  const { experiments } = state.list, count = experiments.filter((e) => state.done.has(e.name)).length;
  const key = JSON.stringify([state.phase === 'break', state.experiment?.name, [...state.done]]);
  if (key === shown) return;
  shown = key;
  const topics = [...new Set(experiments.map((e) => e.topic))];
  const progress = el('progress', { max: experiments.length, value: count, 'aria-label': 'Experiments done' });
  const now = state.phase === 'break' ? breakName : state.experiment?.name;
  fill(host,
    el('div.list-head', {}, el('h2', {}, 'Experiments'), el('span', {}, `${count} of ${experiments.length} done`)), progress,
    ...topics.map((topic) => renderTopic(topic, experiments.filter((e) => e.topic === topic), state, now, open)),
    el('div.topic.break', {}, item(breakName, 'five planted bugs', '', now, 'bolt', 'no run', open)));
}

function renderTopic(topic, experiments, state, now, open) {
  const asks = [...new Set(experiments.flatMap((e) => e.asks.map((a) => a.number)))];
  return el('div.topic', {}, el('h3', {}, el('span', {}, topic), el('span.asks', {}, asks.join(' '))),
    el('ul', {}, experiments.map((e) => el('li', {}, item(e.name, e.teaser, `${Math.round(e.seconds)} s`, now,
      e.name === now ? 'current' : state.done.has(e.name) ? 'done' : 'open', state.done.has(e.name) ? 'done' : 'not done yet', open)))));
}

function item(name, teaser, seconds, now, mark, spoken, open) {
  return el('a', {
    id: `open-${name}`, href: `/lab/${name}`, 'aria-current': name === now ? 'page' : null, 'data-mark': mark,
    onclick: (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      open(name);
    },
  }, el('i.mark', { role: 'img', 'aria-label': spoken }), el('b', {}, name), el('span.teaser', {}, teaser), el('span.seconds', {}, seconds));
}
