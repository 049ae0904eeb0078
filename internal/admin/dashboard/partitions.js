// The partitions of a cache that has several.

import { byId, draw, make, setRows, setText } from './dom.js';
import { bytes, count, none, percent } from './format.js';

const tall = 48;

/** How many partitions fail, as the subject and the verb of a sentence; '' if all or none do. */
export function someFail(partitions = [], one = 'fails', several = 'fail') {
  const failing = partitions.filter((p) => !p.ready).length;
  if (failing === 0 || failing === partitions.length) return '';
  return `${count(failing)} of ${count(partitions.length)} partitions ${failing === 1 ? one : several}`;
}

export function showPartitions({ partitions = [], settings = {} }) {
  byId('partitions-card').hidden = partitions.length < 2;
  if (partitions.length < 2) return;
  const known = partitions.map((p) => p.keys).filter((n) => n !== null);
  const spread = known.length === partitions.length
    ? `The emptiest has ${count(Math.min(...known))} keys, the fullest ${count(Math.max(...known))}.` : 'The keys of some are not known.';
  setText(byId('partitions-note'), `Each has room for about ${count(Math.floor(settings.max_keys / partitions.length))} keys, and evicts by itself. ${spread}`);
  // Before its first request, a node is subscribed to none. The state above says so.
  const mustHear = partitions.some((p) => p.subscribed);
  const trouble = (p) => whatFails(p) || (mustHear && !p.subscribed ? 'is not subscribed to' : '');
  showBars(partitions, trouble);

  const troubles = partitions.filter((p) => trouble(p));
  byId('partitions-troubles').replaceChildren(
    ...troubles.slice(0, 8).map((p) => make('li', { class: whatFails(p) ? 'bad' : 'warn' }, `${title(p)} ${trouble(p)}${p.error ? `: ${p.error}` : ''}`)),
    ...(troubles.length > 8 ? [make('li', { class: 'bad' }, `and ${count(troubles.length - 8)} more, in the table`)] : []));

  const cell = (text) => make('td', { class: 'number' }, text);
  setRows(byId('partitions'), partitions.map((p) => make('tr', {},
    make('th', { scope: 'row' }, count(p.partition)),
    make('td', {}, trouble(p) || 'answers, takes writes'),
    cell(p.keys === null ? none : `${count(p.keys)} of ${count(p.max_keys)}`),
    cell(percent(p.keys === null ? NaN : p.keys / p.max_keys)),
    cell(p.bytes === null ? none : bytes(p.bytes) + (p.max_bytes > 0 ? ` of ${bytes(p.max_bytes)}` : '')))));
}

const title = (p) => `Partition ${p.partition}`;

/** '' if the partition answers reads and takes writes. */
function whatFails(p) {
  if (!p.ready) return 'does not answer reads';
  return p.writes ? '' : 'takes no writes';
}

/** A bar for each partition. Its height is the share of its keys. One that fails has its whole height. */
function showBars(partitions, trouble) {
  const svg = byId('partitions-bars');
  const step = 100 / partitions.length;
  const bars = partitions.map((p, i) => {
    const fails = whatFails(p) !== '';
    const share = fails ? 1 : Math.min(1, (p.keys ?? 0) / p.max_keys);
    const place = { x: `${i * step}%`, width: `${step * 0.85}%` };
    return draw('g', {},
      draw('title', {}, `${title(p)}: ${trouble(p) || `${count(p.keys)} of ${count(p.max_keys)} keys`}`),
      draw('rect', { class: 'bar-back', ...place, height: tall }),
      draw('rect', { class: fails ? 'failing' : 'fullness', ...place, y: (1 - share) * tall, height: share * tall }));
  });
  svg.replaceChildren(...bars);
  const failing = partitions.filter((p) => whatFails(p)).length;
  svg.setAttribute('aria-label', `How full each of ${count(partitions.length)} partitions is. ${failing ? `${count(failing)} of them fail.` : 'None of them fails.'}`);
}
