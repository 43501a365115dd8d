/** The page People: who is in the gallery, and the page of one of them. */

import { call } from "../api.js";
import { ProblemNotice } from "../parts/problem.js";
import { Scroll } from "../parts/scroll.js";
import { useCollections } from "../parts/search-options.js";
import { Time } from "../parts/time.js";
import { may } from "../session.js";
import { texts } from "../texts.js";
import { html, useEffect, useState } from "../ui.js";
import { Person } from "./person.js";

const ON_A_PAGE = 50;
const TYPING_MS = 250;
const NOTHING = { text: "", origin: "", collection: "" };

export default function People({ args: [id] }) {
  const [search, setSearch] = useState(NOTHING);
  const [starts, setStarts] = useState([null]); // of the pages so far, the present one last
  const change = (more) => {
    setSearch({ ...search, ...more });
    setStarts([null]);
  };
  if (id) return html`<${Person} key=${id} id=${id} />`;
  return html`<${List} ...${{ search, change, starts, setStarts }} />`;
}

function List({ search, change, starts, setStarts }) {
  const text = texts.people;
  const { found, problem, busy } = useSubjects(search, starts.at(-1));
  const filtered = Object.values(search).some((one) => one.trim());
  const first = starts.length === 1;
  return html`
    <div class="row spread"><h1>${text.title}</h1>
      ${may("enroll") && html`<a class="button primary" href="#/enroll">${text.enroll}</a>`}</div>
    <section class="card people">
      <${Search} search=${search} onChange=${change} />
      ${found?.without_templates > 0 && html`<div class="notice notice-warning">
        <strong>${text.incomparable(found.without_templates)}</strong><p>${text.incomparableAdvice}</p></div>`}
      <${ProblemNotice} problem=${problem} />
      <p class="visually-hidden" role="status">${busy ? text.busy : found ? text.shown(found.subjects.length) : ""}</p>
      ${!found && busy && html`<p class="busy">${text.busy}</p>`}
      ${found?.subjects.length === 0 && html`<div class="empty">
        <h2>${filtered ? text.noneFound : text.nobody}</h2>
        <p>${filtered ? text.noneFoundAdvice : text.nobodyAdvice}</p>
        ${filtered && html`<button type="button" onClick=${() => change(NOTHING)}>${text.clear}</button>`}</div>`}
      ${found?.subjects.length > 0 && html`<${Table} subjects=${found.subjects} />`}
      ${found && (found.next || !first) && html`<nav class="pager" aria-label=${text.pages}>
        <button type="button" disabled=${first} onClick=${() => setStarts(starts.slice(0, -1))}>${text.previous}</button>
        <span>${text.page(starts.length)}</span>
        <button type="button" disabled=${!found.next} onClick=${() => setStarts([...starts, found.next])}>${text.next}</button>
      </nav>`}
    </section>`;
}

function Search({ search, onChange }) {
  const text = texts.people;
  const collections = useCollections();
  const set = (name) => ({ target }) => onChange({ [name]: target.value });
  return html`<form class="search" role="search" onSubmit=${(event) => event.preventDefault()}>
    <div class="field"><label for="people-text">${text.search}</label>
      <input id="people-text" type="search" maxlength="200" autocomplete="off" dir="auto" value=${search.text} onInput=${set("text")} /></div>
    <div class="field"><label for="people-origin">${text.origin}</label>
      <select id="people-origin" value=${search.origin} onChange=${set("origin")}>
        ${["", "enrolled", "trained"].map((one) => html`<option key=${one} value=${one}>${text.origins[one]}</option>`)}</select></div>
    ${collections.length > 1 && html`<div class="field"><label for="people-collection">${texts.subject.collection}</label>
      <select id="people-collection" value=${search.collection} onChange=${set("collection")}>
        <option value="">${text.all}</option>
        ${collections.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></div>`}
  </form>`;
}

function Table({ subjects }) {
  const text = texts.people;
  return html`<${Scroll} label=${text.title}><table class="subjects">
    <thead><tr><th>${text.person}</th><th class="less">${texts.subject.hand}</th><th>${texts.subject.collection}</th>
      <th class="number">${text.images}</th><th class="less">${text.added}</th></tr></thead>
    <tbody>${subjects.map((one) => html`<tr key=${one.subject_id}>
      <th scope="row"><a href=${`#/people/${encodeURIComponent(one.subject_id)}`} dir="auto" class="long" title=${one.name}>${one.name || one.subject_id}</a>
        ${one.name && html`<div class="hint mono">${one.subject_id}</div>`}</th>
      <td class="less">${one.hand ? texts.subject.hands[one.hand] : "–"}</td>
      <td>${one.collection}</td>
      <td class="number">${one.origin === "trained" ? html`<span class="badge">${text.trained}</span>` : imagesOf(one)}</td>
      <td class="less when"><${Time} at=${one.created_at} day /></td></tr>`)}</tbody>
  </table><//>`;
}

/** Returns the number of a subject's enrolled images. */
function imagesOf({ template_counts }) {
  return Math.max(0, ...Object.values(template_counts));
}

/** Asks for a page of subjects, a moment after the last change; a subject with that id comes first. */
function useSubjects(search, after) {
  const [state, setState] = useState({ found: null, problem: null, busy: true });
  useEffect(() => {
    const stop = new AbortController();
    setState((now) => ({ ...now, busy: true }));
    const timer = setTimeout(() => {
      load(search, after, stop.signal).then(
        (found) => setState({ found, problem: null, busy: false }),
        (problem) => stop.signal.aborted || setState({ found: null, problem, busy: false }),
      );
    }, search.text ? TYPING_MS : 0);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [search.text, search.origin, search.collection, after]);
  return state;
}

async function load({ text: wanted, origin, collection }, after, signal) {
  const name = wanted.trim();
  const query = { name, origin, collection, after, limit: ON_A_PAGE };
  const [{ body }, exact] = await Promise.all([
    call("GET", "/v1/subjects", { query, signal }),
    name && !after && !/[/\\]/.test(name) ? withId(name, signal) : null,
  ]);
  const fits = exact && [null, "", exact.origin].includes(origin) && ["", exact.collection].includes(collection);
  if (!fits || body.subjects.some((one) => one.subject_id === exact.subject_id)) return body;
  return { ...body, subjects: [exact, ...body.subjects] };
}

async function withId(id, signal) {
  const asked = call("GET", `/v1/subjects/${encodeURIComponent(id)}`, { signal });
  return asked.then(({ body }) => body, () => null);
}
