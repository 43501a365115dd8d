/** A time in the reader's language and time zone. */

import { language } from "../texts.js";
import { html } from "../ui.js";

/** @param {{at: ?string, day?: boolean}} props `at` is an ISO time; `day` leaves the hours out */
export function Time({ at, day = false }) {
  if (!at) return "–";
  const style = day ? { dateStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" };
  return html`<time datetime=${at} title=${at}>${new Intl.DateTimeFormat(language, style).format(new Date(at))}</time>`;
}
