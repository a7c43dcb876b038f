// Elements are made here and nowhere else. Texts become text nodes: nothing that a model or a person wrote is ever
// read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * @param {string} tag Its name.
 * @param {Object} [properties] Attributes; a function is a listener ("click"), true an empty attribute, and null,
 *     undefined or false none.
 * @param {...(Node|string|number|null|undefined|false)} children What it holds; null, undefined and false are left out.
 * @returns {HTMLElement}
 */
export function make(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** Make an element of an SVG drawing, as `make` does. */
export function draw(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

/** Find the one element with an id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Show or hide an element. */
export function show(element, isShown) {
  element.hidden = !isShown;
}

let made = 0;

/** Return an id that no other element has. */
export function freshId(word) {
  made += 1;
  return `${word}-${made}`;
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") {
      element.addEventListener(name, value);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false).map(node));
  return element;
}

function node(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}
