/** The page Operate. */

import { texts } from "../texts.js";
import { html } from "../ui.js";

export default function Operate() {
  return html`<h1>${texts.operate.title}</h1>`;
}
