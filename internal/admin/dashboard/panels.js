// The headline figures and the curves.

import { Chart, bar, spark } from './chart.js';
import { byId, make, setRows, setText } from './dom.js';
import { answers, answersSinceStart, hitRatio, mean, quantile, requestTotals, since, size, together, total } from './figures.js';
import { bytes, count, decimal, none, percent, rate, round, seconds, span, time } from './format.js';

const names = { local: 'Local', store: 'Store', absent: 'Absent', stale: 'Stale' };

const reads = (s) => s.local + s.store + s.absent + (s.stale ?? 0);

/** full is how full the store was when it was last known, or null. */
export function showTiles(cache, readings, full) {
  const { figures, store_state: state } = cache;
  const samples = cache.history?.samples ?? [];
  const recent = answers(samples);
  const ever = answersSinceStart(figures.requests);

  setText(byId('ratio'), percent(hitRatio(recent)));
  const window = samples.length ? span(samples.length * cache.history.interval_seconds) : '0 s';
  setText(byId('ratio-note'), total(recent) ? `of ${count(total(recent))} GETs in ${window}; ${percent(hitRatio(ever))} since start` : `no GETs in the last ${window}`);

  const now = readings.over(10);
  if (now) {
    const [a, b] = [requestTotals(now.earlier.requests), requestTotals(now.latest.requests)];
    const per = (name) => rate((b[name] - a[name]) / now.seconds);
    setText(byId('rate'), per('all'));
    setText(byId('rate-note'), `${per('reads')} reads, ${per('writes')} writes, ${per('troubles')} failed`);
  } else {
    setText(byId('rate'), none);
    setText(byId('rate-note'), 'known after the second reading');
  }

  const minute = readings.over(60);
  const calls = (name, field) => since(figures[name][field], minute?.earlier[name][field]);
  const latency = together(calls('fetches', 'duration'), calls('applies', 'duration'));
  const text = (share) => {
    const { value, beyond } = quantile(latency, share);
    return (beyond ? '> ' : '') + seconds(value);
  };
  const part = (...children) => make('span', { class: 'part' }, ...children);
  const unit = (name) => make('span', { class: 'unit' }, name);
  byId('latency').replaceChildren(part(unit('p50 '), text(0.5)), ' ', part(unit('p99 '), text(0.99)));
  setText(byId('latency-note'), `${count(size(latency))} store calls ${minute ? `in ${span(minute.seconds)}` : 'since start'}`);

  const isKnown = full !== null;
  const share = isKnown ? full.keys / state.max_keys : NaN;
  byId('keys').replaceChildren(part(isKnown ? count(full.keys) : none), ' ', part(unit(`of ${count(state.max_keys)}`)));
  byId('keys-bar').toggleAttribute('hidden', !isKnown);
  byId('keys-bar').setAttribute('aria-label', `${percent(share)} of the keys that fit`);
  bar(byId('keys-bar'), [{ name: 'fullness', value: full?.keys ?? 0 }], state.max_keys);
  const room = state.max_bytes > 0 ? ` of ${bytes(state.max_bytes)}` : '';
  setText(byId('keys-note'), isKnown ? `${state.keys !== null ? '' : `at ${time(full.at)}: `}${percent(share)} full; ${bytes(full.bytes)}${room}; ${count(figures.evicted)} evicted` : 'not known while the store is down');

  byId('queue').replaceChildren(part(count(figures.queue_jobs)), ' ', part(unit(figures.queue_jobs === 1 ? 'job' : 'jobs')));
  spark(byId('queue-spark'), readings.series((f) => f.queue_jobs));
  const wait = quantile(since(figures.queue_wait, minute?.earlier.queue_wait), 0.99);
  const most = figures.max_queue_jobs ? `; room for ${count(figures.max_queue_jobs)}` : '';
  setText(byId('queue-note'), `${bytes(figures.queue_bytes)} waiting${most}; p99 wait ${(wait.beyond ? '> ' : '') + seconds(wait.value)}`);

  const fetched = mean(calls('fetches', 'size'));
  const applied = mean(calls('applies', 'size'));
  byId('batch').replaceChildren(part(decimal(fetched), unit(' keys')), ' ', part(decimal(applied), unit(' writes')));
  spark(byId('batch-spark'), readings.steps((a, b) => mean(since(b.fetches.size, a.fetches.size)) || 0));
  setText(byId('batch-note'), `mean a call ${minute ? `in ${span(minute.seconds)}` : 'since start'}`);

  showAnswers(recent, ever);
}

