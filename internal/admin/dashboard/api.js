// Requests to the server that sent the page, and to no other server.

/** The longest time for an answer, in milliseconds: more than redis_timeout usually is. */
const patience = 8000;

/** An error that the server answered, or, with status 0, the lack of an answer. */
export class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Reads a path below the page as text. */
export async function read(path) {
  let response;
  let text;
  try {
    response = await fetch(path, { signal: AbortSignal.timeout(patience), headers: { Accept: 'application/json' }, cache: 'no-store' });
    text = await response.text();
  } catch (error) {
    throw new Failure(0, error.name === 'TimeoutError' ? `no answer within ${patience / 1000} s` : 'the connection failed');
  }
  if (!response.ok) throw new Failure(response.status, reason(text) || response.statusText);
  return text;
}

export async function readJSON(path) {
  const text = await read(path);
  try {
    return JSON.parse(text);
  } catch {
    throw new Failure(0, 'the answer is not JSON');
  }
}

function reason(text) {
  try {
    const problem = JSON.parse(text);
    return String(problem.error ?? problem.detail ?? '');
  } catch {
    return '';
  }
}

const cachePath = (id) => `caches/${encodeURIComponent(id)}`;

export const readCaches = () => readJSON('caches');
export const readCache = (id) => readJSON(cachePath(id));
export const readKeys = (id, order, limit) => readJSON(`${cachePath(id)}/keys?order=${order}&limit=${limit}`);
export const readKey = (id, key, valueLimit) => read(`${cachePath(id)}/keys/${encodeURIComponent(key)}?value_limit=${valueLimit}`);
