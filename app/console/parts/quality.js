/** The quality of an image: its score, its components, and what to change. */

import { texts } from "../texts.js";
import { html } from "../ui.js";

const ENOUGH = 50; // the middle of every scale; see app/palm/quality.py

/**
 * @param {{quality: object, reasons?: string[], title?: string}} props `quality` is the service's,
 *   `reasons` what it says is wrong, and `title` which image it is, if there are several
 */
export function QualityView({ quality, reasons = [], title = texts.quality.title }) {
  const text = texts.quality;
  const kind = quality.score >= ENOUGH ? "good" : "warning";
  const components = Object.keys(text.components).filter((name) => quality[name] !== null);
  return html`<div class="quality stack">
    <div class="meter-row">
      <span>${title}</span>
      <meter min="0" max="100" low=${ENOUGH} optimum="100" value=${quality.score}
        aria-label=${title} />
      <span class=${`badge badge-${kind}`}>${text.score(quality.score)}</span>
    </div>
    ${reasons.length > 0 && html`<ul class="reasons">
      ${reasons.map((one) => html`<li>${one}</li>`)}</ul>`}
    <details><summary>${text.details}</summary>
      <dl class="pairs">${components.map((name) => html`
        <div key=${name}><dt>${text.components[name]}</dt>
          <dd>${text.shown[name](quality[name])}</dd></div>`)}
      </dl>
    </details>
  </div>`;
}
