// What two looks at the figures say of the time between them. No page, no clock and no network in here.

import { byLabel, number, total } from "./exposition.js";

/** Looks that are older than this no longer count. */
const KEEP_MS = 60_000;
/** A rate is taken over about so long. */
const RATE_MS = 10_000;
/** Routes that only look: the page's own looks would drown the rest. */
const WATCHING = new Set([
  "/", "/page/{name}", "/metrics", "/health/live", "/health/ready", "/v1/rollout", "/v1/models",
  "/v1/models/{model:path}", "/openapi.json", "/ping", "/version",
]);
/** Counters of tokens that were read or written. */
const TOKENS = /^tunewright_(\w+_)?tokens_total$/;
const asks = (labels) => !WATCHING.has(labels.route);

/**
 * Take what is needed of one page of figures.
 *
 * @param {ReturnType<import("./exposition.js").parse>} samples
 * @param {number} at When it was taken, milliseconds.
 */
export function look(samples, at) {
  return {
    at,
    requests: total(samples, "tunewright_requests_total", asks),
    errors: total(samples, "tunewright_requests_total", (labels) => asks(labels) && Number(labels.status) >= 400),
    buckets: byLabel(samples, "tunewright_request_seconds_bucket", "le", asks),
    tokens: samples.reduce((sum, each) => sum + (TOKENS.test(each.name) ? each.value : 0), 0),
    waiting: total(samples, "tunewright_queue_tokens"),
    memory: byLabel(samples, "tunewright_worker_memory_bytes", "model"),
    restarts: total(samples, "tunewright_worker_restarts"),
    state: samples.find((each) => each.name === "tunewright_state" && each.value === 1)?.labels.state ?? "",
  };
}

/**
 * Add a look to those of late. A counter that fell means that the server began anew: what was before is forgotten.
 *
 * @param {ReturnType<typeof look>[]} looks The oldest first.
 * @param {ReturnType<typeof look>} newest
 */
export function remember(looks, newest) {
  const last = looks.at(-1);
  if (last && newest.requests < last.requests) return [newest];
  return [...looks, newest].filter((each) => newest.at - each.at <= KEEP_MS);
}

/**
 * Return the figures of late; null where there are no two looks, or nobody asked.
 *
 * @param {ReturnType<typeof look>[]} looks The oldest first, at least one.
 */
export function ofLate(looks) {
  const newest = looks.at(-1);
  const recent = looks.find((each) => newest.at - each.at <= RATE_MS);
  const before = recent === newest ? (looks.at(-2) ?? newest) : recent;
  const seconds = (newest.at - before.at) / 1000;
  const rate = (name) => (seconds > 0 ? (newest[name] - before[name]) / seconds : null);
  const asked = newest.requests - looks[0].requests;
  return {
    requests: rate("requests"),
    tokens: rate("tokens"),
    errorShare: asked > 0 ? (newest.errors - looks[0].errors) / asked : null,
    errors: newest.errors - looks[0].errors,
    p50: quantile(0.5, looks[0].buckets, newest.buckets),
    p95: quantile(0.95, looks[0].buckets, newest.buckets),
    seconds: Math.round((newest.at - looks[0].at) / 1000),
  };
}

/**
 * Estimate a quantile from what two looks at a histogram differ by, as Prometheus does: evenly within a bucket.
 *
 * @param {number} share Such as 0.95.
 * @param {Map<string, number>} before Counts by upper bound, each with those below it.
 * @param {Map<string, number>} after
 * @returns {number|null} null where nothing came between the looks.
 */
export function quantile(share, before, after) {
  const bounds = [...after.keys()].sort((one, other) => number(one) - number(other));
  const counts = bounds.map((bound) => after.get(bound) - (before.get(bound) ?? 0));
  const all = counts.at(-1) ?? 0;
  if (!(all > 0)) return null;
  const rank = share * all;
  const place = counts.findIndex((each) => each >= rank);
  const upper = number(bounds[place]);
  const lower = place > 0 ? number(bounds[place - 1]) : 0;
  if (upper === Infinity) return lower;
  const below = place > 0 ? counts[place - 1] : 0;
  const inside = counts[place] - below;
  return inside > 0 ? lower + ((upper - lower) * (rank - below)) / inside : upper;
}
