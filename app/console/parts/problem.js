/** Problems, in the service's own words. */

import { texts } from "../texts.js";
import { html } from "../ui.js";

/**
 * Shows a problem: its title, its detail, when to try again, and the request's id.
 * @param {{problem: ?import("../api.js").Problem}} props nothing is shown for null
 */
export function ProblemNotice({ problem }) {
  if (!problem) return null;
  const { title, detail, message, retryAfterS, requestId } = problem;
  return html`
    <div class="notice notice-error" role="alert">
      <strong>${title || message}</strong>
      ${detail && html`<p>${detail}</p>`}
      ${retryAfterS !== null && retryAfterS !== undefined &&
      html`<p>${texts.problem.retryAfter(retryAfterS)}</p>`}
      ${requestId && html`<p class="request-id">${texts.problem.requestId(requestId)}</p>`}
    </div>`;
}

/**
 * Shows what a problem says about one field, to stand beside it.
 * @param {{problem: ?import("../api.js").Problem, name: string, id?: string}} props `name` is the
 *   field's, as the service calls it; `id` lets the field's aria-describedby refer to it
 */
export function FieldError({ problem, name, id }) {
  const reasons = (problem?.invalid ?? []).filter(
    (one) => one.name === name || one.name.startsWith(`${name}.`),
  );
  return html`<div id=${id} class="field-errors" aria-live="polite">
    ${reasons.map((one) => html`<p class="field-error" key=${one.name}>${one.reason}</p>`)}
  </div>`;
}
