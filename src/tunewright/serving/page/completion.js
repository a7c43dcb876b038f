// One answer of a language model, streamed from /v1/chat/completions.

import { ApiError, ask } from "./api.js";
import { events } from "./stream.js";

/**
 * Ask for an answer.
 *
 * @param {Object} body Of the request, without `stream`.
 * @param {AbortSignal} signal Ends it.
 * @param {(text: string) => void} hear Called with each piece of the answer.
 * @returns {Promise<Object>} What is known at the end: `text`, `tokens` (with their probabilities, where asked for), `id`,
 *     `firstMs`, `wholeMs`, `written` (how many tokens), `read`, `finish`, and `stopped` or `fault` where it ended early.
 */
export async function complete(body, signal, hear) {
  const began = performance.now();
  const found = { text: "", tokens: [], id: "", firstMs: null, wholeMs: null, written: null, read: null, finish: "", stopped: false, fault: "" };
  try {
    const response = await ask("v1/chat/completions", {
      body: { ...body, stream: true, stream_options: { include_usage: true } },
      signal,
    });
    found.id = response.headers.get("x-prediction-id") ?? "";
    for await (const data of events(response.body)) {
      if (data === "[DONE]") break;
      take(JSON.parse(data), found, began, hear);
    }
  } catch (error) {
    if (error.name === "AbortError") found.stopped = true;
    else found.fault = error instanceof SyntaxError ? "The stream holds what is no JSON." : error.message;
  }
  found.wholeMs = performance.now() - began;
  if (!found.finish && !found.stopped && !found.fault) found.fault = "The stream ended before the answer did.";
  return found;
}

/** Take one event in. */
function take(event, found, began, hear) {
  if (event.error) throw new ApiError(0, event.error.code ?? "", event.error.message ?? "The model failed.");
  found.id ||= event.id ?? "";
  if (event.usage) {
    found.written = event.usage.completion_tokens;
    found.read = event.usage.prompt_tokens;
  }
  const choice = event.choices?.[0];
  if (!choice) return;
  found.tokens.push(...(choice.logprobs?.content ?? []));
  const piece = choice.delta?.content ?? "";
  if (piece) {
    found.firstMs ??= performance.now() - began;
    found.text += piece;
    hear(piece);
  }
  found.finish = choice.finish_reason ?? found.finish;
}

/** Tokens a second after the first one; null where there are too few to tell. */
export function speed({ written, firstMs, wholeMs }) {
  return written > 1 && wholeMs > firstMs ? ((written - 1) * 1000) / (wholeMs - firstMs) : null;
}
