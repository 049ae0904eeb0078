// The page. It requests figures every two seconds while its tab is visible, and shows when
// the server does not answer or Redis is down.

import { Failure, readCache, readCaches, readKeys } from './api.js';
import { byId, make, setText } from './dom.js';
import { Readings } from './figures.js';
import { moment, span, time } from './format.js';
import { Lookup } from './lookup.js';
import { lastAnswer, outageKind, outageTitle, stillAnswered } from './outage.js';
import { Curves, showTiles } from './panels.js';
import { showPartitions, someFail } from './partitions.js';
import { clearTables, showEvictions, showKeys, showNodes, showSettings } from './tables.js';

const interval = 2000;
const keysInterval = 6000;
const slowest = 30_000;
const orders = ['next', 'valued'];

const readings = new Readings();
const curves = new Curves(byId('curves'), byId('cursor'), byId('cursor-live'));
const lookup = new Lookup(() => id);
const picker = byId('cache');

let id = null; // of the cache that is shown
let cache = null; // its latest answer
let timer = 0;
let isPolling = false;
let isAskedAgain = false;
let failures = 0; // in a row
let answeredAt = 0; // by this machine's clock, as all times here
let silentSince = 0;
let silence = '';
let nextTry = 0;
let downSince = 0;
let outage = ''; // its kind
let isEarlier = false; // it may have begun long before downSince
let listedAt = 0;
let keysAt = 0;
let full = null; // the last known size of the store
const limits = { next: 10, valued: 10 };
const asOf = { next: 0, valued: 0 }; // when an order was read last

async function poll() {
  clearTimeout(timer);
  if (isPolling) {
    isAskedAgain = true;
    return;
  }
  isPolling = true;
  isAskedAgain = false;
  const asked = id;
  try {
    if (!id || Date.now() - listedAt > slowest) await list();
    if (id) {
      const answer = await readCache(id);
      if (id === asked || !asked) take(answer);
    }
    failures = 0;
    silentSince = 0;
    answeredAt = Date.now();
  } catch (error) {
    if (error.status === 404) listedAt = 0; // the cache is gone from the configuration
    failures++;
    silence = reason(error);
    silentSince ||= Date.now();
  } finally {
    isPolling = false;
  }
  const pause = Math.min(slowest, interval * 2 ** Math.min(failures, 5) / (failures ? 2 : 1));
  nextTry = Date.now() + pause;
  // The timer is set before anything is shown. So an error there does not stop it.
  if (!document.hidden) timer = setTimeout(poll, isAskedAgain ? 0 : pause);
  showState();
  if (!silentSince) void readTables();
}

/** The text of an error. An error that is no Failure comes from an answer of unknown form. */
function reason(error) {
  if (!(error instanceof Failure)) return `this page does not understand the answer (${error.message}); reload it`;
  return error.status === 401 || error.status === 403 ? `the server refuses (${error.status}); reload the page to sign in` : error.message;
}

/** The id of the cache that the address names; it may be anything. */
function wanted() {
  const hash = location.hash.slice(1);
  try {
    return decodeURIComponent(hash);
  } catch {
    return hash;
  }
}

async function list() {
  const { caches: all = [], build } = await readCaches();
  setText(byId('build'), buildText(build));
  listedAt = Date.now();
  picker.replaceChildren(...all.map((c) => make('option', { value: c.id }, `${c.namespace} · ${c.store}`)));
  picker.disabled = all.length < 2;
  const chosen = all.find((c) => c.id === id) ?? all.find((c) => c.id === wanted()) ?? all[0];
  if (chosen?.id !== id) choose(chosen?.id ?? null);
  picker.value = id ?? '';
  byId('main').classList.toggle('no-cache', all.length === 0);
}

function buildText(build) {
  if (!build) return '';
  const commit = build.commit ? ` (${build.commit})` : '';
  return `redis_proxy ${build.version}${commit}, layout ${build.layout}, events ${build.events}, in Caddy ${build.caddy}`;
}

function choose(chosen) {
  id = chosen;
  cache = null;
  outage = '';
  keysAt = 0;
  full = null;
  Object.assign(limits, { next: 10, valued: 10 });
  Object.assign(asOf, { next: 0, valued: 0 });
  readings.clear();
  lookup.clear();
  clearTables(orders, 'Not read yet.');
}

/** Shows an answer. If that fails, the answer before it stays. */
function take(answer) {
  const last = cache;
  try {
    show(answer, last === null);
  } catch (error) {
    cache = last;
    throw error;
  }
}

function show(answer, isFirst) {
  const now = Date.now();
  cache = answer;
  if (cache.store_state.keys !== null) {
    full = { keys: cache.store_state.keys, bytes: cache.store_state.bytes, at: now };
  }
  const kind = outageKind(cache);
  if (kind && kind !== outage) {
    const known = lastAnswer(cache, now);
    // The subscription may have been lost before; then the page has seen the store answer since.
    downSince = known ? Math.max(known, isFirst || outage !== '' ? 0 : answeredAt) : now;
    // Then nobody knows when the store last answered reads.
    isEarlier = !known && (kind !== 'down' || isFirst || outage !== '' || now - answeredAt > 2 * interval);
    clearTables(orders.filter((order) => !asOf[order]), 'Not known while the store is down.');
  }
  outage = kind;
  readings.add(cache, now);
  setText(byId('store'), `${cache.namespace} in ${cache.store}`);
  document.title = `${cache.namespace} · redis_proxy`;
  showTiles(cache, readings, full);
  curves.show(cache.history);
  showEvictions(cache);
  showNodes(cache);
  showPartitions(cache);
  showSettings(cache);
  setText(byId('since'), `Counted since ${moment(cache.figures.since)}, by this node alone. Keys and bytes are those of the whole store.`);
}

