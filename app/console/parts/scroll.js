/** A wide table that scrolls by itself, also with the keyboard, so that the page need not. */

import { html } from "../ui.js";

/** @param {{label: string, children: any}} props `label` names what scrolls */
export function Scroll({ label, children }) {
  return html`<div class="scroll" role="region" tabindex="0" aria-label=${label}>${children}</div>`;
}
