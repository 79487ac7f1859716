// Building the page's elements. Text goes in as text only, never as markup.

/**
 * el('button.quiet', {type: 'button', onclick}, 'Cancel')
 * @param {string} what @param {Record<string, any>} [props] @param {...any} children
 * @returns {HTMLElement}
 */
export function el(what, props = {}, ...children) {
  const [tag, ...classes] = what.split('.');
  const node = document.createElement(tag || 'div');
  if (classes.length) node.className = classes.join(' ');
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

/**
 * Replaces what is inside, keeping the keyboard's focus on the control of the same id.
 * @param {HTMLElement} parent @param {...any} children
 */
export function fill(parent, ...children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement?.id : '';
  parent.replaceChildren(...children.flat().filter(Boolean));
  if (focused) document.getElementById(focused)?.focus();
}

/** @param {string} id @returns {HTMLElement} */
export const byID = (id) => /** @type {any} */ (document.getElementById(id));
