// What /v1/rollout says, in sentences.

import { percent } from "./format.js";

/**
 * Put the state of the rollout into sentences.
 *
 * @param {Object} state As /v1/rollout gives it.
 * @param {number} now Milliseconds since 1970.
 * @returns {string[]}
 */
export function rolloutWords(state, now) {
  const said = [];
  if (!state.watching) {
    said.push(`Version ${state.current?.version ?? "?"} is served; it doesn't follow an alias.`);
  } else {
    said.push(`Follows ${state.watching}: version ${state.current?.version ?? "?"} answers ${shareWords(state.current?.share ?? 1)}.`);
  }
  if (state.candidate) said.push(candidateWords(state.candidate, state.mode));
  if (state.registry) said.push(state.registry);
  const [last] = state.refusals;
  if (last) said.push(`Version ${last.version} went back ${ago(now - last.at * 1000)}: ${last.why}`);
  return said;
}

function shareWords(share) {
  return share === 1 ? "all requests" : percent(share);
}

function candidateWords(candidate, mode) {
  const { version, phase, requests, errors, slow, timed, shadow } = candidate;
  if (phase !== "rolling out") return `Version ${version} (${candidate.engine}) is on its way: ${phase}.`;
  const seen = `${requests} requests, ${errors} errors, ${slow} of ${timed} slow`;
  if (shadow) return `Version ${version} is a shadow: ${shadowWords(shadow)}.`;
  return `Version ${version} gets ${percent(candidate.share)} (${mode}): ${seen}.`;
}

function shadowWords({ texts, same_label, answers, same_answer, tokens, same_tokens }) {
  if (answers === undefined) return `${same_label} of ${texts} answers have the same label`;
  return `${same_answer} of ${answers} answers are the same, ${same_tokens} of ${tokens} tokens before they differ`;
}

function ago(milliseconds) {
  const minutes = Math.round(milliseconds / 60000);
  if (minutes < 1) return "just now";
  return minutes < 120 ? `${minutes} min ago` : `${Math.round(minutes / 60)} h ago`;
}
