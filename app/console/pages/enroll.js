/** The page Enroll: one person, or a folder of people. */

import { Field } from "../parts/field.js";
import { Refusal, useEnrolment, useKnown } from "../parts/enrolment.js";
import { PalmInput } from "../parts/palm-input.js";
import { isRefused, isWaiting, MOST_IMAGES, PalmSet, usePalms } from "../parts/palm-set.js";
import { randomHex } from "../parts/random.js";
import { draftOf, SubjectFields, valuesOf } from "../parts/subject-fields.js";
import { may } from "../session.js";
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../ui.js";
import { Import } from "./enroll-import.js";

const ENOUGH = 3; // images, as docs/operation.md advises

export default function Enroll() {
  const [mode, setMode] = useState("one");
  const text = texts.enroll;
  const choice = (name) => html`<label><input type="radio" name="enroll-mode" checked=${mode === name}
    onChange=${() => setMode(name)} />${text.modes[name]}</label>`;
  return html`
    <div class="row spread"><h1>${text.title}</h1>
      <fieldset class="segments"><legend class="visually-hidden">${text.what}</legend>
        ${choice("one")}${choice("folder")}</fieldset></div>
    ${mode === "one" ? html`<${OnePerson} />` : html`<${Import} />`}`;
}

function OnePerson() {
  const text = texts.enroll;
  const empty = () => ({ subject_id: "", camera: "", ...draftOf() });
  const [draft, setDraft] = useState(empty);
  const { palms, add, remove, clear } = usePalms();
  const { busy, problem, enrolled, send, refuse, reset } = useEnrolment();
  const form = useRef(null);
  const ready = palms.length > 0 && !palms.some(isWaiting) && !palms.some(isRefused);
  const known = useKnown(palms.map(({ file }) => file), ready && !enrolled);
  useEffect(() => {
    if (problem) form.current?.querySelector('[aria-invalid="true"]')?.focus();
  }, [problem]);

  const submit = (force) => {
    const refused = palms.findIndex(isRefused) + 1;
    const missing = [
      !draft.subject_id.trim() && { name: "subject_id", reason: text.idMissing },
      palms.length === 0 && { name: "images", reason: text.imagesMissing },
      refused > 0 && { name: "images", reason: text.imageRefused(refused) },
    ].filter(Boolean);
    if (missing.length) {
      refuse({ title: text.incomplete, invalid: missing, detail: missing.map(({ reason }) => reason).join(" ") });
      return;
    }
    try {
      send({ ...valuesOf(draft), ...(force && { force: "true" }) }, palms);
    } catch (wrong) {
      refuse(wrong);
    }
  };
  const another = () => {
    clear();
    setDraft(empty());
    reset();
  };
  if (enrolled) return html`<${Done} enrolled=${enrolled} onAnother=${another} />`;
  const change = ({ target }) => setDraft({ ...draft, subject_id: target.value });
  return html`<form class="enroll" ref=${form} novalidate onSubmit=${(event) => {
    event.preventDefault();
    submit(false);
  }}>
    <section class="card" aria-labelledby="enroll-images">
      <div class="row spread"><h2 id="enroll-images">${text.images}</h2>
        <span class="badge">${text.counted(palms.length)}</span></div>
      <p class="lead">${text.imagesLead}</p>
      <${PalmSet} palms=${palms} onRemove=${remove} problem=${problem} />
      ${palms.length < MOST_IMAGES && html`<${PalmInput} several stay onFiles=${add} disabled=${busy} />`}
      ${!may("inspect") && html`<p class="hint">${text.notInspected}</p>`}
    </section>
    <section class="card" aria-labelledby="enroll-person">
      <h2 id="enroll-person">${text.person}</h2>
      <${Field} label=${text.id} name="subject_id" problem=${problem} hint=${text.idHint}>${(own) => html`
        <div class="with-button"><input ...${own} value=${draft.subject_id} autocomplete="off" spellcheck="false"
          autocapitalize="off" maxlength="64" required onInput=${change} />
        <button type="button" onClick=${() => setDraft({ ...draft, subject_id: `p-${randomHex(5)}` })}>${text.make}</button></div>`}<//>
      <${SubjectFields} draft=${draft} onChange=${setDraft} problem=${problem} />
      <div aria-live="polite" class="stack">
        ${known && html`<div class="notice notice-warning"><strong>${text.known(known.name || known.subject_id)}</strong>
          <p>${text.knownAdvice}</p>
          ${may("read") && html`<p><a href=${`#/people/${encodeURIComponent(known.subject_id)}`}>${text.openKnown(known.subject_id)}</a></p>`}
        </div>`}
        ${ready && !known && palms.length < ENOUGH && html`<p class="hint">${text.few(ENOUGH)}</p>`}
      </div>
      <${Refusal} problem=${problem} onForce=${() => submit(true)} />
      <div class="row"><button class="primary" disabled=${busy || palms.some(isWaiting)}>
        ${busy ? text.busy : palms.some(isWaiting) ? text.looking : text.submit}</button>
        ${palms.length > 0 && html`<button type="button" class="quiet" disabled=${busy} onClick=${another}>${text.restart}</button>`}</div>
    </section>
  </form>`;
}

function Done({ enrolled, onAnother }) {
  const text = texts.enroll;
  const heading = useRef(null);
  useEffect(() => heading.current.focus(), []);
  const { subject, warnings } = enrolled;
  return html`<section class="card enrolled" role="status">
    <div class="verdict verdict-match"><span class="sign" aria-hidden="true">✓</span>
      <div><h2 tabindex="-1" ref=${heading} dir="auto">${text.done(subject.name || subject.subject_id)}</h2>
        <p>${text.doneLead}</p></div></div>
    <p><code>${subject.subject_id}</code></p>
    ${warnings?.map((one) => html`<p class="notice notice-warning">${one}</p>`)}
    <div class="row"><button type="button" class="primary" onClick=${onAnother}>${text.another}</button>
      ${may("read") && html`<a class="button" href=${`#/people/${encodeURIComponent(subject.subject_id)}`}>${text.open}</a>`}</div>
  </section>`;
}
