// The map's keys: 0 switches all faults off, space pauses, outside of controls.

const fields = 'input, textarea, select, [popover]';
const controls = `button, a, summary, ${fields}, [role=region]`; // where space has a meaning of its own

/** @param {{allOff: () => void, pause: () => void}} on */
export function listenToMapKeys(on) {
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.repeat) return;
    const target = event.target instanceof Element ? event.target : null;
    if (event.key === '0' && !target?.closest(fields)) on.allOff();
    else if (event.key === ' ' && !target?.closest(controls)) on.pause();
    else return;
    event.preventDefault();
  });
}
