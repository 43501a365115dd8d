/** A labelled field with a hint and what the service says of it. */

import { html, useId } from "../ui.js";
import { FieldError } from "./problem.js";

/**
 * @param {{label: string, name: string, problem?: object, hint?: any, children: (own: object) => any}} props
 *   `children` draws the control with the attributes that it gets
 */
export function Field({ label, name, problem = null, hint = null, children }) {
  const id = useId();
  const invalid = problem?.invalid?.some((one) => one.name === name || one.name.startsWith(`${name}.`));
  const own = {
    id,
    name,
    "aria-invalid": invalid ? "true" : null,
    "aria-describedby": `${id}-error ${hint ? `${id}-hint` : ""}`.trim(),
  };
  return html`<div class="field"><label for=${id}>${label}</label>${children(own)}
    <${FieldError} id=${`${id}-error`} problem=${problem} name=${name} />
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}</div>`;
}
