// Prometheus' text format, as far as /metrics uses it: samples, without comments and timestamps.

/**
 * Read a page of figures.
 *
 * @param {string} text
 * @returns {{name: string, labels: Object<string, string>, value: number}[]}
 */
export function parse(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const sample = line && !line.startsWith("#") ? parseLine(line) : null;
    if (sample) found.push(sample);
  }
  return found;
}

/**
 * Add up the samples of a name.
 *
 * @param {ReturnType<typeof parse>} samples
 * @param {string} name
 * @param {(labels: Object<string, string>) => boolean} [fits] Which of them.
 * @returns {number}
 */
export function total(samples, name, fits = () => true) {
  let sum = 0;
  for (const each of samples) if (each.name === name && fits(each.labels)) sum += each.value;
  return sum;
}

/**
 * Add up the samples of a name by one label.
 *
 * @param {ReturnType<typeof parse>} samples
 * @param {string} name
 * @param {string} label
 * @param {(labels: Object<string, string>) => boolean} [fits] Which of them.
 * @returns {Map<string, number>}
 */
export function byLabel(samples, name, label, fits = () => true) {
  const found = new Map();
  for (const each of samples) {
    if (each.name === name && fits(each.labels)) {
      const key = each.labels[label] ?? "";
      found.set(key, (found.get(key) ?? 0) + each.value);
    }
  }
  return found;
}

/** A number as Prometheus writes it. */
export function number(word) {
  if (word === "+Inf" || word === "Inf") return Infinity;
  return word === "-Inf" ? -Infinity : Number(word);
}

function parseLine(line) {
  const name = /^[a-zA-Z_:][\w:]*/.exec(line)?.[0];
  if (!name) return null;
  const [labels, end] = line[name.length] === "{" ? parseLabels(line, name.length + 1) : [{}, name.length];
  if (labels === null) return null;
  const word = line.slice(end).trim().split(/\s+/)[0];
  const value = number(word);
  return word && (word === "NaN" || !Number.isNaN(value)) ? { name, labels, value } : null;
}

/** Read `a="b",c="d"}`; values may hold commas, braces, and quotes after a backslash. */
function parseLabels(line, start) {
  const labels = {};
  const one = /\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?\s*/y;
  let at = start;
  while (line[at] !== "}") {
    one.lastIndex = at;
    const match = one.exec(line);
    if (!match) return [null, at];
    labels[match[1]] = match[2].replace(/\\(.)/g, (_, char) => (char === "n" ? "\n" : char));
    at = one.lastIndex;
  }
  return [labels, at + 1];
}
