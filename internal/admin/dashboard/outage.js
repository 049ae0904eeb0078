// What the banner says while the store does not answer reads: since when, and what still
// answers.

import { moment, seconds, span } from './format.js';
import { someFail } from './partitions.js';

/** Which failure it is; '' if there is none. If it changes, the outage has begun anew. */
export function outageKind({ store_state: { ready, reachable }, partitions }) {
  if (ready) return '';
  if (someFail(partitions)) return `partitions ${failing(partitions).map((p) => p.partition)}`;
  return reachable ? 'refused' : 'down';
}

const failing = (partitions) => partitions.filter((p) => !p.ready);

/**
 * When the store last answered, if this node knows it from its subscriptions; else 0. A store
 * that refuses reads, or a partition, may go on to answer there.
 */
export function lastAnswer({ store_state: { reachable }, subscription, partitions }, now) {
  const some = someFail(partitions) !== '';
  const silent = some ? failing(partitions) : [subscription];
  if (!some && reachable || silent.some((s) => !s || s.subscribed || s.silent_seconds == null)) return 0;
  return now - 1000 * Math.max(...silent.map((s) => s.silent_seconds));
}

/** The first sentence. isEarlier: it may have begun long before the page saw it. */
export function outageTitle(cache, name, since, isEarlier) {
  const some = someFail(cache.partitions, 'has failed', 'have failed');
  const began = `since ${moment(since)}${isEarlier ? ' or earlier' : ''}.`;
  if (some) return `${some} ${began}`;
  return cache.store_state.reachable ? `${name} has refused reads ${began}` : `${name} has been down ${began}`;
}

export function stillAnswered(cache, since, isEarlier) {
  const some = someFail(cache.partitions) !== '';
  const keys = some ? ' of their keys' : '';
  let all = `Reads and writes${keys} get 503.`;
  let others = some ? `All other reads and writes${keys} get 503.` : 'All other reads, and all writes, get 503.';
  if ((some ? failing(cache.partitions) : [cache.store_state]).every((s) => s.writes)) {
    all = `Reads${keys} get 503; writes go on.`;
    others = `All other ${all.replace('R', 'r')}`;
  }
  const { lasting, by } = answeredLocally(cache);
  const end = `${moment(since + lasting * 1000)} at most`;
  let text = all;
  if (lasting > 0 && Date.now() < since + lasting * 1000) {
    text = `Local entries ${isEarlier ? 'may ' : ''}still answer reads (at least those without no-cache) for ${lasting < 60 ? seconds(lasting) : span(lasting)} after they were read from the store (${by}): until ${end}. ${others}`;
  } else if (lasting > 0) {
    text = `Local entries answered reads until ${end} (${by}). ${all}`;
  }
  const othersWork = some && cache.partitions.every((p) => !p.ready || p.writes);
  return text + (othersWork ? ' The other partitions work as usual.' : '');
}

/** For how many seconds after its reading an entry answers, and the settings that say so. */
function answeredLocally({ settings, subscription }) {
  const local = duration(settings.local_ttl);
  const stale = duration(settings.stale_if_error);
  const unsubscribed = duration(settings.unsubscribed_ttl);
  if (stale > 0) return { lasting: local + stale, by: 'local_ttl and stale_if_error' };
  if (!subscription?.subscribed && unsubscribed < local) return { lasting: unsubscribed, by: 'unsubscribed_ttl' };
  return { lasting: local, by: 'local_ttl' };
}

const units = { h: 3600, m: 60, s: 1, ms: 1e-3, µs: 1e-6, ns: 1e-9 };

/** Reads a duration as Go writes it, such as 1m30s, in seconds. */
function duration(text = '') {
  let sum = 0;
  for (const [, n, unit] of text.matchAll(/([\d.]+)(h|ms|m|s|µs|ns)/g)) sum += n * units[unit];
  return sum;
}
