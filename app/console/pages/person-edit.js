/** Changes what is known of a person, unless somebody else has changed it meanwhile. */

import { call } from "../api.js";
import { ProblemNotice } from "../parts/problem.js";
import { draftOf, SubjectFields, valuesOf } from "../parts/subject-fields.js";
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../ui.js";

/**
 * @param {{subject: object, etag: string, onSaved: (answer: object) => void,
 *   load: () => Promise<object>}} props `load` reads the subject again
 */
export function Edit({ subject, etag, onSaved, load }) {
  const text = texts.people.edit;
  const [open, setOpen] = useState(false);
  const [draft, setDraft] = useState(null);
  const [{ busy, problem, conflict }, setState] = useState({});
  const [saved, setSaved] = useState(false);
  const form = useRef(null);
  useEffect(() => {
    form.current?.querySelector(open ? '[aria-invalid="true"], input' : "none")?.focus();
  }, [open, problem]);
  const begin = () => {
    setDraft(draftOf(subject));
    setState({});
    setSaved(false);
    setOpen(true);
  };
  if (!open) {
    return html`<div class="row"><button type="button" onClick=${begin}>${text.open}</button>
      <span role="status">${saved && html`<span class="badge badge-good">${text.saved}</span>`}</span></div>`;
  }
  const before = draftOf(subject);
  const changed = Object.keys(before).filter((name) => draft[name] !== before[name]);

  async function save() {
    setState({ busy: true });
    try {
      const values = valuesOf(draft);
      const json = Object.fromEntries(changed.map((name) => [name, values[name]]));
      const path = `/v1/subjects/${encodeURIComponent(subject.subject_id)}`;
      onSaved(await call("PATCH", path, { json, headers: { "If-Match": etag } }));
      setState({});
      setSaved(true);
      setOpen(false);
    } catch (problem) {
      if (problem.status === 412) setState({ conflict: await merge(), problem });
      else setState({ problem });
    }
  }

  /** Reads what another editor wrote, keeps what this one typed, and returns what differs. */
  async function merge() {
    const now = await load();
    if (!now) return [];
    const theirs = draftOf(now);
    setDraft({ ...theirs, ...Object.fromEntries(changed.map((name) => [name, draft[name]])) });
    return Object.keys(before).filter((name) => theirs[name] !== before[name])
      .map((name) => [name, name === "hand" ? texts.subject.hands[theirs.hand] : theirs[name]]);
  }

  return html`<form class="card" ref=${form} novalidate aria-labelledby="edit" onSubmit=${(event) => {
    event.preventDefault();
    save();
  }}>
    <h2 id="edit">${text.title}</h2>
    <${SubjectFields} draft=${draft} onChange=${setDraft} problem=${problem} known trained=${subject.origin === "trained"} />
    ${conflict
      ? html`<div class="notice notice-warning" role="alert"><strong>${text.conflict}</strong>
          ${conflict.map(([name, value]) => html`<p key=${name}>${text.theirs(texts.subject[name], value)}</p>`)}
          <p>${text.conflictAdvice}</p></div>`
      : html`<${ProblemNotice} problem=${problem} />`}
    <div class="row"><button class="primary" disabled=${busy || changed.length === 0}>${busy ? text.busy : text.save}</button>
      <button type="button" onClick=${() => setOpen(false)}>${text.cancel}</button></div>
  </form>`;
}
