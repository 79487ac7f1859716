// How a car moves on the screen between fixes: it glides to the newest fix in about the time between fixes, then keeps
// rolling a little in its direction, so that a late fix does not make it stutter. Pure: the time is passed in.

import { metres, ahead, between, turn } from './geo.js';

export const FADES_AFTER = 5_000; // ms of age at which a car starts to fade
export const GONE_AFTER = 30_000; // ms of age at which it is no longer drawn
const SHORTEST = 150; // ms of one glide
const LONGEST = 2_500;
const ROLLS_FOR = 1_500; // ms of dead reckoning, slowing to a stop
const JUMP = 400; // metres: farther than this is a new place, not a drive

export class Glide {
  /** fix: {point, heading, speed, at} with `at` on this page's clock, in ms. */
  constructor(fix, now) {
    this.from = fix.point;
    this.fromHeading = fix.heading;
    this.to = fix;
    this.began = now;
    this.lasts = 0;
    this.last = now;
  }

  /** Takes a newer fix; an older one or the same is ignored. */
  push(fix, now) {
    if (fix.at <= this.to.at) return false;
    const shown = this.at(now);
    const far = metres(shown.point, fix.point) > JUMP;
    this.from = far ? fix.point : shown.point;
    this.fromHeading = far ? fix.heading : shown.heading;
    this.lasts = far ? 0 : Math.min(LONGEST, Math.max(SHORTEST, now - this.last));
    this.to = fix;
    this.began = now;
    this.last = now;
    return true;
  }

  /** Where the car is shown now. */
  at(now) {
    const t = this.lasts > 0 ? Math.min(1, (now - this.began) / this.lasts) : 1;
    if (t < 1) {
      return {
        point: between(this.from, this.to.point, t),
        heading: turn(this.fromHeading, this.to.heading, Math.min(1, t * 1.6)),
      };
    }
    const rolled = Math.min(ROLLS_FOR, Math.max(0, now - this.began - this.lasts));
    const seconds = (rolled - (rolled * rolled) / (2 * ROLLS_FOR)) / 1000;
    return { point: ahead(this.to.point, this.to.heading, this.to.speed * seconds), heading: this.to.heading };
  }

  /** Where it is without any motion, for people who asked for less of it. */
  still() {
    return { point: this.to.point, heading: this.to.heading };
  }
}

/** How visible a fix of this age is: 1 when fresh, 0 when gone. */
export function opacity(age) {
  if (age <= FADES_AFTER) return 1;
  if (age >= GONE_AFTER) return 0;
  return 1 - (age - FADES_AFTER) / (GONE_AFTER - FADES_AFTER);
}
