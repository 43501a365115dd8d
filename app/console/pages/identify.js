/** The page Identify. */

import { texts } from "../texts.js";
import { html } from "../ui.js";

export default function Identify() {
  return html`<h1>${texts.identify.title}</h1>`;
}
