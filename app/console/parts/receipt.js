/** The receipt of an erasure: what was erased, and from where. */

import { call } from "../api.js";
import { texts } from "../texts.js";
import { html, useState } from "../ui.js";
import { Download } from "./download.js";
import { ProblemNotice } from "./problem.js";
import { Time } from "./time.js";

const MEDIA = ["database", "log", "index", "memory"];

export function isDone(receipt) {
  return MEDIA.every((one) => receipt[one] === "done");
}

/** @param {{receipt: object}} props the service's `Receipt` */
export function ReceiptView({ receipt: first }) {
  const text = texts.people.receipt;
  const [receipt, setReceipt] = useState(first);
  const [problem, setProblem] = useState(null);
  const done = isDone(receipt);
  const look = () => {
    setProblem(null);
    call("GET", `/v1/erasures/${receipt.erasure_id}`).then(({ body }) => setReceipt(body), setProblem);
  };
  return html`<div class="stack receipt" role="status">
    <div class=${`notice notice-${done ? "good" : "warning"}`}>
      <strong>${done ? text.done : text.pending}</strong>
      <p>${done ? text.doneLead : text.pendingLead}</p></div>
    <dl class="facts">
      <div><dt>${text.erased}</dt><dd>${text.kinds[receipt.erased]}</dd></div>
      <div><dt>${text.at}</dt><dd><${Time} at=${receipt.erased_at} /></dd></div>
      <div><dt>${text.id}</dt><dd><code>${receipt.erasure_id}</code></dd></div>
      <div><dt>${text.pseudonym}</dt><dd><code>${receipt.pseudonym}</code></dd></div>
      ${MEDIA.map((one) => html`<div key=${one}><dt>${text.media[one]}</dt>
        <dd><span class=${`badge badge-${receipt[one] === "done" ? "good" : "warning"}`}>
          ${text.states[receipt[one]]}</span></dd></div>`)}
    </dl>
    <div class="row"><${Download} name=${`receipt-${receipt.erasure_id}.json`} type="application/json"
        content=${JSON.stringify(receipt, null, 2)}>${text.download}<//>
      ${!done && html`<button type="button" onClick=${look}>${text.again}</button>`}</div>
    <${ProblemNotice} problem=${problem} />
  </div>`;
}
