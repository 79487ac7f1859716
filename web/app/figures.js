// The small corner that shows how fresh the car is: milliseconds from the driver's clock to this page, hop by hop,
// each the median of the last positions.

import { el, fill } from './dom.js';
import { ms } from './format.js';

export class Figures {
  constructor(root) {
    this.root = root;
    this.recent = [];
    this.value = el('strong', { id: 'latency' });
    this.hops = el('span', {});
    fill(root, this.value, el('span', {}, 'driver to you'), this.hops);
  }

  /** at: the page's time in the node's clock when the position came. */
  take(position, at) {
    const { at_ms, received_ms, sent_ms } = position;
    this.recent.push([at - at_ms, received_ms - at_ms, sent_ms - received_ms, at - sent_ms]);
    if (this.recent.length > 15) this.recent.shift();
    const middle = (i) => ms(Math.max(0, this.recent.map((r) => r[i]).sort((a, b) => a - b)[this.recent.length >> 1]));
    this.root.hidden = false;
    this.root.dataset.latencyMs = (at - at_ms).toFixed(2);
    this.value.textContent = `${middle(0)} ms`;
    this.hops.textContent = `${middle(1)} to node · ${middle(2)} inside · ${middle(3)} to page`;
    this.root.title = `${position.overwritten ?? 0} older fixes skipped because a newer one came`;
  }

  hide() {
    this.root.hidden = true;
    this.recent = [];
  }
}
