// A small line of the values of late, with words for those who don't see it.

import { draw } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 28;

/**
 * Draw values.
 *
 * @param {number[]} values The newest last.
 * @param {string} words What the drawing shows.
 * @returns {SVGElement}
 */
export function sparkline(values, words) {
  const most = Math.max(...values, 1e-9);
  const step = WIDTH / Math.max(values.length - 1, 1);
  const points = values.map((value, at) => `${(at * step).toFixed(1)},${(HEIGHT - 2 - (value / most) * (HEIGHT - 4)).toFixed(1)}`);
  return draw(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "sparkline", role: "img", "aria-label": words, preserveAspectRatio: "none" },
    draw("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 2, y2: HEIGHT - 2, class: "ground" }),
    draw("polyline", { points: points.join(" "), class: "values", "vector-effect": "non-scaling-stroke" }),
  );
}
