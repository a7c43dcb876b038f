// What people say of an answer: forms below it, sent to /v1/feedback.

import { ApiError, ask } from "./api.js";
import { freshId, make } from "./dom.js";

/**
 * Make a form for a classifier's answer.
 *
 * @param {string} predictionId
 * @param {string} label What the model said.
 * @param {string[]} labels What it can say.
 * @param {string} model Its name, for who hears the page.
 * @returns {HTMLFormElement}
 */
export function labelFeedback(predictionId, label, labels, model) {
  const [choice, comment] = [freshId("label"), freshId("comment")];
  const select = make("select", { id: choice }, make("option", { value: "" }, "choose"),
    ...labels.filter((each) => each !== label).map((each) => make("option", { value: each }, each)));
  const note = commentField(comment);
  const [form, give] = feedbackForm(`Feedback on ${model}'s answer`, predictionId, note);
  form.prepend(
    make("button", { type: "button", click: () => give({ label, rating: "good" }) }, "Right"),
    make("span", { class: "field main-choice" }, make("label", { for: choice }, "or it should be"), select),
    make("span", { class: "field wide" }, make("label", { for: comment }, "Comment"), note),
    make("button", { type: "submit" }, "Send"),
  );
  form.addEventListener("submit", () =>
    give(select.value ? { label: select.value, rating: "bad" } : "Choose the right label first, or say Right."));
  return form;
}

/**
 * Make a form for a language model's answer.
 *
 * @param {string} predictionId
 * @param {string} model Its name, for who hears the page.
 * @returns {HTMLFormElement}
 */
export function ratingFeedback(predictionId, model) {
  const [better, comment] = [freshId("better"), freshId("comment")];
  const answer = make("textarea", { id: better, rows: 2, maxlength: 20000 });
  const note = commentField(comment);
  const [form, give] = feedbackForm(`Feedback on ${model}'s answer`, predictionId, note);
  const betterAnswer = () => (answer.value.trim() ? { answer: answer.value.trim() } : {});
  form.prepend(
    make("button", { type: "button", click: () => give({ rating: "good" }) }, "Good"),
    make("button", { type: "button", click: () => give({ rating: "bad", ...betterAnswer() }) }, "Bad"),
    make("span", { class: "field wide" }, make("label", { for: comment }, "Comment"), note),
    make("span", { class: "field whole" }, make("label", { for: better }, "A better answer (sent with Bad)"), answer),
  );
  form.addEventListener("submit", () => give("Say Good or Bad."));
  return form;
}

function commentField(id) {
  return make("input", { id, type: "text", maxlength: 2000, autocomplete: "off" });
}

/** Make a form, and what sends feedback with its comment, or shows words in place of it. */
function feedbackForm(name, predictionId, note) {
  const status = make("p", { role: "status", class: "outcome" });
  const form = make("form", { class: "feedback", "aria-label": name, submit: (event) => event.preventDefault() }, status);
  return [form, (said) => {
    if (typeof said === "string") {
      status.textContent = said;
      return;
    }
    const comment = note.value.trim();
    send({ prediction_id: predictionId, ...said, ...(comment ? { comment } : {}) }, status);
  }];
}

async function send(body, status) {
  status.textContent = "Sending …";
  try {
    await ask("v1/feedback", { body });
    status.textContent = "Thank you, it is kept.";
  } catch (error) {
    status.textContent = `It is not kept: ${why(error)}`;
  }
}

function why(error) {
  if (error instanceof ApiError && error.status === 403) return "the key lacks the scope feedback.";
  return error.message;
}
