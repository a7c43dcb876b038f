// One classifier and its answer to the text.

import { ask, timing } from "./api.js";
import { freshId, make } from "./dom.js";
import { labelFeedback } from "./feedback.js";
import { milliseconds, percent } from "./format.js";
import { shares } from "./shares.js";
import { tokensPart } from "./tokens.js";

/** The head of a model's card: its name, version, engine. */
export function cardHead(model) {
  const heading = freshId("model");
  const aliases = model.aliases.length ? ` · ${model.aliases.join(", ")}` : "";
  return [heading, make("header", {},
    make("h3", { id: heading }, model.id, model.isFirst ? make("span", { class: "tag" }, "answers by default") : null),
    make("p", { class: "about" }, `version ${model.version}${aliases} · ${model.engine}`))];
}

export class Card {
  /**
   * @param {Object} model As /v1/models describes it; `isFirst` where requests that name no model go to it.
   */
  constructor(model) {
    const [heading, head] = cardHead(model);
    this.model = model;
    this.body = make("div", { class: "answer" }, make("p", { class: "quiet" }, "Nothing asked yet."));
    this.element = make("article", { class: "card", "aria-labelledby": heading }, head, this.body);
  }

  /**
   * Ask the model, and show what it says.
   *
   * @param {string} text
   * @param {AbortSignal} signal
   * @returns {Promise<string|null>} The label; null where there was no answer.
   */
  async ask(text, signal) {
    this.signal = signal;
    const showsTokens = this.body.querySelector("details.tokens-of")?.open ?? false;
    this.element.classList.remove("differing");
    this.element.setAttribute("aria-busy", "true");
    const began = performance.now();
    try {
      const response = await ask("v1/classify", { body: { input: text, model: this.model.id }, signal });
      const answer = await response.json();
      if (this.signal !== signal) return null;
      this.show(text, answer, { ...timing(response), trip: performance.now() - began }, showsTokens);
      return answer.data[0].label;
    } catch (error) {
      if (this.signal !== signal) return null; // somebody has asked anew
      const isStopped = error.name === "AbortError";
      this.body.replaceChildren(make("p", { class: isStopped ? "quiet" : "fault" }, isStopped ? "Stopped." : error.message));
      return null;
    } finally {
      if (this.signal === signal) this.element.removeAttribute("aria-busy");
    }
  }

  /** Say whether its label is the first model's. */
  compare(first, label, own) {
    this.element.classList.toggle("differing", own !== label);
    this.body.querySelector(".compare").append(own === label
      ? make("span", { class: "quiet" }, `the same as ${first}`)
      : make("span", { class: "differs" }, `≠ ${first} says ${label}`));
  }

  show(text, answer, times, showsTokens) {
    const [found] = answer.data;
    const tokens = tokensPart(this.model.id, text, answer.usage.prompt_tokens, showsTokens);
    tokens.classList.add("tokens-of");
    this.body.replaceChildren(
      make("p", { class: "label" }, make("strong", {}, found.label), " ", percent(found.probability)),
      make("p", { class: "compare" }),
      ...shares(found.probabilities, found.label),
      facts([
        ["Server", milliseconds(times.answer)],
        ["of it queued", milliseconds(times.queue)],
        ["Round trip", milliseconds(times.trip)],
        ["Version", answer.model_version],
        ["Id", found.id],
      ]),
      tokens,
      labelFeedback(found.id, found.label, this.model.labels, this.model.id),
    );
  }
}

/** A short table of names and values. */
export function facts(pairs) {
  return make("dl", { class: "facts" }, ...pairs.map(([name, value]) =>
    make("div", { class: name === "Id" ? "long" : null }, make("dt", {}, name), make("dd", {}, value))));
}