function showAnswers(recent, ever) {
  const all = total(recent);
  const parts = Object.keys(names).map((name) => ({ name, value: recent[name] }));
  bar(byId('shares'), parts, all);
  byId('shares').setAttribute('aria-label', all ? parts.map((p) => `${names[p.name]} ${percent(p.value / all)}`).join(', ') : 'no GETs yet');
  setRows(byId('answers'), parts.map(({ name, value }) => make('tr', {},
    make('th', { scope: 'row' }, make('span', { class: `key-mark ${name}`, 'aria-hidden': 'true' }), names[name]),
    make('td', { class: 'number' }, count(value)),
    make('td', { class: 'number' }, percent(value / all)),
    make('td', { class: 'number' }, count(ever[name])))));
}

/** The four charts, which show one point in time together. */
export class Curves {
  #charts;
  #hint;
  #live;
  #samples = [];
  #at = null; // the time that is pointed at; its place moves with each sample
  #idle;

  constructor(element, hint, live) {
    this.#hint = hint;
    this.#live = live;
    this.#idle = hint.textContent;
    const a = (name) => (s, seconds) => (s[name] ?? 0) / seconds;
    const move = (index, isByKey) => this.#move(index, isByKey);
    this.#charts = [
      new Chart({
        id: 'ratio', title: 'Hit ratio', format: percent, axis: (v) => `${Math.round(v * 100)} %`, largest: 1,
        series: [{ name: 'local', label: 'Found', value: (s) => (reads(s) ? 1 - s.absent / reads(s) : NaN) },
          { name: 'store', label: 'Found locally', value: (s) => (reads(s) ? (s.local + (s.stale ?? 0)) / reads(s) : NaN) }],
      }, move),
      new Chart({
        id: 'gets', title: 'GETs per second', format: rate, axis: round, stacked: true,
        series: Object.entries(names).map(([name, label]) => ({ name, label, value: a(name) })),
      }, move),
      new Chart({
        id: 'latency', title: 'Store latency', format: seconds, axis: (v) => seconds(v, round),
        series: [{ name: 'store', label: 'Mean of a call', value: (s) => (s.store_calls ? s.store_seconds / s.store_calls : NaN) }],
      }, move),
      new Chart({
        id: 'writes', title: 'Writes per second', format: rate, axis: round,
        series: [{ name: 'writes', label: 'Writes', value: a('writes') }, { name: 'evicted', label: 'Evicted', value: a('evicted') }, { name: 'errors', label: 'Failed requests', value: a('errors') }],
      }, move),
    ];
    element.append(...this.#charts.map((c) => c.element));
    byId('history-details').addEventListener('toggle', () => this.#table());
  }

  show({ samples = [], interval_seconds: interval = 5 } = {}) {
    const isSame = samples.at(-1)?.at === this.#samples.at(-1)?.at && samples.length === this.#samples.length;
    this.#samples = samples;
    if (isSame) return;
    for (const chart of this.#charts) chart.show(samples, interval, 600);
    if (this.#at) {
      const index = samples.findIndex((s) => s.at === this.#at);
      this.#move(index < 0 ? null : index, false);
    }
    this.#table();
  }

  #move(index, isByKey) {
    const sample = index === null ? undefined : this.#samples[index];
    this.#at = sample?.at ?? null;
    for (const chart of this.#charts) chart.point(sample ? index : null);
    setText(this.#hint, sample ? `At ${time(sample.at)}` : this.#idle);
    if (!isByKey) return;
    const chart = this.#charts.find((c) => c.element.contains(document.activeElement)) ?? this.#charts[0];
    const values = chart.values(index);
    setText(this.#live, sample ? `${time(sample.at)}: ${chart.series.map((s, i) => `${s.label} ${values[i]}`).join(', ')}` : '');
  }

  #table() {
    if (!byId('history-details').open) return;
    const cell = (text) => make('td', { class: 'number' }, text);
    setRows(byId('history'), [...this.#samples].reverse().map((s) => make('tr', {},
      make('th', { scope: 'row' }, time(s.at)),
      ...['local', 'store', 'absent', 'stale', 'writes', 'errors', 'evicted'].map((name) => cell(count(s[name] ?? 0))),
      cell(seconds(s.store_calls ? s.store_seconds / s.store_calls : NaN)))));
  }
}
