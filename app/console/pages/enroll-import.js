/** Enrolls the people of a folder, one request each, with a report. */

import { asTable } from "../parts/csv.js";
import { Download } from "../parts/download.js";
import { PalmInput } from "../parts/palm-input.js";
import { ProblemNotice } from "../parts/problem.js";
import { Scroll } from "../parts/scroll.js";
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../ui.js";
import { COLUMNS, enrollAll, readFolder } from "./enroll-people.js";

const ROWS_AT_ONCE = 200;
const BADGES = { enrolled: "good", exists: "warning", known: "warning", refused: "error", failed: "error" };
const isDone = ({ outcome }) => outcome !== "waiting" && outcome !== "busy";

export function Import() {
  const text = texts.enroll.folder;
  const { people, leftOut, busy, waits, problem, read, start, stop, clear } = useImport();
  if (people.length === 0) {
    return html`<section class="card"><p class="lead">${text.lead}</p>
      <${PalmInput} folder onFiles=${read} />
      <${ProblemNotice} problem=${problem} /></section>`;
  }
  const done = people.filter(isDone);
  const open = people.length - done.length;
  const counts = Object.keys(BADGES)
    .map((name) => [text.outcomes[name], people.filter(({ outcome }) => outcome === name).length])
    .filter(([, count]) => count);
  return html`<section class="card">
    <div class="row spread">
      <p role="status"><strong>${text.done(done.length, people.length)}</strong>
        ${counts.length > 0 && html` <span class="hint">${text.counts(counts)}</span>`}
        ${leftOut > 0 && html` <span class="hint">${text.leftOut(leftOut)}</span>`}</p>
      <div class="row">
        ${busy && html`<button type="button" onClick=${stop}>${text.stop}</button>`}
        ${!busy && open > 0 && html`<button type="button" class="primary" onClick=${start}>
          ${done.length ? text.resume : text.start(open)}</button>`}
        ${!busy && html`<button type="button" onClick=${clear}>${text.another}</button>`}
        ${!busy && done.length > 0 && html`<${Download} primary=${open === 0} name="enrolled.csv" type="text/csv"
          content=${asTable(people, COLUMNS)}>${text.csv}<//>`}
      </div></div>
    <progress class=${busy ? "" : "over"} max=${people.length} value=${done.length} aria-label=${text.progress} />
    ${waits && html`<p class="notice notice-warning" role="status">${text.waits(waits)}</p>`}
    <${ProblemNotice} problem=${problem} />
    <${Report} people=${people} />
  </section>`;
}

function Report({ people }) {
  const text = texts.enroll.folder;
  const [most, setMost] = useState(ROWS_AT_ONCE);
  return html`<${Scroll} label=${text.table}><table class="imported">
      <thead><tr><th>${text.person}</th><th class="number">${text.images}</th><th>${text.outcome}</th></tr></thead>
      <tbody>${people.slice(0, most).map(({ id, files, fields, outcome, why }) => html`<tr key=${id}>
        <th scope="row">${id}<div class="hint" dir="auto">${fields.name}</div></th>
        <td class="number">${files.length}</td>
        <td><span class=${`badge ${BADGES[outcome] ? `badge-${BADGES[outcome]}` : ""}`}>${text.outcomes[outcome]}</span>
          ${why && html`<p class="hint">${why}</p>`}</td></tr>`)}</tbody>
    </table><//>
    ${people.length > most && html`<button type="button" onClick=${() => setMost(most + ROWS_AT_ONCE)}>
      ${text.more(Math.min(ROWS_AT_ONCE, people.length - most))}</button>`}`;
}

function useImport() {
  const nothing = { people: [], leftOut: 0, busy: false, waits: null, problem: null };
  const [state, setState] = useState(nothing);
  const running = useRef(null);
  useEffect(() => () => running.current?.abort(), []);
  async function read(files) {
    try {
      const { people, leftOut } = await readFolder(files);
      const problem = people.length ? null : { message: texts.enroll.folder.nobody };
      setState({ ...nothing, people, leftOut, problem });
    } catch (problem) {
      setState({ ...nothing, problem });
    }
  }
  async function start() {
    const { signal } = (running.current = new AbortController());
    const change = (more) => setState((now) => ({ ...now, people: [...now.people], ...more }));
    change({ busy: true, problem: null });
    let problem = null;
    try {
      await enrollAll(state.people, signal, (waits) => change({ waits }));
    } catch (error) {
      problem = error;
    }
    change({ busy: false, waits: null, problem });
  }
  return { ...state, read, start, stop: () => running.current.abort(), clear: () => setState(nothing) };
}
