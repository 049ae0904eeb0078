// JSON as it was sent. JSON.parse would round long numbers and drop duplicate names, but the
// page must show the stored value.

const space = /[ \t\r\n]*/y;
const string = /"(?:[^"\\]|\\.)*"/y;
const word = /[^\s,:[\]{}"]+/y;

function tokens(text) {
  const all = [];
  for (let at = 0; ;) {
    space.lastIndex = at;
    space.exec(text);
    at = space.lastIndex;
    if (at >= text.length) return all;
    const start = at;
    const reader = text[at] === '"' ? string : word;
    reader.lastIndex = at;
    at = '{}[],:'.includes(text[at]) || !reader.exec(text) ? at + 1 : reader.lastIndex;
    all.push({ text: text.slice(start, at), start, end: at });
  }
}

const opens = (t) => t.text === '{' || t.text === '[';
const closes = (t) => t.text === '}' || t.text === ']';

/** The text of a member's value in a JSON object, or undefined. */
export function member(text, name) {
  const all = tokens(text);
  for (let i = 1, depth = 1; i < all.length; i++) {
    if (depth === 1 && all[i].text === JSON.stringify(name) && all[i + 1]?.text === ':') {
      const first = i + 2;
      let last = first;
      for (let inside = 0; last < all.length; last++) {
        if (opens(all[last])) inside++;
        if (closes(all[last])) inside--;
        if (inside === 0) break;
      }
      return text.slice(all[first].start, all[last].end);
    }
    if (opens(all[i])) depth++;
    if (closes(all[i])) depth--;
  }
  return undefined;
}

/** JSON on several lines. */
export function pretty(text) {
  const out = [];
  let depth = 0;
  // Indentation stops at some depth: for deep nesting its size grows with the square.
  const line = () => out.push('\n', '  '.repeat(Math.min(Math.max(0, depth), 40)));
  const all = tokens(text);
  all.forEach((t, i) => {
    if (opens(t)) {
      out.push(t.text);
      depth++;
      if (all[i + 1] && !closes(all[i + 1])) line();
    } else if (closes(t)) {
      depth--;
      if (all[i - 1] && !opens(all[i - 1])) line();
      out.push(t.text);
    } else if (t.text === ',') {
      out.push(',');
      line();
    } else {
      out.push(t.text === ':' ? ': ' : t.text);
    }
  });
  return out.join('');
}
