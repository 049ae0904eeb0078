// A chart with lines, or with stacked areas, over the samples of the history. Line style,
// pattern and label tell series apart, not colour alone.

import { draw, make, setText } from './dom.js';
import { none } from './format.js';

const height = 168;
const margin = { top: 10, right: 10, bottom: 22, left: 46 };

/** The steps of an axis from 0 that ends at or above the largest value. */
export function ticks(largest, steps = 4) {
  if (!(largest > 0)) return [0, 1];
  const rough = largest / steps;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const all = [];
  for (let i = 0; (i - 1) * step < largest * 0.999 || i < 2; i++) all.push(i * step);
  return all;
}

export class Chart {
  #svg;
  #plot;
  #readings = [];
  #samples = [];
  #interval = 5;
  #span = 600;
  #cursor = null;
  #width = 0;

  /**
   * series: [{ name, label, value(sample, interval) }]; a value that is not a
   * number makes a gap. stacked: areas instead of lines. largest: the end of the axis, if
   * not that of the data.
   */
  constructor({ id, title, series, format, axis = format, stacked = false, largest }, onMove) {
    Object.assign(this, { id, title, series, format, axis, stacked, largest });
    const legend = make('ul', { class: 'legend' });
    for (const one of series) {
      const reading = make('span', { class: 'reading' }, none);
      this.#readings.push(reading);
      legend.append(make('li', {}, this.#swatch(one), make('span', { class: 'label' }, one.label), reading));
    }
    this.#svg = draw('svg', {
      class: 'plot', height, width: '100%', tabindex: 0, role: 'img', 'aria-label': title,
      'aria-describedby': 'cursor',
    });
    this.element = make('figure', { class: 'card chart', id: `chart-${id}` },
      make('figcaption', {}, make('h3', {}, title), legend), this.#svg);

    this.#svg.addEventListener('pointermove', (event) => onMove(this.#at(event), false));
    this.#svg.addEventListener('pointerdown', (event) => onMove(this.#at(event), false));
    this.#svg.addEventListener('pointerleave', () => onMove(null, false));
    this.#svg.addEventListener('blur', () => onMove(null, false));
    this.#svg.addEventListener('keydown', (event) => {
      const last = this.#samples.length - 1;
      const from = this.#cursor ?? last + (event.key === 'ArrowLeft' ? 1 : 0);
      const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
      if (event.key === 'Escape') onMove(null, true);
      if (to === undefined || last < 0) return;
      event.preventDefault();
      onMove(Math.min(last, Math.max(0, to)), true);
    });
    new ResizeObserver(([entry]) => {
      if (entry.contentRect.width === this.#width) return;
      this.#width = entry.contentRect.width;
      this.#draw();
    }).observe(this.#svg);
  }

  show(samples, interval, span) {
    this.#samples = samples;
    this.#interval = interval;
    this.#span = span;
    this.#draw();
  }

  /** Shows the values of one sample, or of the latest sample if index is null. */
  point(index) {
    this.#cursor = index;
    const plot = this.#plot;
    if (!plot) return;
    plot.querySelector('.cursor')?.remove();
    if (index !== null && this.#samples[index]) {
      const x = this.#x(index);
      plot.append(draw('line', { class: 'cursor', x1: x, x2: x, y1: margin.top, y2: height - margin.bottom }));
    }
    const values = this.values(index);
    this.#readings.forEach((reading, i) => setText(reading, values[i]));
  }

  /** The values of a sample in the order of the series, as text. */
  values(index) {
    const sample = this.#samples.at(index ?? -1);
    return this.series.map((one) => (sample ? this.format(one.value(sample, this.#interval)) : none));
  }

  #swatch({ name }) {
    const swatch = draw('svg', { class: 'swatch', width: 22, height: 10, 'aria-hidden': 'true' });
    if (this.stacked) swatch.append(draw('rect', { class: `area ${name}`, width: 22, height: 10 }), ...pattern(name, 22, 10, this.id + '-swatch'));
    swatch.append(draw('line', { class: `line ${name}`, x1: 0, x2: 22, y1: this.stacked ? 1 : 5, y2: this.stacked ? 1 : 5 }));
    return swatch;
  }

  #at(event) {
    if (this.#samples.length === 0) return null;
    const x = event.clientX - this.#svg.getBoundingClientRect().left;
    let nearest = 0;
    this.#samples.forEach((_, i) => {
      if (Math.abs(this.#x(i) - x) < Math.abs(this.#x(nearest) - x)) nearest = i;
    });
    return nearest;
  }

  // The right edge is the time of the latest sample: the clock of this machine may differ.
  #x(index) {
    const last = Date.parse(this.#samples.at(-1).at);
    const ago = (last - Date.parse(this.#samples[index].at)) / 1000;
    return this.#width - margin.right - (ago / this.#span) * (this.#width - margin.left - margin.right);
  }

  #draw() {
    const width = this.#width;
    if (width < margin.left + margin.right + 20) return;
    const rows = this.#samples.map((sample) => this.series.map((one) => one.value(sample, this.#interval)));
    const tops = rows.map((row) => (this.stacked ? row.reduce((sum, v) => sum + (v || 0), 0) : Math.max(...row.map((v) => v || 0))));
    const marks = this.largest ? ticks(this.largest) : ticks(Math.max(0, ...tops));
    const top = marks.at(-1);
    const y = (v) => height - margin.bottom - (v / top) * (height - margin.top - margin.bottom);

    const plot = draw('g');
    for (const mark of marks) {
      plot.append(draw('line', { class: mark === 0 ? 'axis' : 'grid', x1: margin.left, x2: width - margin.right, y1: y(mark), y2: y(mark) }));
      plot.append(draw('text', { class: 'tick', x: margin.left - 6, y: y(mark) + 4, 'text-anchor': 'end' }, this.axis(mark)));
    }
    const minutes = this.#span / 60;
    const step = minutes / (width < 420 ? 2 : 5);
    for (let ago = 0; ago <= minutes; ago += step) {
      const x = width - margin.right - (ago / minutes) * (width - margin.left - margin.right);
      const anchor = ago === 0 ? 'end' : ago === minutes ? 'start' : 'middle';
      plot.append(draw('text', { class: 'tick', x, y: height - 6, 'text-anchor': anchor }, ago === 0 ? 'now' : `−${ago} min`));
    }
    if (rows.length < 2) {
      plot.append(draw('text', { class: 'empty', x: (width + margin.left) / 2, y: height / 2, 'text-anchor': 'middle' }, 'The curve begins within 10 seconds'));
    } else {
      const x = rows.map((_, i) => this.#x(i));
      const floor = rows.map(() => 0);
      const lines = [];
      this.series.forEach(({ name }, s) => {
        const values = rows.map((row, i) => (this.stacked ? floor[i] + (row[s] || 0) : row[s]));
        for (const run of this.#runs(values)) {
          if (this.stacked && run.some((i) => values[i] > floor[i])) {
            const upper = run.map((i) => `${x[i].toFixed(1)},${y(values[i]).toFixed(1)}`);
            const lower = run.map((i) => `${x[i].toFixed(1)},${y(floor[i]).toFixed(1)}`).reverse();
            const points = [...upper, ...lower].join(' ');
            plot.append(draw('polygon', { class: `area ${name}`, points }), ...pattern(name, width, height, this.id, points));
          }
        }
        // If a stacked series is 0, its line would hide that of another series.
        const has = (i) => !this.stacked || [i - 1, i, i + 1].some((j) => rows[j]?.[s] > 0);
        for (const run of this.#runs(values.map((v, i) => (has(i) ? v : NaN)))) {
          const points = run.map((i) => `${x[i].toFixed(1)},${y(values[i]).toFixed(1)}`);
          lines.push(run.length > 1
            ? draw('polyline', { class: `line ${name}`, points: points.join(' ') })
            : draw('circle', { class: `dot ${name}`, cx: x[run[0]], cy: y(values[run[0]]), r: 2 }));
        }
        if (this.stacked) values.forEach((v, i) => { floor[i] = v; });
      });
      // If two lines overlap, the dashes of the later one show both.
      plot.append(...lines);
    }
    this.#svg.replaceChildren(plot);
    this.#plot = plot;
    this.point(this.#cursor);
  }

  /** Runs of consecutive samples that have a value. */
  #runs(values) {
    const runs = [];
    let before = -Infinity;
    values.forEach((v, i) => {
      const at = Date.parse(this.#samples[i].at) / 1000;
      const isNext = at - before < 2.5 * this.#interval;
      if (!Number.isFinite(v)) {
        before = -Infinity;
        return;
      }
      if (isNext) runs.at(-1).push(i);
      else runs.push([i]);
      before = at;
    });
    return runs;
  }
}

/** The pattern of an area, drawn over its colour: hatching, or dots. */
function pattern(name, width, height, id, points) {
  if (name !== 'store' && name !== 'absent') return [];
  const mark = name === 'store'
    ? draw('path', { class: `hatch ${name}`, d: 'M0 6L6 0' })
    : draw('circle', { class: `point ${name}`, cx: 2, cy: 2, r: 0.9 });
  const reference = `pattern-${id}-${name}`;
  const defs = draw('defs', {}, draw('pattern', { id: reference, width: 6, height: 6, patternUnits: 'userSpaceOnUse' }, mark));
  const fill = `url(#${reference})`;
  return [defs, points ? draw('polygon', { points, fill }) : draw('rect', { width, height, fill })];
}

/** A curve of a few values without axes. */
export function spark(svg, values) {
  const width = 120;
  const tall = 24;
  svg.setAttribute('viewBox', `0 0 ${width} ${tall}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  const top = Math.max(1, ...values.filter(Number.isFinite));
  const points = values.map((v, i) => `${((i / Math.max(1, values.length - 1)) * width).toFixed(1)},${(tall - 2 - ((v || 0) / top) * (tall - 4)).toFixed(1)}`);
  svg.replaceChildren(values.length > 1 ? draw('polyline', { class: 'line spark-line', points: points.join(' ') }) : draw('g'));
}

/** A bar of shares, side by side: [{ name, value }]. */
export function bar(svg, parts, whole) {
  const nodes = [draw('rect', { class: 'bar-back', width: '100%', height: '100%' })];
  let from = 0;
  for (const { name, value } of parts) {
    const share = whole > 0 ? Math.min(1, value / whole) * 100 : 0;
    if (share > 0) {
      const place = { x: `${from}%`, width: `${share}%`, height: '100%' };
      nodes.push(draw('rect', { class: `share ${name}`, ...place }));
      const [defs, over] = pattern(name, '100%', '100%', svg.id);
      if (over) {
        over.setAttribute('x', place.x);
        over.setAttribute('width', place.width);
        nodes.push(defs, over);
      }
    }
    from += share;
  }
  svg.replaceChildren(...nodes);
}
