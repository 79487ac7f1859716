// After a run: claims, what to notice, what was real, and what to do next.
import { el, fill } from '../../app/dom.js';
import { closeSheet } from './knobs.js';

export function renderClaims(host, state) {
  const claims = state.phase === 'done' ? state.finding.claims : [];
  host.hidden = !claims.length;
  fill(host, ...claims.map((c) => el('li', {}, el('details.claim', { 'data-holds': c.holds },
    el('summary', {}, el('i.tick', { 'aria-hidden': 'true' }, c.holds ? '✓' : '✗'), el('b', {}, c.holds ? 'holds' : 'does not hold'), ' ',
      el('span', {}, c.text), ' ', el('span.numbers', {}, `${c.got} (${c.want})`)),
    el('p', {}, `Law: ${c.law}. ${c.source}. ${c.exact ? 'Exact: a count that no load changes.' : 'Measured: a time, which load may change.'}`)))));
  if (state.phase === 'done' && claims.some((c) => !c.holds)) {
    host.append(el('li.again', {}, `A claim does not hold. Run it again with seed ${state.finding.seed}; if it stays so, the law is not at work here.`));
  }
}

export function renderNotices(host, state) {
  const notices = state.phase === 'done' ? state.finding.notice ?? [] : [];
  host.hidden = !notices.length;
  fill(host, ...notices.map((words) => {
    const at = words.search(/[.:] /), first = at > 0 && at < 60 ? words.slice(0, at + 1) : '';
    return el('li.card', {}, first && el('b', {}, first), first && el('br'), first ? words.slice(at + 2) : words);
  }));
}

export function renderReal(host, state, on) {
  const { experiment: e, finding: f } = state;
  const parts = state.phase === 'done' ? f.parts ?? [] : [];
  fill(host, el('div.card-head', {}, el('h2', { id: 'real-title' }, 'What is real here'), closeSheet(on)),
    state.phase === 'done'
      ? el('p', {}, 'Ran in process ', el('b', {}, String(f.process)), `, in ${f.seconds} s.`)
      : el('p', {}, 'A run is in process ', el('b', {}, String(state.list.process)), ', the demo itself.'),
    parts.length ? el('ul.parts', {}, parts.map((p) => el('li', {}, el('span', {}, p.name), p.where && el('b', {}, p.where), p.count && el('span', {}, p.count)))) : null,
    e.real && el('p', {}, `Real: ${e.real}.`), e.made && el('p', {}, `Made: ${e.made}.`));
}

export function renderNext(host, state, on) {
  const { experiment: e, finding: f } = state, isDone = state.phase === 'done';
  const sources = isDone ? [...new Map(f.claims.map((c) => [c.source, c.law]))] : [];
  fill(host, el('h2', { id: 'next-title' }, 'Next'),
    ...(e.code ?? []).map((c) => copyRow('Read the code', `${c.file}:${c.func}`, c.why, on)),
    e.next ? copyRow('Break it', commandIn(e.next), e.next, on, 'danger') : null,
    isDone ? copyRow('In a terminal', f.command, 'repeats this run', on) : null,
    sources.length ? el('dl.sources', {}, sources.flatMap(([source, law]) => [el('dt', {}, `Law: ${law}`), el('dd', {}, source)])) : null);
}

const commandIn = (words) => words.match(/ridehail (?:lab )?\S.*$/)?.[0] ?? words;

function copyRow(title, what, why, on, kind = '') {
  return el('button.row', { type: 'button', 'data-kind': kind || null, onclick: () => on.copy(what) },
    el('span', {}, el('b', {}, title), why && why !== what ? el('span.why', {}, why) : null, el('code', {}, what)), el('i.copy', { 'aria-hidden': 'true' }), el('span.hidden', {}, 'copy'));
}

/** The page of the planted bugs: commands only, since no ordinary binary has the bugs. */
export function renderBreak(host, state, on) {
  fill(host, el('p.crumb', {}, 'break · five planted bugs'), el('h1', {}, 'Break it, and see the checker find it'),
    el('p.ask', {}, 'Each bug breaks one promise of the app. The checker names the promise and shows the shortest history. Run these in a terminal:'),
    el('section.card.planted', {}, state.list.planted.map((p) => copyRow(p.breaks, p.command, '', on))));
}
