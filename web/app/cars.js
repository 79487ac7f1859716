// The cars: drawn on a canvas of their own above the map, so that a hundred gliding cars cost no redraw of the city.

import { Glide, opacity, GONE_AFTER } from './glide.js';
import { point } from './geo.js';

const LEAVES_IN = 1_200; // ms in which a car that is no longer reported fades out
const still = matchMedia('(prefers-reduced-motion: reduce)');

export class Cars {
  constructor(map) {
    this.map = map;
    this.cars = new Map(); // id -> {glide, left: when it stopped being reported, status}
    this.mine = null; // {id, glide}: the trip's car
    this.canvas = document.createElement('canvas');
    this.canvas.className = 'cars';
    this.canvas.setAttribute('aria-hidden', 'true');
    map.getCanvas().after(this.canvas);
    map.on('render', () => this.draw());
    const frame = () => { this.draw(); requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
  }

  /** Takes the whole picture of cars near us. */
  take(cars, now = performance.now()) {
    const seen = new Set();
    for (const car of cars) {
      seen.add(car.id);
      const fix = { point: point(car.point), heading: car.heading ?? 0, speed: car.speed ?? 0, at: now - (car.age_s ?? 0) * 1000 };
      const known = this.cars.get(car.id);
      if (known) {
        known.left = 0;
        known.glide.push(fix, now);
      } else {
        this.cars.set(car.id, { glide: new Glide(fix, now), left: 0, came: now });
      }
    }
    for (const [id, car] of this.cars) if (!seen.has(id)) car.left ||= now;
  }

  /**
   * Takes a position of the trip's car; `age` in ms is how old the fix is. Another node may have heard of the car later than
   * the one before it: what is older than what is shown is left out.
   */
  follow(id, position, age, now = performance.now()) {
    if (this.mine?.id === id && position.at_ms < this.mine.at_ms) return;
    const fix = { point: point(position.point), heading: position.heading ?? 0, speed: position.speed ?? 0, at: now - Math.max(0, age) };
    if (this.mine?.id === id) this.mine.glide.push(fix, now);
    else this.mine = { id, glide: new Glide(fix, now) };
    this.mine.at_ms = position.at_ms;
  }

  /** Nobody's car is ours any more. */
  release() {
    this.mine = null;
  }

  /** Where our car is shown, or null. */
  get myPlace() {
    return this.mine ? this.#pose(this.mine.glide, performance.now()).point : null;
  }

  /** Seconds since our car's last fix. */
  get myAge() {
    return this.mine ? (performance.now() - this.mine.glide.to.at) / 1000 : 0;
  }

  get count() {
    return this.cars.size;
  }

  #pose(glide, now) {
    return still.matches ? glide.still() : glide.at(now);
  }

  draw(now = performance.now()) {
    const { canvas, map } = this;
    const base = map.getCanvas();
    const scale = devicePixelRatio;
    const [w, h] = [base.clientWidth, base.clientHeight];
    if (canvas.width !== Math.round(w * scale) || canvas.height !== Math.round(h * scale)) {
      canvas.width = Math.round(w * scale);
      canvas.height = Math.round(h * scale);
    }
    const pen = canvas.getContext('2d');
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, w, h);
    const size = Math.min(1.35, Math.max(0.5, 0.5 + (map.getZoom() - 11) * 0.16));
    for (const [id, car] of this.cars) {
      const seen = this.#visible(car, now);
      if (seen <= 0) this.cars.delete(id);
      else if (id !== this.mine?.id) this.#put(pen, car.glide, now, size, seen, false);
    }
    if (this.mine) this.#put(pen, this.mine.glide, now, Math.max(0.95, size * 1.15), Math.max(0.35, opacity(now - this.mine.glide.to.at)), true);
  }

  #visible(car, now) {
    const leaving = car.left ? 1 - (now - car.left) / LEAVES_IN : 1;
    const coming = Math.min(1, (now - car.came) / 400 + 0.05);
    if (now - car.glide.to.at > GONE_AFTER) return 0;
    return Math.min(leaving, coming, opacity(now - car.glide.to.at));
  }

  #put(pen, glide, now, size, alpha, mine) {
    const pose = this.#pose(glide, now);
    const { x, y } = this.map.project([pose.point.lng, pose.point.lat]);
    if (x < -40 || y < -40 || x > pen.canvas.width + 40 || y > pen.canvas.height + 40) return;
    pen.save();
    pen.globalAlpha = alpha;
    pen.translate(x, y);
    pen.scale(size, size);
    if (mine) halo(pen, now);
    pen.rotate(((pose.heading - this.map.getBearing()) * Math.PI) / 180);
    paint(pen, mine);
    pen.restore();
  }
}

function halo(pen, now) {
  const breath = still.matches ? 0.5 : (Math.sin(now / 650) + 1) / 2;
  pen.fillStyle = `rgba(242, 164, 59, ${0.16 + 0.1 * breath})`;
  pen.beginPath();
  pen.arc(0, 0, 21 + 3 * breath, 0, 2 * Math.PI);
  pen.fill();
}

/** A small car seen from above, nose up, about 14 by 26 pixels. */
function paint(pen, mine) {
  pen.shadowColor = 'rgba(31, 48, 58, 0.35)';
  pen.shadowBlur = 5;
  pen.shadowOffsetY = 1.5;
  pen.fillStyle = mine ? '#f2a43b' : '#33505f';
  pen.beginPath();
  pen.roundRect(-6.5, -12.5, 13, 25, [6, 6, 4.5, 4.5]);
  pen.fill();
  pen.shadowColor = 'transparent';
  pen.lineWidth = 1.2;
  pen.strokeStyle = '#ffffff';
  pen.stroke();
  pen.fillStyle = mine ? '#7a4b0c' : '#a9c3cf'; // windscreen, rear window
  pen.beginPath();
  pen.roundRect(-4.6, -6.2, 9.2, 4.4, [3, 3, 1, 1]);
  pen.roundRect(-4.2, 6, 8.4, 2.8, 1);
  pen.fill();
}
