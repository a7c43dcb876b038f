// The part "Live figures": looks at the server every two seconds while somebody can see it.

import { ApiError, ask, health } from "./api.js";
import { byId, make, show } from "./dom.js";
import { parse } from "./exposition.js";
import { look, ofLate, remember } from "./figures.js";
import { bytes, figure, milliseconds, NONE, percent } from "./format.js";
import { rolloutWords } from "./rollout.js";
import { sparkline } from "./sparkline.js";

const EVERY_MS = 2000;
/** For a key whose requests are counted: the looks must leave some for the asking. */
const RARELY_MS = 15_000;
/** Values of a small drawing, the newest ones. */
const POINTS = 60;
/** There is no use in asking again with the same key. */
const CLOSED = new Set([401, 403]);

/**
 * Wire the part.
 *
 * @returns {{restart: () => void}} Looks anew, as with another key.
 */
export function wireLive() {
  let looks = [];
  let rates = { requests: [], tokens: [] };
  let refused = new Set();
  let timer = null;
  let isLooking = false;
  let pause = EVERY_MS;
  const pauseButton = byId("live-pause");
  const isPaused = () => pauseButton.getAttribute("aria-pressed") === "true";

  async function tick() {
    clearTimeout(timer);
    if (isLooking || document.hidden || isPaused()) return;
    isLooking = true;
    await Promise.all([showHealth(), see("metrics", showMetrics, "live-note", "metrics"),
      see("v1/rollout", showRollout, "rollout-note", "infer")]);
    isLooking = false;
    timer = setTimeout(tick, pause);
  }

  /** Look at one thing, unless the key was found not to open it. */
  async function see(path, display, note, scope) {
    if (refused.has(path)) return;
    try {
      const response = await ask(path);
      pause = response.headers.has("x-ratelimit-limit-requests") ? RARELY_MS : EVERY_MS;
      await display(response);
      byId(note).textContent = "";
    } catch (error) {
      if (error instanceof ApiError && CLOSED.has(error.status)) {
        refused.add(path);
        byId(note).textContent = `To see this, use an API key with the scope ${scope}.`;
      } else {
        byId(note).textContent = error.message;
      }
    }
  }

  async function showMetrics(response) {
    const now = look(parse(await response.text()), performance.now());
    looks = remember(looks, now);
    const late = ofLate(looks);
    for (const name of ["requests", "tokens"]) {
      if (late[name] !== null) rates[name] = [...rates[name], late[name]].slice(-POINTS);
    }
    put("fig-requests", figure(late.requests));
    put("fig-tokens", figure(late.tokens));
    put("fig-errors", late.errorShare === null ? figure(late.errors) : `${late.errors} (${percent(late.errorShare)})`);
    put("fig-p50", milliseconds(late.p50 === null ? null : late.p50 * 1000));
    put("fig-p95", milliseconds(late.p95 === null ? null : late.p95 * 1000));
    put("fig-waiting", `${figure(now.waiting)} tokens`);
    byId("fig-memory").replaceChildren(...[...now.memory].map(([model, size]) =>
      make("li", {}, make("span", {}, model), " ", make("span", { class: "value" }, bytes(size)))));
    put("fig-restarts", figure(now.restarts));
    put("live-span", looks.length > 1 ? `of the last ${late.seconds} s` : "from the second look on");
    spark("requests", "Requests a second");
    spark("tokens", "Tokens a second");
  }

  function spark(name, words) {
    const values = rates[name];
    if (values.length < 2) return;
    const told = `${words} of late: now ${figure(values.at(-1))}, at most ${figure(Math.max(...values))}`;
    byId(`spark-${name}`).replaceChildren(sparkline(values, told));
  }

  async function showRollout(response) {
    const words = rolloutWords(await response.json(), Date.now());
    byId("rollout").replaceChildren(...words.map((each) => make("p", {}, each)));
  }

  async function showHealth() {
    const { status, detail } = await health();
    const pill = byId("state");
    if (pill.textContent !== status) pill.textContent = status;
    pill.dataset.state = status;
    put("state-detail", detail);
    show(byId("state-detail"), detail !== "");
  }

  document.addEventListener("visibilitychange", tick);
  pauseButton.addEventListener("click", () => {
    pauseButton.setAttribute("aria-pressed", String(!isPaused()));
    tick();
  });
  tick();
  return {
    restart() {
      [looks, rates, refused] = [[], { requests: [], tokens: [] }, new Set()];
      tick();
    },
  };
}

function put(id, words) {
  byId(id).textContent = words === "" || words === null ? NONE : String(words);
}
