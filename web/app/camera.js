// The camera follows the trip gently, and leaves the map alone once the rider has moved it, until asked to follow again.

import { box } from './geo.js';

const EVERY = 3_500; // ms between corrections

export class Camera {
  constructor(map, button) {
    this.map = map;
    this.button = button;
    this.following = true;
    this.last = -Infinity;
    const free = (e) => e.originalEvent && this.active && this.set(false);
    map.on('dragstart', free);
    map.on('zoomstart', free);
    button.addEventListener('click', () => { this.set(true); this.soon(); });
  }

  /** Whether a trip is being followed at all. */
  run(active) {
    if (active && !this.active) this.following = true;
    this.active = active;
    this.set(this.following);
  }

  set(following) {
    this.following = following;
    this.button.hidden = following || !this.active;
  }

  /** The next look is not held back: the trip has moved on. */
  soon() {
    this.last = -Infinity;
  }

  /** Keeps these points in view, beside the card. */
  see(points, now = performance.now(), force = false) {
    if (!force && (!this.active || !this.following || now - this.last < EVERY)) return;
    this.last = now;
    const reduced = matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.map.fitBounds(box(points), { padding: room(), maxZoom: 15.5, duration: reduced ? 0 : 1_600, essential: false, linear: true });
  }
}

/** The space that the card leaves. */
export function room() {
  const card = document.getElementById('card').getBoundingClientRect();
  const wide = innerWidth >= 760;
  const chat = document.body.hasAttribute('data-chat') ? 360 : 0;
  return wide
    ? { left: card.right + 70, top: 110, right: Math.min(90 + chat, innerWidth - card.right - 200), bottom: 80 }
    : { left: 56, right: 56, top: 96, bottom: Math.min(innerHeight * 0.55, innerHeight - card.top + 50) };
}
