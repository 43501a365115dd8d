/** The answer to an identification, in plain words and in full. */

import { QualityView } from "../parts/quality.js";
import { Scroll } from "../parts/scroll.js";
import { may } from "../session.js";
import { texts } from "../texts.js";
import { html } from "../ui.js";

const SIGNS = { match: "✓", no_match: "–", inconclusive: "?" };

export function NoAnswer() {
  return html`<div class="empty">
    <h2>${texts.identify.nothingYet}</h2><p>${texts.identify.nothingYetAdvice}</p>
  </div>`;
}

/**
 * @param {{answer: object, next: any}} props the answer of POST /v1/identify, and what can be done
 *   then
 */
export function Answer({ answer, next }) {
  const text = texts.identify;
  return html`
    <${Verdict} answer=${answer} />
    ${next}
    ${answer.warnings.map((one) => html`<div class="notice notice-warning">
      <strong>${text.warning}</strong><p>${one}</p></div>`)}
    ${answer.gallery_as_of && html`<div class="notice notice-warning">
      <strong>${text.outage}</strong>
      <p>${text.outageSince(answer.gallery_as_of)}</p></div>`}
    ${answer.quality.map((one, i, all) => html`<${QualityView} key=${i} quality=${one}
      title=${all.length > 1 ? text.qualityOf(i + 1) : texts.quality.title} />`)}
    ${answer.explanation && html`<figure class="explanation">
      <img src=${`data:image/png;base64,${answer.explanation}`} alt=${text.explanationAlt} />
      <figcaption>
        <h2>${text.explanation}</h2><p class="hint">${text.explanationHint}</p>
      </figcaption>
    </figure>`}
    <${Candidates} answer=${answer} />
    <${Votes} nets=${answer.nets} />
    <details><summary>${text.timings}</summary><dl class="pairs">
      ${Object.entries(answer.timings_ms).map(([stage, ms]) => html`<div key=${stage}>
        <dt>${text.stages[stage] ?? stage}</dt><dd>${text.ms(ms)}</dd></div>`)}
    </dl><p class="request-id">${texts.problem.requestId(answer.request_id)}</p></details>`;
}

function Verdict({ answer }) {
  const { decision, identity, confidence, searched } = answer;
  const text = texts.identify;
  const known = identity && (identity.name || identity.subject_id);
  return html`<div class=${`verdict verdict-${decision}`}>
    <span class="sign" aria-hidden="true">${SIGNS[decision]}</span>
    <div>
      <h2>${text.verdicts[decision](known)}</h2>
      ${identity?.name && html`<p><${Id} id=${identity.subject_id} />${text.about(identity)}</p>`}
      <p>${text.sure(decision, confidence, searched)}</p>
    </div>
  </div>`;
}

/** A subject's id, which leads to the subject where the key may read. */
function Id({ id }) {
  if (!may("read")) return html`<code>${id}</code>`;
  return html`<a href=${`#/people/${encodeURIComponent(id)}`}><code>${id}</code></a>`;
}

function Candidates({ answer }) {
  const text = texts.identify;
  if (answer.candidates.length === 0) return html`<p class="lead">${text.noCandidates}</p>`;
  return html`<${Scroll} label=${text.candidates}><table>
    <caption>${text.candidates}</caption>
    <thead><tr><th>${text.subject}</th><th class="number">${text.confidence}</th>
      <th class="number">${text.score}</th></tr></thead>
    <tbody>${answer.candidates.map((one) => html`<tr key=${one.subject_id}>
      <th scope="row"><${Id} id=${one.subject_id} /></th>
      <td class="number">${text.percent(one.confidence)}</td>
      <td class="number">${text.number(one.score)}</td></tr>`)}</tbody>
  </table><//>
  <p class="hint">${text.thresholdHint(answer.threshold)}</p>`;
}

function Votes({ nets }) {
  const text = texts.identify;
  return html`<${Scroll} label=${text.votes}><table>
    <caption>${text.votes}</caption>
    <thead><tr><th>${text.net}</th><th>${text.says}</th><th class="number">${text.confidence}</th>
      <th class="number">${text.scoreOfNeeded}</th></tr></thead>
    <tbody>${nets.map((vote) => html`<tr key=${vote.net}>
      <th scope="row">${vote.net} <span class="hint">${vote.version}</span></th>
      <td>${text.vote(vote)}</td>
      <td class="number">${text.percent(vote.confidence)}</td>
      <td class="number">${text.scoreAndNeeded(vote)}</td>
    </tr>`)}</tbody>
  </table><//>`;
}
