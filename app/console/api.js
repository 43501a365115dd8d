/** The one place from which requests are sent. */

import { end, keyInUse } from "./session.js";
import { texts } from "./texts.js";

/** The service's own address, also behind a proxy that puts it under a path. */
const BASE = new URL("..", import.meta.url);

/** An error as the service tells it (RFC 9457), or one of the network, with status 0. */
export class Problem extends Error {
  /** @param {object} told the fields of application/problem+json */
  constructor(told, retryAfterS = null) {
    super(told.detail);
    this.status = told.status ?? 0;
    this.type = told.type ?? "about:blank";
    this.title = told.title ?? "";
    this.detail = told.detail ?? "";
    this.requestId = told.request_id ?? "";
    /** The refused fields: images, or images.0.sharpness for a component of an image's quality. */
    this.invalid = (told.errors ?? []).map((one) => ({ name: one.field, reason: one.message }));
    /** Seconds after which the service asks to try again; null if it does not say. */
    this.retryAfterS = retryAfterS;
  }
}

/**
 * Sends a request and returns its answer.
 *
 * @param {string} method such as "GET"
 * @param {string} path such as "/v1/subjects"; write ids in it with encodeURIComponent
 * @param {{json?: unknown, form?: FormData, query?: Record<string, unknown>,
 *   headers?: Record<string, string>, signal?: AbortSignal, key?: string}} options
 *   Values of `query` that are null, undefined or "" are left out; a list is sent item by item.
 *   `key` is used instead of the session's.
 * @returns {Promise<{body: any, headers: Headers, status: number}>} `body` is the parsed JSON, the
 *   text of another answer, or null.
 * @throws {Problem} if the service refuses, or cannot be reached
 */
export async function call(method, path, options = {}) {
  const answer = await send(method, path, options);
  const kind = answer.headers.get("content-type") ?? "";
  const text = await reading(answer.text());
  const body = kind.includes("json") && text ? JSON.parse(text) : text || null;
  return { body, headers: answer.headers, status: answer.status };
}

/** Sends a request and yields its answer line by line (application/x-ndjson), each parsed. */
export async function* lines(method, path, options = {}) {
  const answer = await send(method, path, options);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reading(reader.read());
    const parts = (rest + (value ?? "")).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
    if (done) return;
  }
}

async function send(method, path, { json, form, query, headers = {}, signal, key }) {
  const token = key ?? keyInUse();
  const sent = {
    ...(token && { Authorization: `Bearer ${token}` }),
    ...(json !== undefined && { "Content-Type": "application/json" }),
    ...headers,
  };
  const body = json === undefined ? form : JSON.stringify(json);
  const request = { method, headers: sent, body, signal, cache: "no-store", credentials: "omit" };
  const answer = await reading(fetch(address(path, query), request));
  if (answer.ok) return answer;
  const problem = await problemOf(answer);
  if (problem.status === 401 && key === undefined) end(problem);
  throw problem;
}

function address(path, query = {}) {
  const url = new URL(path.replace(/^\//, ""), BASE);
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "") url.searchParams.append(name, one);
    }
  }
  return url;
}

/** Waits for the network; only an abort stays what it is. */
async function reading(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: texts.api.unreachable, detail: texts.api.unreachableDetail });
  }
}

async function problemOf(answer) {
  const text = await answer.text().catch(() => "");
  const after = Number.parseInt(answer.headers.get("retry-after") ?? "", 10);
  const retryAfterS = Number.isNaN(after) ? null : after;
  try {
    return new Problem({ status: answer.status, ...JSON.parse(text) }, retryAfterS);
  } catch {
    // Not the service's own answer, but that of a proxy before it.
    const title = `${answer.status} ${answer.statusText}`.trim();
    return new Problem({ status: answer.status, title, detail: texts.api.foreign }, retryAfterS);
  }
}
