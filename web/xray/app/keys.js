// Keys that work anywhere on the page, outside of fields. The map has its own.

/** @typedef {{phase: (step: number) => void, ghost: () => void, doubt: () => void, beside: () => void, escape: () => boolean}} KeyActions */

/** @param {KeyActions} on */
export function listenToKeys(on) {
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target instanceof Element && event.target.closest('input, select, textarea, [popover]')) return;
    if (press(event.key, on)) event.preventDefault();
  });
}

/** @param {string} key @param {KeyActions} on */
function press(key, on) {
  switch (key) {
    case '[': on.phase(-1); return true;
    case ']': on.phase(1); return true;
    case 'g': on.ghost(); return true;
    case 'd': on.doubt(); return true;
    case 'b': on.beside(); return true;
    case 'Escape': return on.escape();
    default: return false;
  }
}
