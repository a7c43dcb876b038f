// Tokens of an answer with their probabilities: coloured, and as a list for those who don't see colours.

import { make } from "./dom.js";
import { count, percent } from "./format.js";

/** Probabilities from which on a token is called less and less surprising. */
const STEPS = [0.05, 0.2, 0.5, 0.8];

/**
 * Show an answer's tokens.
 *
 * @param {{token: string, logprob: number}[]} tokens As OpenAI's `logprobs.content`.
 * @returns {{text: HTMLElement, list: HTMLElement}} The coloured text, and the list behind a summary.
 */
export function likelihoods(tokens) {
  const known = tokens.map(({ token, logprob }) => ({ token, share: Math.exp(logprob) }));
  const unlikely = known.filter((each) => each.share < STEPS[1]).length;
  return {
    text: make("span", {}, ...known.map(({ token, share }) =>
      make("span", { class: `token likely-${STEPS.filter((step) => share >= step).length}` }, token))),
    list: make("details", {},
      make("summary", {}, `Probability of each token (${count(unlikely, "token")} below ${STEPS[1] * 100} %)`),
      make("div", { class: "tokens" }, make("ol", {}, ...known.map(({ token, share }) =>
        make("li", {}, make("span", { class: "piece" }, visible(token)), " ", make("span", { class: "number" }, percent(share))))))),
  };
}

function visible(text) {
  return text.replaceAll("\n", "⏎").replaceAll(" ", "␣");
}
