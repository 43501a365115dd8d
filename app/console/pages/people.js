/** The page People. */

import { texts } from "../texts.js";
import { html } from "../ui.js";

export default function People() {
  return html`<h1>${texts.people.title}</h1>`;
}
