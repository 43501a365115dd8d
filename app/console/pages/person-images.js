/** The enrolled images of a person: which there are, to add some, and to erase one. */

import { call } from "../api.js";
import { Dialog } from "../parts/dialog.js";
import { Refusal, useEnrolment } from "../parts/enrolment.js";
import { PalmInput } from "../parts/palm-input.js";
import { isRefused, isWaiting, MOST_IMAGES, PalmSet, usePalms } from "../parts/palm-set.js";
import { ProblemNotice } from "../parts/problem.js";
import { Scroll } from "../parts/scroll.js";
import { Time } from "../parts/time.js";
import { may } from "../session.js";
import { texts } from "../texts.js";
import { html, useEffect, useState } from "../ui.js";

/**
 * @param {{subject: object, onChange: () => void, onReceipt: (receipt: object) => void}} props
 *   `onChange` is called when images were added or erased
 */
export function Images({ subject, onChange, onReceipt }) {
  const text = texts.people.templates;
  const { templates, problem, load } = useTemplates(subject);
  const [asked, setAsked] = useState(null);
  const [adding, setAdding] = useState(false);
  const changed = () => {
    setAdding(false);
    load();
    onChange();
  };
  return html`<section class="card" aria-labelledby="images">
    <div class="row spread"><h2 id="images">${text.title}</h2>
      ${may("enroll") && !adding && html`<button type="button" onClick=${() => setAdding(true)}>${text.add}</button>`}</div>
    <p class="hint">${text.lead}</p>
    <${ProblemNotice} problem=${problem} />
    ${templates?.length === 0 && html`<p>${subject.origin === "trained" ? text.trained : text.none}</p>`}
    ${templates?.length > 0 && html`<${Scroll} label=${text.title}><table>
      <thead><tr><th>${text.number}</th><th>${text.added}</th><th>${text.nets}</th>
        ${may("erase") && html`<th><span class="visually-hidden">${text.actions}</span></th>`}</tr></thead>
      <tbody>${templates.map((one) => html`<tr key=${one.number}>
        <th scope="row">${one.number}</th><td><${Time} at=${one.added_at} />
          <div class="hint">${[text.captures[one.capture], one.camera].filter(Boolean).join(", ")}</div></td>
        <td>${one.nets.map((net) => html`<div key=${net} title=${net}>${net.split(":")[0]} <span class="hint mono">${net.split(":")[1]?.slice(0, 6)}</span></div>`)}</td>
        ${may("erase") && html`<td><button type="button" class="danger" aria-label=${text.eraseNamed(one.number)}
          onClick=${() => setAsked(one.number)}>${text.erase}</button></td>`}</tr>`)}</tbody>
    </table><//>`}
    ${adding && html`<${Add} subject=${subject} onAdded=${changed} onClose=${() => setAdding(false)} />`}
    ${asked !== null && html`<${EraseOne} id=${subject.subject_id} number=${asked} onClose=${() => setAsked(null)}
      onErased=${(receipt) => {
        setAsked(null);
        onReceipt(receipt);
        changed();
      }} />`}
  </section>`;
}

function Add({ subject, onAdded, onClose }) {
  const text = texts.people.templates;
  const { palms, add, remove } = usePalms();
  const { busy, problem, enrolled, send } = useEnrolment();
  useEffect(() => {
    if (enrolled) onAdded();
  }, [enrolled]);
  const submit = (force) =>
    send({ subject_id: subject.subject_id, add: "true", ...(force && { force: "true" }) }, palms);
  const ready = palms.length > 0 && !palms.some(isWaiting) && !palms.some(isRefused);
  return html`<div class="stack added"><h3>${text.add}</h3>
    <${PalmSet} palms=${palms} onRemove=${remove} problem=${problem} />
    ${palms.length < MOST_IMAGES && html`<${PalmInput} several stay onFiles=${add} disabled=${busy} />`}
    <${Refusal} problem=${problem} onForce=${() => submit(true)} />
    <div class="row"><button type="button" class="primary" disabled=${busy || !ready} onClick=${() => submit(false)}>
      ${busy ? text.adding : text.addThem(palms.length)}</button>
      <button type="button" disabled=${busy} onClick=${onClose}>${text.cancel}</button></div>
  </div>`;
}

function EraseOne({ id, number, onClose, onErased }) {
  const text = texts.people.templates;
  const [{ busy, problem }, setState] = useState({});
  const erase = () => {
    setState({ busy: true });
    call("DELETE", `/v1/subjects/${encodeURIComponent(id)}/templates/${number}`).then(
      ({ body }) => onErased(body), (problem) => setState({ problem }));
  };
  return html`<${Dialog} title=${text.eraseNamed(number)} onClose=${onClose}>
    <p>${text.eraseLead}</p><${ProblemNotice} problem=${problem} />
    <div class="row"><button type="button" class="danger" disabled=${busy} onClick=${erase}>${text.eraseConfirm}</button>
      <button type="button" onClick=${onClose}>${text.cancel}</button></div><//>`;
}

function useTemplates({ subject_id: id, template_counts: counts }) {
  const [state, setState] = useState({ templates: null, problem: null });
  const load = () => call("GET", `/v1/subjects/${encodeURIComponent(id)}/templates`).then(
    ({ body }) => setState({ templates: body.templates, problem: null }),
    (problem) => setState({ templates: null, problem }));
  useEffect(() => {
    load();
  }, [id, JSON.stringify(counts)]);
  return { ...state, load };
}
