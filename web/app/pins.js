// The two pins: set by a click on the map, by Enter at its centre, or by dragging.

import { el, byID } from './dom.js';
import { point } from './geo.js';

export class Pins {
  /** on: {set(which, point), changed(which), next(), open()} */
  constructor(map, maplibre, on) {
    this.map = map;
    this.on = on;
    this.aimed = '';
    this.markers = {
      pickup: this.#marker(maplibre, 'pickup', 'Pickup'),
      dropoff: this.#marker(maplibre, 'dropoff', 'Destination'),
    };
    map.on('click', (e) => this.#put(e.lngLat));
    map.getCanvas().addEventListener('keydown', (e) => e.key === 'Enter' && this.#put(map.getCenter()));
  }

  /** The next click sets this one. */
  aim(which) {
    this.aimed = this.aimed === which ? '' : which;
    byID('map').classList.toggle('aiming', Boolean(this.aimed));
    this.on.changed(this.aimed);
  }

  draw(ride) {
    for (const [which, marker] of Object.entries(this.markers)) {
      const p = ride[which];
      const over = ride.phase === 'paid' || ride.phase === 'completed';
      if (!p || over) {
        marker.remove();
        continue;
      }
      marker.setLngLat([p.lng, p.lat]).setDraggable(ride.editable).addTo(this.map);
    }
  }

  #put(p) {
    if (!this.on.open()) return;
    const which = this.aimed || this.on.next();
    this.aimed = '';
    byID('map').classList.remove('aiming');
    this.on.changed('');
    this.on.set(which, point(p));
  }

  #marker(maplibre, which, name) {
    const element = el(`div.pin.${which}`, { 'data-pin': which }, el('i'));
    const marker = new maplibre.Marker({ element, anchor: which === 'pickup' ? 'center' : 'bottom' });
    element.setAttribute('aria-label', name);
    element.addEventListener('click', (e) => e.stopPropagation());
    marker.on('dragend', () => this.on.set(which, point(marker.getLngLat())));
    return marker;
  }
}
