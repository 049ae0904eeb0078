// Elements. Anyone may have written keys and values. So text is always set as text: nothing
// in this page parses HTML.

const svgNamespace = 'http://www.w3.org/2000/svg';

export const byId = (id) => document.getElementById(id);

/** Makes an element with attributes and children (elements or text). */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(svgNamespace, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets text only if it differs. Otherwise a screen reader may read it again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Replaces the rows of a table's body. The focus stays on the button of the same key or, if
 * that key is gone, moves to the button in the same row.
 */
export function setRows(table, rows) {
  const body = table.tBodies[0];
  const active = document.activeElement;
  const held = body.contains(active) ? active : null;
  const place = held ? [...body.rows].indexOf(held.closest('tr')) : -1;
  body.replaceChildren(...rows);
  if (!held) return;
  const buttons = [...body.querySelectorAll('button')];
  const again = buttons.find((b) => b.textContent === held.textContent) ?? buttons[Math.min(place, buttons.length - 1)];
  again?.focus({ preventScroll: true });
}

/** One row that says that there are none. */
export function emptyRow(columns, text) {
  return make('tr', {}, make('td', { colspan: columns, class: 'none' }, text));
}
