// What the banner says while the store does not answer reads: since when, and what still
// answers.

import { moment, seconds, span } from './format.js';
import { someFail } from './partitions.js';

/** The first sentence. isOpened: it was down already when the page first asked. */
export function outageTitle(cache, name, since, isOpened) {
  const some = someFail(cache.partitions, 'has failed', 'have failed');
  if (some) return `${some} since ${moment(since)} or earlier.`;
  if (cache.store_state.reachable) return `${name} has refused reads since ${moment(since)} or earlier.`;
  return `${name} has been down since ${moment(since)}${isOpened ? ' or earlier' : ''}.`;
}

export function stillAnswered(cache, since) {
  const [all, others] = someFail(cache.partitions) ? ['Reads and writes of their keys', 'All other reads and writes of their keys'] : ['Reads and writes', 'All other reads, and all writes,'];
  const { lasting, by } = answeredLocally(cache);
  const end = since + lasting * 1000;
  let text = `${all} get 503.`;
  if (lasting > 0 && Date.now() < end) {
    text = `Local entries still answer reads for ${lasting < 60 ? seconds(lasting) : span(lasting)} after they were read from the store (${by}): until ${moment(end)}. ${others} get 503.`;
  } else if (lasting > 0) {
    text = `Local entries answered reads until ${moment(end)} (${by}). ${all} get 503.`;
  }
  return text + (someFail(cache.partitions) ? ' The other partitions work as usual.' : '');
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
