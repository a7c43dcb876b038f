// One language model and what was said between it and the person.

import { cardHead, facts } from "./card.js";
import { complete, speed } from "./completion.js";
import { make } from "./dom.js";
import { ratingFeedback } from "./feedback.js";
import { count, figure, milliseconds } from "./format.js";
import { likelihoods } from "./likelihood.js";

const ENDS = { length: "cut at the most tokens", stop: "ended by itself" };

export class Conversation {
  /**
   * @param {Object} model As /v1/models describes it; `isFirst` where requests that name no model go to it.
   */
  constructor(model) {
    const [heading, head] = cardHead(model);
    this.model = model;
    this.turns = [];
    this.list = make("ol", { class: "turns", "aria-labelledby": heading });
    this.element = make("article", { class: "card", "aria-labelledby": heading }, head, this.list);
    this.clear();
  }

  /** Forget what was said. */
  clear() {
    this.turns = [];
    this.list.replaceChildren(make("li", { class: "quiet" }, "Nothing said yet."));
  }

  /**
   * Say something, and let the model answer.
   *
   * @param {string} text
   * @param {{system: string, sampling: Object, logprobs: boolean}} settings
   * @param {AbortSignal} signal
   * @returns {Promise<Object>} What `complete` returns.
   */
  async say(text, settings, signal) {
    if (!this.turns.length) this.list.replaceChildren();
    this.list.append(turn("You", text));
    const words = document.createTextNode("");
    const said = make("p", { class: "said" }, words);
    const item = turn(this.model.id, said);
    this.list.append(item);
    this.element.setAttribute("aria-busy", "true");
    const asked = { role: "user", content: text };
    const found = await complete(this.body(asked, settings), signal, (piece) => words.appendData(piece));
    this.element.removeAttribute("aria-busy");
    if (found.text) this.turns.push(asked, { role: "assistant", content: found.text });
    this.close(item, said, found);
    return found;
  }

  body(asked, { system, sampling, logprobs }) {
    const first = system ? [{ role: "system", content: system }] : [];
    return {
      model: this.model.id,
      messages: [...first, ...this.turns, asked],
      ...sampling,
      ...(logprobs ? { logprobs: true } : {}),
    };
  }

  /** Add what is known when an answer has ended. */
  close(item, said, found) {
    if (found.fault) item.append(make("p", { class: "fault" }, found.fault));
    if (!found.text) {
      if (found.stopped) item.append(make("p", { class: "quiet" }, "Stopped."));
      return;
    }
    if (found.tokens.length && found.tokens.map((each) => each.token).join("") === found.text) {
      const { text, list } = likelihoods(found.tokens);
      said.replaceChildren(text);
      item.append(list);
    }
    item.append(facts([
      ["First token", milliseconds(found.firstMs)],
      ["Whole answer", milliseconds(found.wholeMs)],
      ["Speed", `${figure(speed(found))} tokens/s`],
      ["Read", found.read === null ? "–" : count(found.read, "token")],
      ["Written", found.written === null ? "–" : count(found.written, "token")],
      ["End", found.stopped ? "stopped" : (ENDS[found.finish] ?? found.finish)],
      ["Id", found.id],
    ]));
    if (found.id) item.append(ratingFeedback(found.id, this.model.id));
  }
}

function turn(who, said) {
  return make("li", {}, make("p", { class: "who" }, who), said instanceof Node ? said : make("p", { class: "said" }, said));
}
