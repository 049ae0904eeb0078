// Numbers as people read them, always with a unit.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });

export const none = '–';

/** Three significant digits, but never less than the whole number. */
function short(n) {
  const size = Math.abs(n);
  return size >= 100 ? whole.format(n) : n.toFixed(size >= 10 || n === 0 ? (Number.isInteger(n) ? 0 : 1) : size >= 1 ? (Number.isInteger(n) ? 0 : 2) : 2);
}

export const count = (n) => (Number.isFinite(n) ? whole.format(n) : none);

export const decimal = (n) => (Number.isFinite(n) ? short(n) : none);

const three = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

/** A round number, such as that of an axis. */
export const round = (n) => three.format(n);

export function rate(n) {
  if (!Number.isFinite(n)) return none;
  return (n !== 0 && n < 0.1 ? '< 0.1' : n < 10 ? n.toFixed(n === 0 ? 0 : 1) : whole.format(n)) + '/s';
}

export function percent(share) {
  if (!Number.isFinite(share)) return none;
  const p = share * 100;
  // 99.96 % is not 100 %: the few misses matter.
  if (p < 100 && p > 99.9) return '> 99.9 %';
  if (p > 0 && p < 0.1) return '< 0.1 %';
  return p.toFixed(p === 0 || p === 100 ? 0 : 1) + ' %';
}

export function bytes(n) {
  if (!Number.isFinite(n)) return none;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; n >= 1024 && unit < units.length - 1; unit++) n /= 1024;
  return (unit === 0 ? whole.format(n) : short(n)) + ' ' + units[unit];
}

/** A latency. */
export function seconds(s, number = short) {
  if (!Number.isFinite(s)) return none;
  if (s === 0) return '0 ms';
  if (s < 0.001) return whole.format(s * 1e6) + ' µs';
  if (s < 1) return number(s * 1e3) + ' ms';
  return number(s) + ' s';
}

/** How long something has lasted. */
export function span(s) {
  if (!Number.isFinite(s)) return none;
  s = Math.max(0, Math.floor(s));
  if (s < 60) return `${s} s`;
  if (s < 3600) return pair(s, 60, 'min', 1, 's');
  if (s < 86400) return pair(s, 3600, 'h', 60, 'min');
  return pair(s, 86400, 'd', 3600, 'h');
}

function pair(s, large, largeName, small, smallName) {
  const rest = Math.floor((s % large) / small);
  return `${whole.format(Math.floor(s / large))} ${largeName}` + (rest ? ` ${rest} ${smallName}` : '');
}

export const time = (at) => clock.format(new Date(at));

/** A time, with the day unless it is today. */
export function moment(at) {
  const date = new Date(at);
  return (day.format(date) === day.format(new Date()) ? '' : day.format(date) + ', ') + clock.format(date);
}
