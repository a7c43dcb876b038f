// The part "Try it": one text, and what each classifier says of it, side by side.

import { Card } from "./card.js";
import { byId, make, show } from "./dom.js";
import { textsFor } from "./examples.js";

/**
 * Wire the part.
 *
 * @returns {{serve: (models: Object[]) => void, stop: () => boolean}} What shows models, and what ends the asking and
 *     tells whether there was any.
 */
export function wireTrial() {
  const [form, field, status, grid] = ["try-form", "text", "try-status", "cards"].map(byId);
  let cards = [];
  let asking = null;

  async function askAll() {
    const text = field.value;
    if (!text.trim()) {
      status.textContent = "Write a text first.";
      field.focus();
      return;
    }
    asking?.abort();
    const own = (asking = new AbortController());
    status.textContent = cards.length > 1 ? `Asking ${cards.length} models …` : "Asking …";
    const labels = await Promise.all(cards.map((card) => card.ask(text, own.signal)));
    if (asking !== own) return; // somebody has asked anew
    asking = null;
    status.textContent = own.signal.aborted ? "Stopped." : verdict(cards, labels);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    askAll();
  });
  sendsByKeys(field, form);
  return {
    serve(models) {
      asking?.abort();
      cards = models.map((model) => new Card(model));
      grid.replaceChildren(...cards.map((card) => card.element));
      show(byId("try"), models.length > 0);
      status.textContent = "";
      const texts = models.length ? textsFor(models[0].labels) : [];
      byId("examples").replaceChildren(...exampleButtons(texts, field));
    },
    stop() {
      asking?.abort();
      return asking !== null;
    },
  };
}

/** Let Ctrl+Enter (or ⌘+Enter) in a field send its form. */
export function sendsByKeys(field, form) {
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}

/** Make buttons that put a text into a field. */
export function exampleButtons(texts, field) {
  return texts.map((text) => make("button", { type: "button", class: "example", click: () => {
    field.value = text;
    field.focus();
  } }, text));
}

/** Compare each card with the first one, and say in a sentence what comes of it. */
function verdict(cards, labels) {
  const answered = labels.filter((label) => label !== null);
  if (answered.length < cards.length) {
    return `${cards.length - answered.length} of ${cards.length} models gave no answer.`;
  }
  const [first] = labels;
  if (cards.length === 1) return `${cards[0].model.id} says ${first}.`;
  cards.slice(1).forEach((card, at) => card.compare(cards[0].model.id, first, labels[at + 1]));
  if (labels.every((label) => label === first)) return `All ${labels.length} models say ${first}.`;
  return `They disagree: ${cards.map((card, at) => `${card.model.id} says ${labels[at]}`).join(", ")}.`;
}
