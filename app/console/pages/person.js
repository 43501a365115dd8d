/** The page of one person: what is known, and what can be done. */

import { call } from "../api.js";
import { ProblemNotice } from "../parts/problem.js";
import { ReceiptView } from "../parts/receipt.js";
import { Time } from "../parts/time.js";
import { may } from "../session.js";
import { texts } from "../texts.js";
import { html, useEffect, useState } from "../ui.js";
import { Actions } from "./person-actions.js";
import { Edit } from "./person-edit.js";
import { Images } from "./person-images.js";

/** The receipt of a former id, which the page of the new id shows. */
let moved = null;

/** Remembers a receipt for the page that the address leads to next. */
function showAt(id, receipt) {
  moved = { id, receipt };
  location.hash = `#/people/${encodeURIComponent(id)}`;
}

export function Person({ id }) {
  const text = texts.people;
  const { subject, etag, problem, load, take } = useSubject(id);
  const [receipt, setReceipt] = useState(() => (moved?.id === id ? moved.receipt : null));
  useEffect(() => {
    moved = null;
  }, []);
  const back = html`<p><a href="#/people">${text.back}</a></p>`;
  if (receipt?.erased === "subject" && receipt.of === id) {
    return html`${back}<h1>${text.erased(id)}</h1><section class="card"><${ReceiptView} receipt=${receipt} /></section>`;
  }
  if (!subject) {
    return html`${back}<h1>${id}</h1><${ProblemNotice} problem=${problem} />
      ${!problem && html`<p class="busy" role="status">${text.busy}</p>`}`;
  }
  return html`${back}
    <div class="person-title"><h1 dir="auto" class="long" title=${subject.name}>${subject.name || subject.subject_id}</h1>
      <p class="row"><code>${subject.subject_id}</code>
        <span class="badge">${text.origins[subject.origin]}</span></p></div>
    ${receipt && html`<section class="card" aria-label=${text.receipt.title}><h2>${text.receipt.title}</h2>
      <${ReceiptView} key=${receipt.erasure_id} receipt=${receipt} /></section>`}
    <div class="person">
      <div class="stack">
        <${Facts} subject=${subject} />
        ${may("enroll") && html`<${Edit} subject=${subject} etag=${etag} onSaved=${take} load=${load} />`}
      </div>
      <div class="stack">
        <${Images} subject=${subject} onChange=${load} onReceipt=${setReceipt} />
        <${Actions} subject=${subject} onReceipt=${setReceipt} onChange=${load} onRenamed=${showAt} />
      </div>
    </div>`;
}

function Facts({ subject }) {
  const text = texts.people;
  const fields = texts.subject;
  const fact = (name, value) => html`<div><dt>${name}</dt><dd dir="auto">${value || "–"}</dd></div>`;
  return html`<section class="card" aria-labelledby="facts"><h2 id="facts">${text.facts}</h2>
    <dl class="facts">
      ${fact(fields.name, subject.name)}
      ${fact(fields.hand, subject.hand && fields.hands[subject.hand])}
      ${fact(fields.collection, subject.collection)}
      ${fact(fields.consent, subject.consent)}
      ${fact(text.added, html`<${Time} at=${subject.created_at} />`)}
      ${fact(fields.retain_until, subject.retain_until ? html`<${Time} at=${subject.retain_until} />` : text.withoutEnd)}
      ${Object.entries(subject.metadata).map(([key, value]) => fact(key, value))}
    </dl></section>`;
}

function useSubject(id) {
  const [state, setState] = useState({ subject: null, etag: null, problem: null });
  const take = ({ body, headers }) => setState({ subject: body, etag: headers.get("etag"), problem: null });
  const load = async () => {
    try {
      const answer = await call("GET", `/v1/subjects/${encodeURIComponent(id)}`);
      take(answer);
      return answer.body;
    } catch (problem) {
      setState((now) => ({ ...now, problem }));
      return null;
    }
  };
  useEffect(() => {
    load();
  }, [id]);
  return { ...state, load, take };
}