/** Reads the order of the keys. It does so less often, because each read is a call to the store. */
async function readTables() {
  if (!cache?.store_state.ready || Date.now() - keysAt < keysInterval) return;
  const asked = id;
  keysAt = Date.now();
  try {
    // One after the other, to put less load on the store.
    for (const order of orders) {
      const { keys, cursor } = await readKeys(asked, order, limits[order]);
      if (asked !== id) return;
      showKeys(order, keys ?? [], Boolean(cursor), (key) => lookup.show(key));
      asOf[order] = Date.now();
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
}

function showState() {
  const isSilent = silentSince > 0;
  const isDown = cache !== null && !cache.store_state.ready;
  const isEmbedded = cache?.store === 'embedded';
  const name = isEmbedded ? 'The store' : 'Redis';
  document.body.classList.toggle('is-silent', isSilent);
  document.body.classList.toggle('is-down', isDown);

  const items = [];
  if (cache === null) {
    items.push([isSilent ? 'bad' : 'idle', isSilent ? 'No answer from the server' : id || isPolling ? 'Asking the server' : 'No cache is configured']);
  } else {
    const { reachable, ready, writes, breaker } = cache.store_state;
    const { subscribed, nodes, count } = cache.subscription ?? {};
    const n = Math.max(nodes?.length ?? 0, count ?? 0);
    if (isSilent) items.push(['bad', 'No answer from the server']);
    items.push(isSilent ? ['idle', `${name}: not known`] : ready ? ['good', isEmbedded ? 'Embedded store' : 'Redis answers'] : ['bad', someFail(cache.partitions) || (reachable ? `${name} refuses reads` : `${name} is down`)]);
    if (!isSilent && ready && !writes) items.push(['bad', `${name} takes no writes`]);
    if (!isSilent && breaker && breaker !== 'closed') items.push(['warn', `Circuit breaker ${breaker}`]);
    if (!isEmbedded) {
      items.push(isSilent ? ['idle', 'Subscription: not known'] : subscribed ? ['good', 'Subscribed to changes'] : ['warn', `Not subscribed: local answers last ${cache.settings.unsubscribed_ttl} or less`]);
      items.push(isSilent || isDown ? ['idle', 'Nodes: not known'] : [n ? 'good' : 'idle', n === 1 ? '1 node subscribed' : `${n} nodes subscribed`]);
    }
    items.push(['idle', `Eviction: ${cache.store_state.eviction}`]);
  }
  const marks = { good: '●', warn: '▲', bad: '✕', idle: '○' };
  byId('state').replaceChildren(...items.map(([kind, text]) =>
    make('li', { class: kind }, make('span', { class: 'mark', 'aria-hidden': 'true' }, marks[kind]), make('span', {}, text))));

  showBanner(isSilent, isDown, name);
  const age = (order) => ((isSilent || isDown) && asOf[order] ? `At ${time(asOf[order])}. ` : '');
  setText(byId('next-note'), `${age('next')}Evicted first when a new key needs room.`);
  setText(byId('valued-note'), `${age('valued')}Evicted last.`);
  showClock();
}

let told = '';

function showBanner(isSilent, isDown, name) {
  let title = '';
  let text = '';
  if (isSilent) {
    title = `No answer from the server since ${moment(silentSince)}.`;
    text = `${sentence(silence)}. ` + (cache ? `The page shows its state at ${moment(answeredAt)}.` : 'There is nothing to show yet.');
  } else if (isDown) {
    title = outageTitle(cache, name, downSince, isEarlier);
    const old = asOf.next ? ` Keys and their order below are from ${moment(asOf.next)}.` : '';
    text = stillAnswered(cache, downSince, isEarlier) + old;
    if (cache.store_state.error) text += ` (${cache.store_state.error})`;
  } else if (cache && !cache.store_state.writes) {
    title = `${name} takes no writes.`;
    text = `Reads go on; writes get 503. (${cache.store_state.error})`;
  } else if (id === null && answeredAt) {
    title = 'No cache is configured.';
    text = 'The running configuration has no redis_proxy handler.';
  }
  byId('banner').hidden = title === '';
  byId('banner').className = isSilent || cache ? 'banner bad' : 'banner';
  byId('retry').hidden = !isSilent;
  setText(byId('banner-title'), title);
  setText(byId('banner-text'), text);

  // A screen reader speaks this. So it changes with the state only, not at every poll.
  const state = isSilent ? 'silent' : isDown ? 'down' : cache ? 'up' : '';
  if (state !== told) {
    if (title) setText(byId('announce'), `${title} ${text}`);
    else if (told) setText(byId('announce'), told === 'down' ? `${name} answers again.` : 'The server answers again.');
    if (state) told = state;
  }
}

const sentence = (s) => s.charAt(0).toUpperCase() + s.slice(1);

function showClock() {
  const now = Date.now();
  let text = 'No figures yet';
  if (silentSince) text = `Trying again in ${span((nextTry - now) / 1000 + 0.9)}`;
  else if (answeredAt) text = `Updated ${time(answeredAt)}`;
  setText(byId('updated'), text);
}

setInterval(() => {
  if (!document.hidden) showClock();
}, 1000);

picker.addEventListener('change', () => {
  choose(picker.value);
  history.replaceState(null, '', `#${encodeURIComponent(id)}`);
  void poll();
});
byId('retry').addEventListener('click', () => void poll());
for (const order of orders) {
  byId(`${order}-more`).addEventListener('click', () => {
    limits[order] = 50;
    keysAt = 0;
    void readTables();
  });
}
document.addEventListener('visibilitychange', () => {
  if (document.hidden) clearTimeout(timer);
  else void poll();
});

void poll();
