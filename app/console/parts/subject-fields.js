/** The fields that tell about a subject, to be enrolled or changed. */

import { may } from "../session.js";
import { texts } from "../texts.js";
import { html } from "../ui.js";
import { Field } from "./field.js";
import { useCollections } from "./search-options.js";

const FOLDED = ["collection", "camera", "retain_until", "metadata"];

/** Returns a subject as the fields show it. */
export function draftOf({ name, hand, collection, consent, retain_until, metadata } = {}) {
  return {
    name: name ?? "",
    hand: hand ?? "",
    collection: collection ?? "",
    consent: consent ?? "",
    retain_until: retain_until ? dayOf(new Date(retain_until)) : "",
    metadata: Object.entries(metadata ?? {}).map(([key, value]) => `${key}: ${value}`).join("\n"),
  };
}

function dayOf(at) {
  const two = (number) => `${number}`.padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** Returns the fields as the service takes them in JSON; null for those that are empty. */
export function valuesOf(draft) {
  const trimmed = Object.entries(draft).map(([name, value]) => [name, value.trim() || null]);
  const values = Object.fromEntries(trimmed);
  if (values.retain_until) values.retain_until = new Date(`${values.retain_until}T00:00`).toISOString();
  if (values.metadata) values.metadata = pairsOf(values.metadata);
  return values;
}

function pairsOf(lines) {
  const pairs = lines.split("\n").filter((line) => line.trim()).map((line) => {
    const at = line.indexOf(":");
    if (at < 1) throw { title: texts.subject.metadata, invalid: [{ name: "metadata", reason: texts.subject.metadataWrong(line.trim()) }] };
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  });
  return Object.fromEntries(pairs);
}

/**
 * @param {{draft: object, onChange: (draft: object) => void, problem: ?object, known?: boolean,
 *   trained?: boolean}} props `known` if the subject exists already
 */
export function SubjectFields({ draft, onChange, problem, known = false, trained = false }) {
  const text = texts.subject;
  const names = useCollections();
  const change = (name) => ({ target }) => onChange({ ...draft, [name]: target.value });
  const line = (name, more = {}) => html`<${Field} label=${text[name]} name=${name} problem=${problem}
    hint=${text.hints[name]}>${(own) => html`<input ...${own} ...${more} value=${draft[name]}
      autocomplete="off" dir="auto" onInput=${change(name)} />`}<//>`;
  const named = (problem?.invalid ?? []).some((one) => FOLDED.includes(one.name.split(".")[0]));
  return html`
    ${line("name")}
    <${Field} label=${text.hand} name="hand" problem=${problem}>${(own) => html`
      <select ...${own} value=${draft.hand} onChange=${change("hand")}>
        ${["", "left", "right"].map((one) => html`<option key=${one} value=${one}>${text.hands[one]}</option>`)}
      </select>`}<//>
    ${line("consent")}
    <details class="options" open=${named || null}><summary>${text.more}</summary><div class="stack">
      ${line("collection", { list: "collections", spellcheck: false })}
      <datalist id="collections">${names.map((one) => html`<option key=${one} value=${one} />`)}</datalist>
      ${!known && line("camera", { spellcheck: false })}
      ${!trained && (!known || may("erase")) && line("retain_until", { type: "date", dir: null })}
      <${Field} label=${text.metadata} name="metadata" problem=${problem} hint=${text.hints.metadata}>
        ${(own) => html`<textarea ...${own} rows="3" value=${draft.metadata} dir="auto" onInput=${change("metadata")} />`}<//>
    </div></details>`;
}
