// A menu of trips: the newest, the slowest, one with a fault, the median, and
// the last ones by name. It opens below a button and closes by Escape.
import { el, fill } from '../../app/dom.js';
import { ago, clockTime, count, duration } from './format.js';
import { texts } from './texts.js';

/** @typedef {{id: string, began_ms: number, ended_ms: number, hops: number, rider?: string}} Kept */
/** @typedef {'newest'|'slowest'|'faulty'|'median'} Choice */
/**
 * @typedef {object} PickerHooks
 * @property {() => Promise<Kept[]>} list
 * @property {() => string} current the trip that is shown now
 * @property {Choice[]} choices
 * @property {() => boolean} isBeside whether there is something to stop
 * @property {(choice: Choice) => Promise<string>} onChoice returns why nothing was found
 * @property {(id: string) => void} onTrip
 * @property {() => void} onStop
 */

const shown = 12;
const names = { newest: texts.newest, slowest: texts.slowest, faulty: texts.faulty, median: texts.medianOf };

/** @param {string} id @param {PickerHooks} hooks */
export function createPicker(id, hooks) {
  const menu = el('div.menu', { id, popover: 'auto', 'aria-label': texts.pick, role: 'group' });
  const close = () => /** @type {any} */ (menu).hidePopover();
  menu.addEventListener('toggle', async (/** @type {any} */ event) => {
    if (event.newState !== 'open') return;
    placeBelow(menu);
    fill(menu, ...choiceButtons(hooks, menu, close), el('p.note', {}, texts.looking));
    const trips = await hooks.list().catch(() => []);
    fill(menu, ...choiceButtons(hooks, menu, close), ...tripButtons(trips, hooks, close));
    menu.querySelector('button')?.focus();
  });
  menu.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => walk(menu, event));
  return menu;
}

/** @param {HTMLElement} menu */
function placeBelow(menu) {
  const box = document.querySelector(`[popovertarget="${menu.id}"]`)?.getBoundingClientRect();
  if (!box) return;
  const width = menu.offsetWidth, left = Math.min(Math.max(8, box.left), innerWidth - width - 8);
  const below = innerHeight - box.bottom > 320 || box.top < 320;
  Object.assign(menu.style, { left: `${left}px`, top: below ? `${box.bottom + 6}px` : 'auto', bottom: below ? 'auto' : `${innerHeight - box.top + 6}px` });
}

/** @param {PickerHooks} hooks @param {HTMLElement} menu @param {() => void} close */
function choiceButtons(hooks, menu, close) {
  const choose = async (/** @type {Choice} */ c) => {
    const note = menu.querySelector('p.note') ?? menu.appendChild(el('p.note', { role: 'status' }));
    note.textContent = texts.looking;
    const why = await hooks.onChoice(c);
    if (why) note.textContent = why;
    else close();
  };
  return [...hooks.choices.map((c) => el('button', { type: 'button', id: `${menu.id}-${c}`, onclick: () => choose(c) }, el('b', {}, names[c]))),
    hooks.isBeside() && el('button', { type: 'button', id: `${menu.id}-stop`, onclick: () => { hooks.onStop(); close(); } }, el('b', {}, texts.notBeside))].filter(Boolean);
}

/** @param {Kept[]} trips @param {PickerHooks} hooks @param {() => void} close */
function tripButtons(trips, hooks, close) {
  if (!trips.length) return [el('p.note', { role: 'status' }, texts.noOther)];
  return [el('h3', {}, texts.recent), ...trips.slice(0, shown).map((t) => el('button.trip', { type: 'button', 'aria-current': t.id === hooks.current() ? 'true' : null, onclick: () => { hooks.onTrip(t.id); close(); } },
    el('b', {}, clockTime(t.began_ms)), el('span', {}, t.ended_ms ? duration((t.ended_ms - t.began_ms) * 1000) : texts.ongoing), el('span', {}, count(t.hops, 'hop')), el('small', {}, ago(Date.now() - t.began_ms))))];
}

/** @param {HTMLElement} menu @param {KeyboardEvent} event */
function walk(menu, event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const all = [...menu.querySelectorAll('button')], at = all.indexOf(/** @type {any} */ (document.activeElement));
  all[(at + step + all.length) % all.length]?.focus();
  event.preventDefault();
}
