// The talk of one trip: what was said, in the node's order, what is still on its way, and the panel that shows it.

import { el, fill } from './dom.js';
import { Sequence } from './resume.js';
import { clockTime } from './format.js';
import { newID } from './api.js';

/** What was said and what waits to be said. Pure. */
export class Talk {
  constructor(tripID) {
    this.tripID = tripID;
    this.said = [];
    this.waiting = []; // {id, text, problem}: ours, without a number yet
    this.numbers = new Sequence();
    this.unread = 0;
  }

  /** Takes a numbered message: 'show', 'old' or 'gap'. */
  take(message, open) {
    const verdict = this.numbers.take(message.seq ?? 0);
    if (verdict !== 'show') return verdict;
    this.said.push({ seq: message.seq, from: message.from, text: message.text ?? '', at: message.at_ms ?? 0 });
    this.waiting = this.waiting.filter((w) => w.id !== message.client_id);
    if (message.from !== 'rider' && !open) this.unread++;
    return verdict;
  }

  say(text, id) {
    const mine = { id, text, problem: '' };
    this.waiting.push(mine);
    return mine;
  }
}

/** The panel. send(body, id) resolves when the node has the message; reread(after) fetches history. */
export class ChatPanel {
  constructor(root, { send, typing, reread, changed }) {
    Object.assign(this, { root, send, typing, reread, changed });
    this.talk = new Talk('');
    this.open = false;
    this.typedAt = 0;
    this.#build();
  }

  /** Turns to another trip's talk. */
  about(tripID) {
    if (this.talk.tripID === tripID) return;
    this.talk = new Talk(tripID);
    this.draw();
  }

  async take(message) {
    if (message.trip_id !== this.talk.tripID) return;
    const verdict = this.talk.take(message, this.open);
    if (verdict === 'gap') await this.catchUp();
    if (message.from !== 'rider') this.#typing(false);
    this.draw();
  }

  /** Reads what we missed. */
  async catchUp() {
    const talk = this.talk;
    const missed = await this.reread(talk.tripID, talk.numbers.last).catch(() => []);
    for (const message of missed) talk.take(message, this.open);
    this.draw();
  }

  hearTyping(tripID) {
    if (tripID === this.talk.tripID) this.#typing(true);
  }

  show(open) {
    this.open = open;
    this.root.hidden = !open;
    document.body.toggleAttribute('data-chat', open);
    if (open) {
      this.talk.unread = 0;
      this.input.focus({ preventScroll: true });
    }
    this.draw();
  }

  draw() {
    const line = (m, mine, state) => el(`li.${mine ? 'mine' : 'theirs'}`, { 'data-state': state },
      el('p', { dir: 'auto' }, m.text), el('small', {}, m.problem || (state === 'waiting' ? 'Sending…' : clockTime(m.at))));
    fill(this.list,
      this.talk.said.map((m) => line(m, m.from === 'rider', 'said')),
      this.talk.waiting.map((m) => line(m, true, m.problem ? 'failed' : 'waiting')));
    this.empty.hidden = this.talk.said.length + this.talk.waiting.length > 0;
    this.list.scrollTop = this.list.scrollHeight;
    this.changed();
  }

  #typing(on) {
    clearTimeout(this.typingEnds);
    this.mark.hidden = !on;
    if (on) this.typingEnds = setTimeout(() => { this.mark.hidden = true; }, 4_000);
  }

  async #say(text) {
    const talk = this.talk;
    const mine = talk.say(text, newID('say-'));
    this.draw();
    try {
      const ack = await this.send({ send_chat: { trip_id: talk.tripID, text } }, mine.id);
      // The message itself comes numbered on the socket; if it came before the ack it is already shown.
      if ((ack.chat_seq ?? 0) > talk.numbers.last + 1) await this.catchUp();
      else talk.take({ seq: ack.chat_seq, from: 'rider', text, at_ms: Date.now(), client_id: mine.id }, true);
      talk.waiting = talk.waiting.filter((w) => w !== mine);
    } catch (refusal) {
      mine.problem = refusal.message || 'Not sent.';
    }
    this.draw();
  }

  #build() {
    this.list = el('ol.lines', { role: 'log', 'aria-label': 'Messages' });
    this.empty = el('p.empty', {}, 'Say where you are waiting, or ask anything.');
    this.mark = el('p.typing', { hidden: true }, 'Driver is typing', el('i'), el('i'), el('i'));
    this.input = el('input', {
      id: 'chat-text', type: 'text', dir: 'auto', maxlength: 1000, placeholder: 'Message', 'aria-label': 'Message to your driver', autocomplete: 'off',
    });
    this.input.addEventListener('input', () => {
      if (Date.now() - this.typedAt < 2_000) return;
      this.typedAt = Date.now();
      this.typing(this.talk.tripID);
    });
    const form = el('form', {}, this.input, el('button.primary', { id: 'chat-send', type: 'submit', 'aria-label': 'Send' }, '↑'));
    form.addEventListener('submit', (e) => {
      e.preventDefault();
      const text = this.input.value.trim();
      if (!text) return;
      this.input.value = '';
      this.typedAt = 0;
      this.#say(text);
    });
    this.root.append(
      el('header', {}, el('h2', {}, 'Chat with your driver'),
        el('button.close', { id: 'close-chat', type: 'button', 'aria-label': 'Close chat', onclick: () => this.show(false) }, '×')),
      this.empty, this.list, this.mark, form);
    this.root.addEventListener('keydown', (e) => e.key === 'Escape' && this.show(false));
  }
}
