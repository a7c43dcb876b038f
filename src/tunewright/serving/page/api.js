// The server, as the page asks it. Addresses are relative to the page, so that it works below a proxy's path, too.

import { apiKey } from "./key.js";

/** An answer that is an error, in the server's own words. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status; 0 where there was no answer.
   * @param {string} code The error's word for programs.
   * @param {string} message What is wrong, and what to do.
   */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * Ask the server.
 *
 * @param {string} path Without a slash at its beginning.
 * @param {Object} [options]
 * @param {Object} [options.body] Sent as JSON by POST; without it the method is GET.
 * @param {AbortSignal} [options.signal] Ends the request.
 * @returns {Promise<Response>} An answer with a status below 400.
 * @throws {ApiError} For every other answer, and for none.
 */
export async function ask(path, { body, signal } = {}) {
  const headers = {};
  if (apiKey()) headers.authorization = `Bearer ${apiKey()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      credentials: "same-origin",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server doesn't answer.");
  }
  if (!response.ok) throw await fault(response);
  return response;
}

/** Ask, and read JSON. */
export async function askJson(path, options) {
  return (await ask(path, options)).json();
}

/**
 * Read the header `server-timing`.
 *
 * @param {Response} response
 * @returns {Object<string, number>} Milliseconds by name.
 */
export function timing(response) {
  const found = {};
  for (const part of (response.headers.get("server-timing") ?? "").split(",")) {
    const match = /^\s*([\w-]+)\s*;.*?dur=([\d.]+)/.exec(part);
    if (match) found[match[1]] = Number(match[2]);
  }
  return found;
}

async function fault(response) {
  let said = {};
  try {
    said = (await response.json()).error ?? {};
  } catch {
    // Something between us and the server answered; its status has to do.
  }
  return new ApiError(response.status, said.code ?? "", said.message ?? `The server answered ${response.status}.`);
}

/**
 * Ask how the server is; that needs no key.
 *
 * @returns {Promise<{status: string, detail: string}>} "unreachable" where nothing answers.
 */
export async function health() {
  try {
    const said = await (await fetch(new URL("health/ready", document.baseURI))).json();
    return { status: said.status ?? "unreachable", detail: said.detail ?? "" };
  } catch {
    return { status: "unreachable", detail: "" };
  }
}
