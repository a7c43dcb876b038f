// The part "Talk to it": the same words to each language model, answers side by side as they are written.

import { Conversation } from "./conversation.js";
import { byId, show } from "./dom.js";
import { prompts } from "./examples.js";
import { exampleButtons, sendsByKeys } from "./trial.js";

/**
 * Wire the part.
 *
 * @returns {{serve: (models: Object[]) => void, stop: () => boolean}} What shows models, and what ends the answers and
 *     tells whether there were any.
 */
export function wireChat() {
  const [form, field, status, grid, stopButton] = ["chat-form", "message", "chat-status", "talks", "chat-stop"].map(byId);
  let talks = [];
  let asking = null;

  async function say() {
    const text = field.value.trim();
    if (!text) {
      field.focus();
      return;
    }
    const own = (asking = new AbortController());
    field.value = "";
    working(true);
    status.textContent = "Answering …";
    const settings = readSettings();
    const found = await Promise.all(talks.map((each) => each.say(text, settings, own.signal)));
    if (asking !== own) return; // other models are served meanwhile
    asking = null;
    working(false);
    status.textContent = talks.map((each, at) => outcome(each.model.id, found[at])).join(" ");
  }

  function working(isBusy) {
    show(stopButton, isBusy);
    byId("chat-ask").disabled = isBusy;
    if (isBusy) return;
    if (document.activeElement === document.body) field.focus(); // the button that was stopped with is gone
  }

  function stop() {
    asking?.abort();
    return asking !== null;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!asking) say();
  });
  stopButton.addEventListener("click", stop);
  byId("chat-new").addEventListener("click", () => {
    stop();
    talks.forEach((each) => each.clear());
    status.textContent = "A new conversation.";
    field.focus();
  });
  sendsByKeys(field, form);
  byId("examples-chat").replaceChildren(...exampleButtons(prompts(), field));
  return {
    serve(models) {
      stop();
      asking = null;
      working(false);
      talks = models.map((model) => new Conversation(model));
      grid.replaceChildren(...talks.map((each) => each.element));
      show(byId("chat"), models.length > 0);
    },
    stop,
  };
}

/** Read the form; a field that is left empty is left out, so that the server's own default holds. */
function readSettings() {
  const sampling = {};
  for (const [id, name] of [["temperature", "temperature"], ["max-tokens", "max_tokens"], ["seed", "seed"]]) {
    const { value, valueAsNumber } = byId(id);
    if (value !== "") sampling[name] = valueAsNumber;
  }
  return { system: byId("system").value.trim(), sampling, logprobs: byId("logprobs").checked };
}

/** Say how an answer ended; an answer is read out whole, not piece by piece. */
function outcome(name, found) {
  if (found.fault) return `${name} failed: ${found.fault}`;
  return `${name} ${found.stopped ? "was stopped after" : "answered"}: ${found.text}`;
}
