/** The audit log, page by page. It is asked for by hand: reading it is audited itself. */

import { call } from "../api.js";
import { FieldError, ProblemNotice } from "../parts/problem.js";
import { language, texts } from "../texts.js";
import { html, useState } from "../ui.js";

const said = texts.operate.audit;
const LIMIT = 50;

function Line({ line }) {
  const what = line.route ? `${line.method} ${line.route}` : line.action;
  return html`<tr><td class="number">${line.number}</td>
    <td>${new Date(line.time).toLocaleString(language)}</td>
    <td>${line.caller}${line.address && html`<br /><span class="hint">${line.address}</span>`}</td>
    <td>${what}</td><td>${[line.phase, line.status, line.decision].filter(Boolean).join(" · ")}</td>
    <td class="mono">${line.subject ?? line.key}</td></tr>`;
}

export default function Audit() {
  const [state, setState] = useState({ lines: null, next: null, unreadable: 0, problem: null });
  const [filters, setFilters] = useState({});
  const load = async (wanted, before) => {
    const query = { ...wanted, limit: LIMIT, before };
    await call("GET", "/v1/audit", { query }).then(
      ({ body }) => setState((known) => ({
        lines: before ? [...known.lines, ...body.lines] : body.lines,
        next: body.next,
        unreadable: body.unreadable + (before ? known.unreadable : 0),
        problem: null,
      })),
      (problem) => setState((known) => ({ ...known, problem })),
    );
  };
  const submit = (event) => {
    event.preventDefault();
    const wanted = Object.fromEntries(new FormData(event.target));
    setFilters(wanted);
    load(wanted);
  };
  return html`<section class="card" aria-labelledby="operate-audit"><h2 id="operate-audit">${said.title}</h2>
    <p class="lead">${said.lead}</p>
    <form class="operate-filters" onSubmit=${submit} novalidate>
      <div class="field"><label for="audit-route">${said.route}</label>
        <input id="audit-route" name="route" autocomplete="off" placeholder="/v1/identify" />
        <${FieldError} problem=${state.problem} name="route" /></div>
      <div class="field"><label for="audit-outcome">${said.outcome}</label>
        <select id="audit-outcome" name="outcome">${Object.entries(said.outcomes).map(([value, name]) =>
          html`<option key=${value} value=${value}>${name}</option>`)}</select>
        <${FieldError} problem=${state.problem} name="outcome" /></div>
      <div class="field"><label for="audit-subject">${said.subject}</label>
        <input id="audit-subject" name="subject" autocomplete="off" />
        <${FieldError} problem=${state.problem} name="subject" /></div>
      <button>${state.lines ? said.again : said.show}</button>
    </form>
    ${state.problem && !state.problem.invalid?.length && html`<${ProblemNotice} problem=${state.problem} />`}
    ${state.unreadable > 0 && html`<p class="notice notice-warning">${said.unreadable(state.unreadable)}</p>`}
    ${state.lines?.length === 0 && html`<p class="hint">${said.none}</p>`}
    ${state.lines?.length > 0 && html`<div class="scroll operate-log" tabindex="0" role="region" aria-label=${said.title}><table>
      <thead><tr>${said.columns.map((one, at) => html`<th key=${one} scope="col" class=${at ? "" : "number"}>${one}</th>`)}</tr></thead>
      <tbody>${state.lines.map((line) => html`<${Line} key=${line.number} line=${line} />`)}</tbody></table></div>`}
    ${state.lines && state.next && html`<div class="row"><button onClick=${() => load(filters, state.next)}>${said.older}</button></div>`}
    <p class="hint">${said.verify} <code>python -m app audit verify</code></p></section>`;
}
