// The API key: kept for this tab, in its session storage, and sent in one header. It is never in an address.

import { byId, show } from "./dom.js";

const NAME = "tunewright-api-key";
let secret = kept();

/** Return the key; empty without one. */
export function apiKey() {
  return secret;
}

/**
 * Wire the field for a key.
 *
 * @param {() => void} changed Called when there is another key, or none any more.
 * @returns {(why: string) => void} Shows the field, with the reason why it is needed.
 */
export function wireKey(changed) {
  const field = byId("key");
  const use = (given) => {
    keep(given);
    field.value = "";
    byId("key-why").textContent = given ? "A key is used for this tab." : "No key is used.";
    show(byId("key-forget"), given !== "");
    changed();
  };
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    use(field.value.trim());
  });
  byId("key-forget").addEventListener("click", () => {
    field.focus(); // the button goes away
    use("");
  });
  show(byId("key-forget"), secret !== "");
  show(byId("key-area"), secret !== "");
  return (why) => {
    show(byId("key-area"), true);
    byId("key-why").textContent = why;
  };
}

function kept() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return ""; // a browser that keeps nothing for a page
  }
}

function keep(given) {
  secret = given;
  try {
    if (given) sessionStorage.setItem(NAME, given);
    else sessionStorage.removeItem(NAME);
  } catch {
    // It is known until the page is left, then.
  }
}
