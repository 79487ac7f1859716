// The card: one quiet panel that says where the ride stands and offers the next step. A sheet at the bottom of a phone.

import { el, fill } from './dom.js';
import { money, distance, duration, countdown, clock, clockTime } from './format.js';

/** actions: {choose, request, requote, cancel, again, chat, help}; names(point) gives a place's words. */
export class Card {
  constructor(root, actions, names) {
    this.root = root;
    this.actions = actions;
    this.names = names;
    this.asking = null; // the question that is open, of QUESTIONS
    this.aiming = '';
    this.left = null; // seconds of the countdown
  }

  draw(ride, unread = 0) {
    if (this.asking && !ride[this.asking.while]) this.asking = null;
    const view = VIEWS[ride.phase] ?? VIEWS.choose_pickup;
    fill(this.root,
      el('div.grip', { 'aria-hidden': 'true' }),
      view.call(this, ride),
      ride.problem && el('p.problem', { id: 'problem', role: 'alert' }, ride.problem),
      ride.helpable && ride.help && el('p.note', { id: 'help', role: 'status' }, HELP[ride.help.state]),
      this.#tools(ride, unread), xrayLink(ride));
    this.tick(this.left);
    this.ask = (question) => { this.asking = question; this.draw(ride, unread); };
  }

  /** Updates the countdown alone; seconds may be null when nobody knows. */
  tick(seconds) {
    this.left = seconds;
    const node = this.root.querySelector('#eta');
    if (node) node.textContent = seconds === null ? '' : countdown(seconds);
  }

  /** Says how long the price holds; seconds. */
  price(seconds) {
    const node = this.root.querySelector('#price-holds');
    if (node) node.textContent = `price holds for ${clock(seconds)}`;
  }

  #tools(ride, unread) {
    if (!ride.cancellable && !ride.trip?.driver) return null;
    if (this.asking) return this.#question();
    const ended = !ride.active;
    return [el('div.tools', {},
      ride.trip?.driver && el('button.quiet', { id: 'open-chat', type: 'button', onclick: this.actions.chat },
        ended ? 'Message driver' : 'Chat',
        unread > 0 && el('b.badge', { id: 'unread', 'aria-label': `${unread} unread` }, String(unread))),
      ride.cancellable && el('button.quiet', { id: 'cancel', type: 'button', onclick: () => this.ask(QUESTIONS.cancel) }, 'Cancel ride')),
    ride.helpable && (!ride.help || ride.help.state === 'seen') &&
      el('button.plain', { id: 'emergency', type: 'button', onclick: () => this.ask(QUESTIONS.help) }, 'Emergency')];
  }

  #question() {
    const { words, keep, keepID, yes, yesID, action } = this.asking;
    return el('div.question', { role: 'group', 'aria-label': words },
      el('p', {}, words),
      el('div.tools', {},
        el('button.quiet', { id: keepID, type: 'button', onclick: () => this.ask(null) }, keep),
        el('button.danger', { id: yesID, type: 'button', onclick: () => { this.asking = null; this.actions[action](); } }, yes)));
  }

  places(ride) {
    const line = (which, text) => el(`button.place.${which}`, {
      id: `choose-${which}`, type: 'button', disabled: !ride.editable, 'aria-pressed': String(this.aiming === which),
      onclick: () => this.actions.choose(which),
    }, el('i', { 'aria-hidden': 'true' }), el('span', {}, ride[which] ? this.names(ride[which]) : text));
    return el('div.places', {}, line('pickup', 'Choose a pickup'), line('dropoff', 'Choose a destination'));
  }
}

/** Leads to the ride hop by hop, in a tab of its own that has this one's token. */
function xrayLink({ trip }) {
  return trip?.id && el('a.xray', { id: 'xray', href: `/xray?trip=${encodeURIComponent(trip.id)}`, target: '_blank', rel: 'opener' }, 'X-ray this ride');
}

/** What is asked before something is done; `while` is what must hold of the ride for the question to make sense. */
const QUESTIONS = {
  cancel: { while: 'cancellable', words: 'Cancel this ride?', keep: 'Keep it', keepID: 'keep-ride',
    yes: 'Yes, cancel', yesID: 'confirm-cancel', action: 'cancel' },
  help: { while: 'helpable', words: 'Call our operators? They see your trip and where the car is. If your life is in danger, phone the emergency services first.',
    keep: 'Not now', keepID: 'no-help', yes: 'Call for help', yesID: 'confirm-help', action: 'help' },
};
const HELP = {
  sending: 'Calling our operators…',
  sent: 'Our operators have your call and the car’s position.',
  seen: 'An operator has seen your call.',
};

const title = (text, more) => el('h1', {}, text, more && el('small', {}, more));
const facts = (...pairs) => el('dl.facts', {}, pairs.filter(Boolean).map(([k, v, id]) =>
  el('div', {}, el('dt', {}, k), el('dd', { id }, v))));
