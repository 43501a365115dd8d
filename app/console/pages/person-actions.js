/** What is done with a whole person: export, rename, merge, erase. */

import { call } from "../api.js";
import { Dialog } from "../parts/dialog.js";
import { Field } from "../parts/field.js";
import { ProblemNotice } from "../parts/problem.js";
import { may } from "../session.js";
import { texts } from "../texts.js";
import { html, useState } from "../ui.js";

const FORCED = ["urn:palm:problem:palms-unlike", "urn:palm:problem:merge-unchecked"];

/**
 * @param {{subject: object, onReceipt: (receipt: object) => void, onChange: () => void,
 *   onRenamed: (id: string, receipt: object) => void}} props `onReceipt` gets what an erasure
 *   proves, `onChange` is called when the subject has changed, `onRenamed` gets its new id
 */
export function Actions({ subject, onReceipt, onChange, onRenamed }) {
  const text = texts.people.actions;
  const [open, setOpen] = useState(null);
  const trained = subject.origin === "trained";
  const mayMove = may("enroll") && may("erase");
  const path = `/v1/subjects/${encodeURIComponent(subject.subject_id)}`;
  const close = () => setOpen(null);
  const done = (receipt) => {
    close();
    onReceipt(receipt);
    onChange();
  };
  if (!may("export") && !may("erase")) return null;
  const own = { subject, path, onClose: close };
  return html`<section class="card" aria-labelledby="actions"><h2 id="actions">${text.title}</h2>
    <div class="row">
      ${may("export") && html`<${Export} ...${own} />`}
      ${mayMove && !trained && html`<button type="button" onClick=${() => setOpen("rename")}>${text.rename}</button>`}
      ${mayMove && html`<button type="button" onClick=${() => setOpen("merge")}>${text.merge}</button>`}
      ${may("erase") && html`<button type="button" class="danger" onClick=${() => setOpen("erase")}>${text.erase}</button>`}
    </div>
    ${open === "rename" && html`<${Rename} ...${own} onRenamed=${onRenamed} />`}
    ${open === "merge" && html`<${Merge} ...${own} onDone=${done} />`}
    ${open === "erase" && html`<${Erase} ...${own} onErased=${(receipt) => {
      close();
      onReceipt({ ...receipt, of: subject.subject_id });
    }} />`}
  </section>`;
}

/** Sends a request once at a time; returns its state. */
function useSending() {
  const [state, setState] = useState({ busy: false, problem: null });
  const send = (asked, onDone) => {
    setState({ busy: true, problem: null });
    asked().then(({ body }) => onDone(body), (problem) => setState({ busy: false, problem }));
  };
  return { ...state, send };
}

function Export({ subject, path }) {
  const text = texts.people.actions;
  const [{ busy, problem }, setState] = useState({});
  const save = async () => {
    setState({ busy: true });
    try {
      const { body } = await call("GET", `${path}/export`);
      const url = URL.createObjectURL(new Blob([JSON.stringify(body)], { type: "application/json" }));
      Object.assign(document.createElement("a"), { href: url, download: `${subject.subject_id}.json` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      setState({});
    } catch (problem) {
      setState({ problem });
    }
  };
  return html`<button type="button" disabled=${busy} onClick=${save}>${busy ? text.exporting : text.export}</button>
    <${ProblemNotice} problem=${problem} />`;
}

function Form({ title, lead, action, danger = false, ready, busy, onSubmit, onClose, children }) {
  return html`<${Dialog} title=${title} onClose=${onClose}><form class="stack" novalidate onSubmit=${(event) => {
    event.preventDefault();
    onSubmit();
  }}>
    <p>${lead}</p>${children}
    <div class="row"><button class=${danger ? "danger" : "primary"} disabled=${busy || !ready}>${busy ? texts.people.actions.busy : action}</button>
      <button type="button" onClick=${onClose}>${texts.people.actions.cancel}</button></div>
  </form><//>`;
}

function Rename({ subject, path, onClose, onRenamed }) {
  const text = texts.people.actions;
  const [id, setId] = useState(subject.subject_id);
  const { busy, problem, send } = useSending();
  const submit = () => send(
    () => call("POST", `${path}/rename`, { json: { subject_id: id.trim() } }),
    ({ subject: now, receipt }) => onRenamed(now.subject_id, receipt));
  return html`<${Form} title=${text.renameTitle} lead=${text.renameLead} action=${text.renameConfirm} busy=${busy}
      ready=${id.trim() && id.trim() !== subject.subject_id} onSubmit=${submit} onClose=${onClose}>
    <${Field} label=${text.newId} name="subject_id" problem=${problem}>${(own) => html`<input ...${own} value=${id}
      maxlength="64" autocomplete="off" spellcheck="false" onInput=${({ target }) => setId(target.value)} />`}<//>
    <${ProblemNotice} problem=${problem} />
  <//>`;
}

function Merge({ path, onClose, onDone }) {
  const text = texts.people.actions;
  const [other, setOther] = useState("");
  const [force, setForce] = useState(false);
  const { busy, problem, send } = useSending();
  const offered = may("force") && FORCED.includes(problem?.type);
  const submit = () => send(
    () => call("POST", `${path}/merge`, { json: { from: other.trim(), ...(force && { force }) } }),
    ({ receipt }) => onDone(receipt));
  return html`<${Form} title=${text.mergeTitle} lead=${text.mergeLead} action=${text.mergeConfirm} danger busy=${busy}
      ready=${other.trim()} onSubmit=${submit} onClose=${onClose}>
    <${Field} label=${text.other} name="from" problem=${problem}>${(own) => html`<input ...${own} value=${other}
      autocomplete="off" spellcheck="false" onInput=${({ target }) => setOther(target.value)} />`}<//>
    <${ProblemNotice} problem=${problem} />
    ${(offered || force) && html`<label class="check"><input type="checkbox" checked=${force}
      onChange=${({ target }) => setForce(target.checked)} />${text.mergeForce}</label>`}
  <//>`;
}

function Erase({ subject, path, onClose, onErased }) {
  const text = texts.people.actions;
  const trained = subject.origin === "trained";
  const [sure, setSure] = useState(false);
  const { busy, problem, send } = useSending();
  const submit = () => send(() => call("DELETE", path, { query: { confirm: trained ? true : null } }), onErased);
  return html`<${Form} title=${text.eraseTitle(subject.name || subject.subject_id)} lead=${text.eraseLead} danger
      action=${text.eraseConfirm} ready=${!trained || sure} busy=${busy} onSubmit=${submit} onClose=${onClose}>
    ${trained && html`<p>${text.eraseTrained}</p><label class="check"><input type="checkbox" checked=${sure}
      onChange=${({ target }) => setSure(target.checked)} />${text.eraseSure}</label>`}
    <${ProblemNotice} problem=${problem} />
  <//>`;
}
