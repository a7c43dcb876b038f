// The page's beginning: which models there are, and what becomes of them.

import { ApiError, askJson } from "./api.js";
import { wireChat } from "./chat.js";
import { byId, show } from "./dom.js";
import { apiKey, wireKey } from "./key.js";
import { wireLive } from "./live.js";
import { wireTrial } from "./trial.js";

/** Until the server takes requests, it is asked again after so long. */
const AGAIN_MS = 2000;
const trial = wireTrial();
const chat = wireChat();
const live = wireLive();
const needKey = wireKey(() => {
  live.restart();
  serve();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") [trial, chat].forEach((part) => part.stop());
});
serve();

async function serve() {
  let models = [];
  let fault = "";
  try {
    models = (await askJson("v1/models")).data.map((model, at) => ({ ...model, isFirst: at === 0 }));
  } catch (error) {
    fault = explained(error);
    if (!(error instanceof ApiError) || [0, 503].includes(error.status)) setTimeout(serve, AGAIN_MS);
  }
  show(byId("documents"), apiKey() === "" && byId("key-area").hidden); // a link brings no key
  byId("fault").textContent = fault;
  show(byId("fault"), fault !== "");
  trial.serve(models.filter((model) => model.task !== "generation"));
  chat.serve(models.filter((model) => model.task === "generation"));
}

/** Say why there are no models; where a key is missing, show its field. */
function explained(error) {
  if (error.status === 401) needKey("This server asks for an API key.");
  if (error.status === 403) needKey("This key doesn't open the models: use one with the scope infer.");
  return [401, 403].includes(error.status) ? "" : error.message;
}