const big = (id, label, onclick, props = {}) => el('button.primary', { id, type: 'button', onclick, ...props }, label);
const bar = () => el('div.bar', { role: 'progressbar', 'aria-label': 'Working' }, el('i'));
const STRAIGHT = 'Estimated in a straight line: the road service did not answer in time.';

/** What became of a price that no longer held. */
function repriced(before, now) {
  if ((before.minor ?? 0) === (now.minor ?? 0)) return 'The price has been renewed and is the same.';
  return `The price was ${money(before)} and no longer held. Please confirm the new one.`;
}

function quoted(ride, waiting) {
  const q = ride.quote;
  return [
    el('div.price', {}, el('strong', { id: 'price' }, money(q.fare)), el('span', { id: 'length' }, `${distance(q.metres)} · ${duration(q.seconds)}`)),
    (q.surge > 1 || q.endsMs > 0) && el('div.terms', {},
      q.surge > 1 && el('b', { id: 'busy' }, `×${q.surge.toFixed(1)} busy here`),
      q.endsMs > 0 && el('span', { id: 'price-holds', 'aria-live': 'off' }, `price holds for ${clock((q.endsMs - Date.now()) / 1000)}`)),
    q.before && el('p.note', { id: 'new-price', role: 'status' }, repriced(q.before, q.fare)),
    this.places(ride),
    q.pickupSeconds !== null && el('p.hint', { id: 'pickup-eta' }, `A car can be with you in about ${duration(Math.max(60, q.pickupSeconds))}.`),
    q.straight && el('p.note', { id: 'straight' }, STRAIGHT),
    waiting ? big('request', 'Requesting…', null, { disabled: true }) : big('request', 'Request ride', this.actions.request),
  ];
}

function driving(head, more, ride, countdownFor) {
  return [
    el('div.headline', {}, title(head, more), countdownFor && el('div.eta', {}, el('strong', { id: 'eta' }), el('small', {}, countdownFor))),
    facts(['Driver', ride.trip.driver, 'driver'], ['Fare', money(ride.trip.fare), 'fare']),
  ];
}

function ended(head, text) {
  return function view(ride) {
    return [title(head), el('p.hint', {}, text(ride)), big('again', 'Plan another ride', this.actions.again)];
  };
}

function receipt(ride) {
  const paid = ride.receipt;
  return [
    title(paid ? 'Thanks for riding' : 'You have arrived', paid ? 'Here is your receipt.' : 'Payment pending. This can take a moment.'),
    el('div.receipt', { id: 'receipt', 'data-paid': String(Boolean(paid)) },
      el('strong', { id: 'paid' }, money(paid?.amount ?? ride.trip.fare)),
      facts(['Distance', distance(ride.trip.metres)],
        ride.trip.startedMs > 0 && ride.trip.endedMs > 0 && ['Time', duration((ride.trip.endedMs - ride.trip.startedMs) / 1000)],
        paid && ['Paid', clockTime(paid.atMs)], paid && ['Reference', paid.reference, 'reference']),
      !paid && bar()),
    big('again', 'Plan another ride', this.actions.again),
  ];
}

const WHO = { rider_cancellation: 'You cancelled', driver_cancellation: 'Your driver cancelled', system_cancellation: 'The ride was cancelled' };

const VIEWS = {
  choose_pickup(ride) {
    return [title('Where are you?', 'Tap the map to set your pickup.'), this.places(ride)];
  },
  choose_destination(ride) {
    return [title('Where to?', 'Tap the map to set your destination.'), this.places(ride)];
  },
  quoting(ride) {
    return [title('Finding a price'), this.places(ride), bar()];
  },
  quote_failed(ride) {
    return [title('No price yet'), this.places(ride), big('requote', 'Try again', this.actions.requote)];
  },
  quoted(ride) {
    return quoted.call(this, ride, false);
  },
  requesting(ride) {
    return ride.quote ? quoted.call(this, ride, true) : [title('Requesting your ride'), this.places(ride), bar()];
  },
  requested(ride) {
    return [title('Looking for a driver', 'Usually this takes a few seconds.'), bar(), facts(['Fare', money(ride.trip.fare), 'fare'])];
  },
  reserved(ride) {
    return driving('Driver on the way', 'Meet at your pickup.', ride, 'to you');
  },
  arrived(ride) {
    return driving('Your driver is here', 'The car is waiting at your pickup.', ride, '');
  },
  on_trip(ride) {
    return driving('On your way', 'Enjoy the ride.', ride, 'to go');
  },
  completed: receipt,
  paid: receipt,
  expired: ended('No driver found', () => 'Every driver near you is busy. You were not charged.'),
  cancelled: ended('Ride cancelled', (ride) => `${WHO[ride.endedBy] ?? 'The ride was cancelled'}. You were not charged.`),
};
