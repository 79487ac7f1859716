// On a phone one phase is shown at a time, with the hop that is selected below.
import { el, fill } from '../../app/dom.js';
import { disc, phaseTitle } from './rows.js';
import { isFolded, medianPhase } from './model.js';
import { bytes, duration } from './format.js';
import { texts, wayOf } from './texts.js';

/** @typedef {import('./waterfall.js').View} View */
/** @typedef {import('./waterfall.js').Actions} Actions */
/** @typedef {import('./types.js').Hop} Hop */

/** @param {HTMLElement} node @param {View} view @param {Actions} on */
export function renderPhase(node, view, on) {
  const { groups, at } = view, group = groups[at];
  node.hidden = !group;
  if (!group) return;
  const { phase, members, picked } = group, before = groups[at - 1]?.phase, usual = medianPhase(view.median, phase.name);
  const step = (/** @type {string} */ id, /** @type {string} */ words, /** @type {number} */ to) => el('button.round', { type: 'button', id, 'aria-label': words, disabled: !groups[to], onclick: () => on.goTo(to) }, el(`i.${id}`, { 'aria-hidden': 'true' }));
  fill(node, before && isFolded(before) && el(`p.gap.gap-${before.gap_wait === 'queue' ? 'queue' : 'people'}`, {}, el('span', {}, `${before.gap_what ?? ''} ${duration(before.gap_us)}`)),
    el('div.phase-line', {}, el('h3', {}, `${phaseTitle(phase)} `, el('b', {}, duration(phase.duration_us))), usual && members.length < 2 && el('span.usual', {}, `median ${duration(usual.duration_us)}`),
      members.length > 1 && el('span.usual', {}, `${picked + 1} of ${members.length}`),
      el('span.of', {}, `${at + 1} of ${groups.length}`), step('back', texts.phaseBefore, at - 1), step('next', texts.phaseAfter, at + 1)));
}

/** @param {HTMLElement} node @param {Hop|null} hop @param {() => void} onOpen */
export function renderPhoneBar(node, hop, onOpen) {
  node.hidden = !hop;
  if (!hop) return;
  const time = hop.seen ? duration(hop.duration_us) : texts.notSeen;
  fill(node, disc(hop.mechanism, '.large'), el('div', {}, el('b', {}, `${wayOf(hop)}, ${time}`), el('span', {}, [hop.what, bytes(hop.bytes)].filter(Boolean).join(' '))),
    el('button.primary', { type: 'button', id: 'look-inside', onclick: onOpen }, texts.lookInside));
}

/** Calls onSwipe(1 or -1) for a swipe to the left or right. @param {HTMLElement} node @param {(step: number) => void} onSwipe */
export function listenToSwipes(node, onSwipe) {
  /** @type {Touch|null} */
  let began = null;
  node.addEventListener('touchstart', (e) => { began = e.touches[0]; }, { passive: true });
  node.addEventListener('touchend', (e) => {
    const ended = e.changedTouches[0];
    if (!began || !ended) return;
    const dx = ended.clientX - began.clientX, dy = ended.clientY - began.clientY;
    if (Math.abs(dx) > 56 && Math.abs(dx) > 2 * Math.abs(dy)) onSwipe(dx < 0 ? 1 : -1);
  }, { passive: true });
}
