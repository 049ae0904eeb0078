// The look-up of one key.

import { Failure, readKey } from './api.js';
import { byId, make } from './dom.js';
import { bytes, count, decimal, moment, none } from './format.js';
import { member, pretty } from './json.js';

/** The most bytes of a value on the page: more would slow it down. */
const mostText = 64 * 1024;
const mostRaw = 3 * 1024; // in base64, which has a third more characters

export class Lookup {
  #cache = () => null;
  #latest = 0;
  #form = byId('lookup');
  #input = byId('key');
  #found = byId('found');

  /** cache returns the id of the cache to look the key up in. */
  constructor(cache) {
    this.#cache = cache;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#run(this.#input.value);
    });
    document.addEventListener('keydown', (event) => {
      const isTyping = event.target.closest?.('input, textarea, select, [contenteditable]');
      if (event.key !== '/' || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#input.focus();
      this.#input.select();
    });
  }

  /** Looks up a key that was chosen elsewhere on the page, and goes to the result. */
  async show(key) {
    this.#input.value = key;
    await this.#run(key);
    this.#found.focus();
    this.#found.scrollIntoView({ block: 'nearest' });
  }

  clear() {
    this.#latest++;
    this.#found.hidden = true;
    this.#found.replaceChildren();
  }

  async #run(key) {
    const id = this.#cache();
    const turn = ++this.#latest;
    if (!id || key === '') return;
    let content;
    try {
      content = result(await readKey(id, key, mostText));
    } catch (error) {
      content = [refusal(key, error instanceof Failure ? error : new Failure(0, 'this page does not understand the answer'))];
    }
    if (turn !== this.#latest) return; // another look-up has begun meanwhile
    this.#found.hidden = false;
    this.#found.replaceChildren(...content);
  }
}

function refusal(key, { status, message }) {
  const name = make('bdi', { class: 'key' }, key);
  if (status === 404) {
    return make('p', { class: 'verdict', role: 'alert', 'data-status': 404 }, make('strong', {}, 'Absent. '), 'No entry has the key ', name, '.');
  }
  const title = status === 503 || status === 504 ? 'The store does not answer. ' : status === 0 ? 'No answer from the server. ' : `Not answered (${status}). `;
  return make('p', { class: 'verdict bad', role: 'alert', 'data-status': status }, make('strong', {}, title),
    'It is not known whether ', name, ' exists', message ? `: ${message}.` : '.');
}

function result(text) {
  const entry = JSON.parse(text);
  const local = entry.local ? `yes, for another ${decimal(Math.max(0, entry.local.ttl_seconds))} s` : 'no';
  const pairs = [
    ['Rank', decimal(entry.rank)],
    ['Age', `${count(entry.age)} ${entry.age === 1 ? 'write' : 'writes'} since`],
    ['Size', bytes(entry.bytes)],
    ['Type', entry.content_type || entry.type || none],
    ['ETag', entry.etag || none],
    ...(entry.expires ? [['Expires', moment(entry.expires)]] : []),
    ['Local here', local],
  ];
  const list = make('dl', { class: 'pairs' });
  for (const [name, value] of pairs) list.append(make('div', {}, make('dt', {}, name), make('dd', {}, value)));

  const [label, shown, rest] = valueOf(entry, text);
  return [
    make('p', { class: 'verdict', role: 'status', 'data-status': 200 }, make('strong', {}, 'Found '), make('bdi', { class: 'key' }, entry.key)),
    list,
    make('p', { class: 'hint', id: 'value-label' }, label + rest),
    make('pre', { class: 'value', tabindex: 0, role: 'region', 'aria-labelledby': 'value-label' }, shown),
  ];
}

/** Returns a label for a value, its text, and a note if the value was cut. */
function valueOf(entry, text) {
  const cut = (most) => (entry.value_bytes > most ? `: the first ${bytes(most)} of ${bytes(entry.value_bytes)}` : '');
  if (typeof entry.base64 === 'string') {
    return ['Value, bytes in base64', entry.base64.slice(0, (mostRaw / 3) * 4), cut(mostRaw)];
  }
  if (typeof entry.value === 'string') return ['Value, text', entry.value, cut(mostText)];
  if (typeof entry.text === 'string') return ['Value, JSON', entry.text, cut(mostText)];
  const raw = member(text, 'value');
  return raw === undefined ? ['No value in the answer', '', ''] : ['Value, JSON', pretty(raw), ''];
}
