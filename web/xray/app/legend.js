// The legend in the header: a click keeps one mechanism and dims the others.
import { el } from '../../app/dom.js';
import { disc, strokes } from './linemap-svg.js';
import { svg } from './svg.js';
import { mechanisms } from './linemap-figures.js';

/**
 * Fills the legend. On a phone it is a button that opens the list.
 * @param {HTMLElement} element
 * @param {(mechanism: string | null) => void} onKeep
 */
export function createLegend(element, onKeep) {
  /** @type {string | null} */
  let kept = null;
  const buttons = mechanisms.map(({ name, words }) => el('button', { type: 'button', 'aria-pressed': 'false', 'data-mechanism': name, onclick: () => keep(kept === name ? null : name) }, sample(name), words));
  const list = el('div.legend-list.pill', { id: 'legend-list', role: 'group', 'aria-label': 'Mechanisms: keep one' }, ...buttons);
  const opener = el('button.pill.legend-open', { type: 'button', 'aria-expanded': 'false', 'aria-controls': 'legend-list', onclick: () => open(!element.hasAttribute('data-open')) }, 'Legend');
  element.append(opener, list);
  element.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !(kept || element.hasAttribute('data-open'))) return;
    event.stopPropagation();
    if (element.hasAttribute('data-open')) opener.focus();
    open(false);
    keep(null);
  });

  /** @param {boolean} isOpen */
  function open(isOpen) {
    element.toggleAttribute('data-open', isOpen);
    opener.setAttribute('aria-expanded', String(isOpen));
  }

  /** @param {string | null} mechanism */
  function keep(mechanism) {
    kept = mechanism;
    for (const b of buttons) b.setAttribute('aria-pressed', String(b.dataset.mechanism === mechanism));
    element.toggleAttribute('data-kept', mechanism !== null);
    opener.textContent = mechanism ? `Only ${mechanisms.find((m) => m.name === mechanism)?.words}` : 'Legend';
    onKeep(mechanism);
  }

  return { keep };
}

/** A short piece of the line with its disc. @param {string} mechanism */
function sample(mechanism) {
  const frame = { class: `sample m-${mechanism}`, viewBox: '0 0 34 18', width: 34, height: 18, 'aria-hidden': 'true' };
  if (mechanism === 'person') return svg('svg', frame, svg('rect', { class: 'person', x: 2, y: 3, width: 30, height: 12 }), ...[2, 9, 16, 23].map((x) => svg('path', { class: 'person-hatch', d: `M${x},15L${x + 9},3` })));
  return svg('svg', frame, ...strokes(mechanism, [[1, 9], [33, 9]]), disc(17, 9, mechanism));
}
