/** API keys: list, create, revoke. */

import { call } from "../api.js";
import { Dialog } from "../parts/dialog.js";
import { FieldError, ProblemNotice } from "../parts/problem.js";
import { language, texts } from "../texts.js";
import { html, useEffect, useState } from "../ui.js";

const said = texts.operate.keys;
const SCOPES = Object.keys(said.scopes);
const shown = (time) => new Date(time).toLocaleString(language);
const works = (key) => !key.expires_at || new Date(key.expires_at) > new Date();

function Created({ apiKey, onClose }) {
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard.writeText(apiKey).then(() => setCopied(true), () => {});
  return html`<${Dialog} title=${said.created} onClose=${onClose}>
    <p>${said.once}</p><p><code class="operate-key">${apiKey}</code></p>
    <div class="row"><button class="primary" onClick=${copy}>${copied ? said.copied : said.copy}</button>
      <button onClick=${onClose}>${said.close}</button></div><//>`;
}

function Create({ onCreated, onClose }) {
  const [problem, setProblem] = useState(null);
  async function submit(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const until = form.get("expires_at");
    const collections = form.get("collections").split(/[\s,]+/).filter(Boolean);
    const json = {
      name: form.get("name"),
      scopes: form.getAll("scopes"),
      ...(until && { expires_at: new Date(until).toISOString() }),
      ...(collections.length && { collections }),
    };
    await call("POST", "/v1/keys", { json }).then(({ body }) => onCreated(body.api_key), setProblem);
  }
  const field = (name, label, type, hint) => html`<div class="field">
    <label for=${`new-key-${name}`}>${label}</label>
    <input id=${`new-key-${name}`} name=${name} type=${type} autocomplete="off" aria-describedby=${`new-key-${name}-error`} />
    ${hint && html`<p class="hint">${hint}</p>`}
    <${FieldError} problem=${problem} name=${name} id=${`new-key-${name}-error`} /></div>`;
  return html`<${Dialog} title=${said.create} onClose=${onClose}>
    <form class="stack" onSubmit=${submit} novalidate>
      ${field("name", said.name, "text", said.nameHint)}
      <fieldset class="field"><legend>${said.may}</legend>
        ${SCOPES.map((scope) => html`<label class="check" key=${scope}>
          <input type="checkbox" name="scopes" value=${scope} />
          <span><strong>${scope}</strong>: ${said.scopes[scope]}</span></label>`)}
        <${FieldError} problem=${problem} name="scopes" /></fieldset>
      ${field("expires_at", said.expires, "datetime-local", said.expiresHint)}
      ${field("collections", said.collections, "text", said.collectionsHint)}
      ${problem && !problem.invalid.length && html`<${ProblemNotice} problem=${problem} />`}
      <div class="row"><button class="primary">${said.create}</button>
        <button type="button" onClick=${onClose}>${said.cancel}</button></div>
    </form><//>`;
}

function Revoke({ one, onDone, onClose }) {
  const [problem, setProblem] = useState(null);
  const revoke = () => call("DELETE", `/v1/keys/${one.key_id}`).then(onDone, setProblem);
  return html`<${Dialog} title=${said.revokeTitle(one.name)} onClose=${onClose}>
    <p>${said.revokeLead}</p><${ProblemNotice} problem=${problem} />
    <div class="row"><button class="danger" onClick=${revoke}>${said.revoke}</button>
      <button onClick=${onClose}>${said.cancel}</button></div><//>`;
}

function Row({ one, onRevoke }) {
  return html`<tr><th scope="row">${one.name}<br /><span class="mono hint">${one.key_id}</span></th>
    <td>${one.scopes.join(", ")}${one.collections && html`<br /><span class="hint">${said.only(one.collections.join(", "))}</span>`}</td>
    <td>${one.expires_at ? shown(one.expires_at) : said.never}</td>
    <td>${works(one)
      ? html`<button class="danger" onClick=${onRevoke} aria-label=${said.revokeLabel(one.name, one.key_id)}>${said.revoke}</button>`
      : html`<span class="badge">${said.ended}</span>`}</td></tr>`;
}

export default function Keys() {
  const [state, setState] = useState({ keys: [], problem: null });
  const [open, setOpen] = useState(null);
  const load = () =>
    call("GET", "/v1/keys").then(
      ({ body }) => setState({ keys: body.keys, problem: null }),
      (problem) => setState((known) => ({ ...known, problem })),
    );
  const close = () => setOpen(null);
  const done = (next) => {
    setOpen(next);
    load();
  };
  useEffect(() => {
    load();
  }, []);
  return html`<section class="card" aria-labelledby="operate-keys">
    <div class="row spread"><h2 id="operate-keys">${said.title}</h2>
      <button onClick=${() => setOpen({ create: true })}>${said.new}</button></div>
    <${ProblemNotice} problem=${state.problem} />
    ${state.keys.length === 0 && html`<p class="hint">${said.none}</p>`}
    ${state.keys.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label=${said.title}><table>
      <thead><tr>${said.columns.map((one) => html`<th key=${one} scope="col">${one}</th>`)}</tr></thead>
      <tbody>${state.keys.map((one) => html`<${Row} key=${one.key_id} one=${one}
        onRevoke=${() => setOpen({ revoke: one })} />`)}</tbody></table></div>`}
    ${open?.create && html`<${Create} onClose=${close} onCreated=${(apiKey) => done({ apiKey })} />`}
    ${open?.apiKey && html`<${Created} apiKey=${open.apiKey} onClose=${close} />`}
    ${open?.revoke && html`<${Revoke} one=${open.revoke} onClose=${close} onDone=${() => done(null)} />`}
  </section>`;
}
