// The live line map above the trip. It fills #map with stations and lines,
// #legend and #controls in the header, and #ledger below.

/**
 * @typedef {object} Hooks
 * @property {(trip: string, name: string) => void} onHop a dot was clicked
 * @property {(mechanism: string|null) => void} onLegend one mechanism is kept, or all
 * @property {(line: {from: string, to: string, mechanism: string}|null) => void} [onHover] a line is pointed at
 * @property {(live: any) => void} [onLive] each live event, for what else follows it
 * @property {(link: {state: 'live'|'lost', ageS: number}) => void} [onLink] how old the figures are
 */

/**
 * Makes the map, which follows GET /v1/xray/live by itself. An update replaces
 * what it shows; highlight thickens a line.
 * @param {HTMLElement} element
 * @param {Hooks} hooks
 */
export function createLineMap(element, hooks) {
  void element;
  void hooks;
  return {
    /** @param {any} live */ update(live) { void live; },
    /** @param {{from: string, to: string, mechanism: string}|null} line */ highlight(line) { void line; },
    /** @param {boolean} paused */ setPaused(paused) { void paused; },
  };
}
