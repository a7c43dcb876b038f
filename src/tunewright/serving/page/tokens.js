// How a model reads a text: its tokens, fetched when somebody wants to see them.

import { askJson } from "./api.js";
import { make } from "./dom.js";
import { count } from "./format.js";

/** What vocabularies call a piece that they don't hold: the model can't tell it from another. */
const UNKNOWN = /^(\[UNK\]|<unk>)$/i;

/**
 * Make a part that shows the tokens of a text when it is opened.
 *
 * @param {string} model As /v1/models names it.
 * @param {string} text
 * @param {number} tokens How many there are.
 * @param {boolean} isOpen Whether it is shown at once.
 * @returns {HTMLDetailsElement}
 */
export function tokensPart(model, text, tokens, isOpen) {
  const inside = make("div", { class: "tokens" });
  let isAsked = false;
  const part = make("details", { toggle: () => {
    if (!part.open || isAsked) return;
    isAsked = true;
    fill(inside, model, text);
  } }, make("summary", {}, count(tokens, "token")), inside);
  part.open = isOpen;
  return part;
}

async function fill(inside, model, text) {
  inside.textContent = "…";
  try {
    const found = await askJson("v1/tokenize", { body: { model, input: text } });
    inside.replaceChildren(
      make("ol", {}, ...found.tokens.map(tokenItem)),
      found.cut ? make("p", {}, `${count(found.cut, "token")} at its end are cut: the model doesn't see them.`) : "",
    );
  } catch (error) {
    inside.textContent = error.message;
  }
}

function tokenItem(token) {
  const isAdded = token.text === "";
  const isUnknown = !isAdded && UNKNOWN.test(token.token);
  return make("li", { class: isAdded ? "added" : isUnknown ? "unknown" : null },
    make("span", { class: "piece" }, isAdded ? token.token : visible(token.text)), " ",
    isUnknown ? "unknown " : null,
    make("span", { class: "number" }, token.id));
}

function visible(text) {
  return text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣");
}
