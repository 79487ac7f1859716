// The small corner that shows how fresh the car is: milliseconds from the driver's clock to this page, hop by hop.

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
    const total = at - position.at_ms;
    this.recent.push(total);
    if (this.recent.length > 15) this.recent.shift();
    const middle = [...this.recent].sort((a, b) => a - b)[this.recent.length >> 1];
    const hop = (a, b) => ms(Math.max(0, b - a));
    this.root.hidden = false;
    this.root.dataset.latencyMs = total.toFixed(2);
    this.value.textContent = `${ms(Math.max(0, middle))} ms`;
    this.hops.textContent = `${hop(position.at_ms, position.received_ms)} to node · ${hop(position.received_ms, position.sent_ms)} inside · ${hop(position.sent_ms, at)} to page`;
    this.root.title = `${position.overwritten ?? 0} older fixes skipped because a newer one came`;
  }

  hide() {
    this.root.hidden = true;
    this.recent = [];
  }
}
