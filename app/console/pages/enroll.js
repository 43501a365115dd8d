/** The page Enroll. */

import { texts } from "../texts.js";
import { html } from "../ui.js";

export default function Enroll() {
  return html`<h1>${texts.enroll.title}</h1>`;
}
