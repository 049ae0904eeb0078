// Keys, evictions, nodes and settings.

import { byId, emptyRow, make, setRows, setText } from './dom.js';
import { bytes, count, decimal, moment, span } from './format.js';

/** Fills the table of an order; look is called with a key that was chosen. */
export function showKeys(order, keys, hasMore, look) {
  const rows = keys.map(({ key, rank, age, bytes: size, type }) => make('tr', {},
    make('td', { class: 'key-cell' }, keyButton(key, look), ' ', make('span', { class: 'kind' }, type ?? '')),
    make('td', { class: 'number' }, decimal(rank)),
    make('td', { class: 'number' }, count(age)),
    make('td', { class: 'number' }, bytes(size))));
  setRows(byId(order), rows.length ? rows : [emptyRow(4, 'The store holds no keys.')]);
  byId(`${order}-more`).hidden = !hasMore || keys.length > 10;
}

function keyButton(key, look) {
  const button = make('button', { type: 'button', class: 'key', title: `Look up ${key}` }, make('bdi', {}, key));
  button.addEventListener('click', () => look(key));
  return button;
}

export function showEvictions({ figures }) {
  const all = [...(figures.last_evictions ?? [])].sort((a, b) => Date.parse(b.at) - Date.parse(a.at)).slice(0, 10);
  const unread = figures.evicted_unread ? `, ${count(figures.evicted_unread)} of them never read` : '';
  setText(byId('evictions-note'), figures.evicted ? `${count(figures.evicted)} by this node's writes since start${unread}.` : "This node's writes have evicted nothing.");
  const rows = all.map(({ key, at }) => make('tr', {},
    make('td', { class: 'key-cell' }, make('bdi', { class: 'key' }, key)),
    make('td', { class: 'number' }, moment(at))));
  setRows(byId('evictions'), rows.length ? rows : [emptyRow(2, 'None yet.')]);
}

export function showNodes({ subscription = {}, settings = {}, store }) {
  const { nodes = [], count: n = 0, subscribed } = subscription;
  let note = subscribed ? "This node learns of other nodes' writes at once." : `This node is not subscribed and not listed. It keeps local entries for ${settings.unsubscribed_ttl} at most.`;
  if (store === 'embedded') note = 'The embedded store has one node, this one.';
  else if (n > nodes.length) note += ` ${count(n)} are subscribed in all; Redis does not name ${nodes.length ? 'the others' : 'them'}.`;
  setText(byId('nodes-note'), note);
  const rows = nodes.map((node) => make('tr', {},
    make('td', { class: 'key-cell' }, make('bdi', {}, node.name), ' ', node.this ? make('span', { class: 'kind' }, 'this node') : null),
    make('td', { class: 'number' }, span(node.connected_seconds))));
  setRows(byId('nodes'), rows.length ? rows : [emptyRow(2, store === 'embedded' ? 'Nothing to subscribe to.' : 'None is known.')]);
}

export function showSettings({ settings = {}, figures, store_state: state }) {
  const local = figures.local ?? {};
  const pairs = [
    ['Local entries', count(local.entries)],
    ['Local bytes', `${bytes(local.bytes)} of ${bytes(local.max_bytes)}`],
    ['Local evictions', count(local.evictions)],
    ['Keys that expire', count(state.expiring)],
    ['Expired, removed here', count(figures.expired)],
    ['GETs that joined a fetch', count(figures.joined)],
    ['Events received', count(figures.events)],
    ['Clients watching', count(figures.watchers)],
    ['Raises lost', count(figures.lost_raises)],
    ['Circuit breaker', state.breaker || '–'],
    ...Object.entries(settings).map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : String(value)]),
  ];
  byId('settings').replaceChildren(...pairs.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))));
}

/** Empties the tables of orders, and says why. */
export function clearTables(orders, why) {
  for (const order of orders) {
    setRows(byId(order), [emptyRow(4, why)]);
    byId(`${order}-more`).hidden = true;
  }
}
