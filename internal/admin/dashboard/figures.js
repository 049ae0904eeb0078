// Shares, rates and percentiles from the counters. Counters only grow. So the difference of
// two readings is the number of events between them.

const readOperations = ['get', 'batch_get', 'bulk_get'];
const writeOperations = ['post', 'put', 'delete', 'bulk_create', 'bulk_put', 'bulk_delete'];

const reads = ['local', 'store', 'absent', 'stale'];

/** Outcomes in which the server failed, not the client. */
const troubles = new Set(['failed', 'queue_full', 'unavailable', 'timeout', 'refused', 'unknown', 'not_durable', 'closed']);

/** GETs of keys by the source of their answers, over the samples of a history. */
export function answers(samples) {
  const sum = { local: 0, store: 0, absent: 0, stale: 0 };
  for (const sample of samples) {
    for (const name of reads) sum[name] += sample[name] ?? 0;
  }
  return sum;
}

/** The same since the counters began. */
export function answersSinceStart(requests) {
  const sum = { local: 0, store: 0, absent: 0, stale: 0 };
  for (const name of reads) {
    for (const operation of readOperations) sum[name] += requests?.[operation]?.[name] ?? 0;
  }
  return sum;
}

export const total = (answered) => reads.reduce((sum, name) => sum + answered[name], 0);

/** The share of GETs that found a value; NaN if there were none. */
export const hitRatio = (answered) => 1 - answered.absent / total(answered);

/** Requests of a reading: all, reads, writes, and those that failed. */
export function requestTotals(requests = {}) {
  const sum = { all: 0, reads: 0, writes: 0, troubles: 0 };
  for (const [operation, outcomes] of Object.entries(requests)) {
    for (const [outcome, n] of Object.entries(outcomes)) {
      sum.all += n;
      if (readOperations.includes(operation)) sum.reads += n;
      if (writeOperations.includes(operation)) sum.writes += n;
      if (troubles.has(outcome)) sum.troubles += n;
    }
  }
  return sum;
}

/** A histogram of the events since an earlier reading, or of all events without one. */
export function since(histogram, earlier) {
  if (!earlier || earlier.counts?.length !== histogram.counts.length) return histogram;
  return {
    bounds: histogram.bounds,
    counts: histogram.counts.map((n, i) => n - earlier.counts[i]),
    sum: histogram.sum - earlier.sum,
  };
}

/** Two histograms of equal bounds as one. */
export function together(a, b) {
  if (!a?.counts || !b?.counts || a.counts.length !== b.counts.length) return a?.counts ? a : b;
  return { bounds: a.bounds, counts: a.counts.map((n, i) => n + b.counts[i]), sum: a.sum + b.sum };
}

export const size = (histogram) => (histogram?.counts ?? []).reduce((sum, n) => sum + n, 0);

export const mean = (histogram) => (histogram ? histogram.sum / size(histogram) : NaN);

/**
 * The value below which a share of the counted values lies, interpolated in its bucket.
 * beyond: the real value is larger than the returned one.
 */
export function quantile(histogram, share) {
  const wanted = share * size(histogram);
  if (!wanted) return { value: NaN, beyond: false };
  let below = 0;
  for (const [i, n] of histogram.counts.entries()) {
    if (n === 0 || below + n < wanted) {
      below += n;
      continue;
    }
    if (i >= histogram.bounds.length) break;
    const from = i === 0 ? 0 : histogram.bounds[i - 1];
    return { value: from + (histogram.bounds[i] - from) * ((wanted - below) / n), beyond: false };
  }
  return { value: histogram.bounds.at(-1), beyond: true };
}

/**
 * Readings of the last minute, to take differences from. Readings from before a restart of
 * the process, or of another cache, are dropped.
 */
export class Readings {
  #all = [];

  add(cache, at) {
    const last = this.#all.at(-1);
    if (last && (last.figures.since !== cache.figures.since || last.id !== cache.id)) this.#all = [];
    this.#all.push({ at, id: cache.id, figures: cache.figures });
    while (this.#all.length > 2 && at - this.#all[1].at >= 60_000) this.#all.shift();
  }

  clear() {
    this.#all = [];
  }

  /** The latest reading and one from up to so many seconds before it, or null. */
  over(seconds) {
    const latest = this.#all.at(-1);
    const earlier = this.#all.find((r) => latest.at - r.at <= seconds * 1000 + 500);
    if (!earlier || earlier === latest) return null;
    return { latest: latest.figures, earlier: earlier.figures, seconds: (latest.at - earlier.at) / 1000 };
  }

  series(value) {
    return this.#all.map((r) => value(r.figures));
  }

  /** A value for each pair of consecutive readings. */
  steps(value) {
    return this.#all.slice(1).map((r, i) => value(this.#all[i].figures, r.figures));
  }
}
