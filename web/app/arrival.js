// How long until the car is there: asked from the road service now and then, counted down in between.

const ASK_EVERY = 6_000;

export class Arrival {
  constructor(api, now = () => performance.now()) {
    this.api = api;
    this.now = now;
    this.towards(null);
  }

  /** Sets where the car is going; null when nowhere. */
  towards(goal) {
    if (goal && this.goal && goal.lng === this.goal.lng && goal.lat === this.goal.lat) return;
    this.goal = goal;
    this.left = null;
    this.asked = -Infinity;
  }

  /** Seconds until the car, now at this place, is there; null while unknown. */
  seconds(car) {
    if (!this.goal) return null;
    const now = this.now();
    if (now - this.asked > ASK_EVERY) {
      this.asked = now;
      this.#ask(car, this.goal);
    }
    return this.left === null ? null : Math.max(0, this.left - (now - this.answered) / 1000);
  }

  async #ask(car, goal) {
    const quote = await this.api.quote(car, goal).catch(() => null); // the countdown goes on without it
    if (!quote || goal !== this.goal) return;
    this.left = quote.seconds;
    this.answered = this.now();
  }
}
