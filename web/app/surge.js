// Where rides cost more just now: hexagons on the map and a word on what their colour means.

import { el, fill } from './dom.js';

const EVERY = 10_000; // ms between looks

export class Surge {
  constructor(api, map, legend) {
    Object.assign(this, { api, map, legend });
    this.count = 0;
    this.look();
  }

  /** Asks now, and again after a while; what is shown stays when the server does not answer. */
  async look() {
    if (!document.hidden) {
      const hexagons = await this.api.surge().catch(() => null);
      if (hexagons) this.show(hexagons);
    }
    setTimeout(() => this.look(), EVERY);
  }

  show(hexagons) {
    const busy = (hexagons.features ?? []).filter((f) => f.properties?.multiplier > 1);
    this.map.getSource('surge').setData({ type: 'FeatureCollection', features: busy });
    this.count = busy.length;
    document.body.dataset.surge = String(busy.length);
    this.legend.hidden = busy.length === 0;
    const most = Math.max(1, ...busy.map((f) => f.properties.multiplier));
    fill(this.legend, el('i', { 'aria-hidden': 'true' }), el('span', {}, `Busy: up to ×${most.toFixed(1)}`));
  }
}
