// Probabilities as bars with their numbers.

import { make } from "./dom.js";
import { percent } from "./format.js";

/** So many labels keep the model's own order, so that two models can be compared line by line. */
const FEW = 8;

/**
 * Draw the probabilities of labels.
 *
 * @param {Object<string, number>} probabilities
 * @param {string} best The label that the model chose.
 * @returns {Node[]}
 */
export function shares(probabilities, best) {
  const all = Object.entries(probabilities);
  if (all.length <= FEW) return [list(all, best)];
  all.sort((one, other) => other[1] - one[1]);
  const others = all.length - FEW;
  return [
    list(all.slice(0, FEW), best),
    make("details", {}, make("summary", {}, `${others} other labels`), list(all.slice(FEW), best)),
  ];
}

function list(entries, best) {
  return make("ul", { class: "shares" }, ...entries.map(([label, share]) => {
    const fill = make("span", { class: "fill" });
    fill.style.width = `${(share * 100).toFixed(2)}%`;
    return make("li", { class: label === best ? "best" : null },
      make("span", { class: "name" }, label),
      make("span", { class: "bar", "aria-hidden": "true" }, fill),
      make("span", { class: "share" }, percent(share)));
  }));
}
