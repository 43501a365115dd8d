/** Identifies a folder of palms, one image of each. */

import { asTable } from "../parts/csv.js";
import { PalmInput } from "../parts/palm-input.js";
import { useFileUrl } from "../parts/palm-picture.js";
import { ProblemNotice } from "../parts/problem.js";
import { Scroll } from "../parts/scroll.js";
import { SearchOptions } from "../parts/search-options.js";
import { texts } from "../texts.js";
import { html, useEffect, useMemo, useRef, useState } from "../ui.js";
import { COLUMNS, identifyAll, isImage, outcomeOf, pathOf } from "./identify-batches.js";

const ROWS_AT_ONCE = 200;
const REDRAW_MS = 150;
const OUTCOMES = ["match", "no_match", "inconclusive", "problem", "waiting"];
const BADGES = {
  match: "good",
  no_match: "plain",
  inconclusive: "warning",
  problem: "error",
  waiting: "plain",
};

export function Folder({ options, setOptions }) {
  const { rows, leftOut, busy, problem, start, stop, clear } = useBatches(options);
  const text = texts.identify.folder;
  if (rows.length === 0) {
    return html`<section class="card" aria-label=${texts.identify.image}>
      <${PalmInput} folder onFiles=${(files) => start(files)} />
      ${leftOut > 0 && html`<p class="field-error" role="alert">${text.noImages(leftOut)}</p>`}
      <${SearchOptions} options=${options} onChange=${setOptions} />
    </section>`;
  }
  const waiting = rows.filter((row) => outcomeOf(row) === "waiting");
  return html`<section class="card" aria-label=${texts.identify.answer}>
    <div class="row spread">
      <p role="status"><strong>${text.done(rows.length - waiting.length, rows.length)}</strong>
        ${leftOut > 0 && html` <span class="hint">${text.leftOut(leftOut)}</span>`}</p>
      <div class="row">
        ${busy && html`<button type="button" onClick=${stop}>${text.stop}</button>`}
        ${!busy && waiting.length > 0 && html`<button type="button" class="primary"
          onClick=${() => start()}>${text.resume}</button>`}
        ${!busy && html`<button type="button" onClick=${clear}>${text.another}</button>`}
        ${!busy && html`<${CsvLink} rows=${rows} />`}
      </div>
    </div>
    <progress class=${busy ? "" : "over"} max=${rows.length} value=${rows.length - waiting.length}
      aria-label=${text.progress} />
    <${ProblemNotice} problem=${problem} />
    <${Results} rows=${rows} />
  </section>`;
}

function Results({ rows }) {
  const [only, setOnly] = useState("");
  const [most, setMost] = useState(ROWS_AT_ONCE);
  const text = texts.identify.folder;
  const counts = Object.fromEntries(OUTCOMES.map((one) => [one, 0]));
  rows.forEach((row) => (counts[outcomeOf(row)] += 1));
  const found = only ? rows.filter((row) => outcomeOf(row) === only) : rows;
  const choice = (name, count) => html`<label key=${name}><input type="radio" name="only"
    checked=${only === name} onChange=${() => setOnly(name)} />${text.outcomes[name]}\u00a0<span>
      ${count}</span></label>`;
  return html`
    <fieldset class="segments filters"><legend class="visually-hidden">${text.show}</legend>
      ${choice("", rows.length)}
      ${OUTCOMES.filter((one) => counts[one]).map((one) => choice(one, counts[one]))}</fieldset>
    <${Scroll} label=${text.results}><table class="results">
      <thead><tr><th>${text.file}</th><th>${text.outcome}</th><th>${texts.identify.subject}</th>
        <th class="number">${texts.identify.confidence}</th>
        <th class="number">${text.quality}</th></tr></thead>
      <tbody>${found.slice(0, most).map((row) => html`<${Row} key=${row.index}
        row=${row} />`)}</tbody>
    </table><//>
    ${found.length > most && html`<button type="button"
      onClick=${() => setMost(most + ROWS_AT_ONCE)}>
      ${text.more(Math.min(ROWS_AT_ONCE, found.length - most))}</button>`}`;
}

function Row({ row }) {
  const text = texts.identify;
  const outcome = outcomeOf(row);
  const { identity, confidence, quality } = row.identification ?? {};
  const badge = BADGES[outcome];
  return html`<tr>
    <th scope="row" class="path">${pathOf(row.file)}</th>
    <td><span class=${`badge badge-${badge}`}>${text.folder.outcomes[outcome]}</span></td>
    ${row.problem
      ? html`<td colspan="3" class="why">${row.problem.detail}</td>`
      : html`<td>${identity && html`<code>${identity.subject_id}</code> ${identity.name}`}</td>
        <td class="number">${confidence !== undefined && text.percent(confidence)}</td>
        <td class="number">${quality?.[0]?.score}</td>`}
  </tr>`;
}

/** Runs the batches; draws a few times a second, however fast the answers arrive. */
function useBatches(options) {
  const nothing = { rows: [], leftOut: 0, busy: false, problem: null };
  const [state, setState] = useState(nothing);
  const running = useRef(null);
  useEffect(() => () => running.current?.abort(), []);

  async function start(files) {
    const images = files?.filter(isImage) ?? [];
    const rows = files ? images.map((file, index) => ({ index, file })) : state.rows;
    const leftOut = files ? files.length - images.length : state.leftOut;
    const { signal } = (running.current = new AbortController());
    setState({ rows, leftOut, busy: rows.length > 0, problem: null });
    const redraw = setInterval(() => setState((now) => ({ ...now, rows: [...rows] })), REDRAW_MS);
    let problem = null;
    try {
      await identifyAll(rows, options, signal);
    } catch (error) {
      problem = signal.aborted ? null : error;
    }
    clearInterval(redraw);
    if (running.current?.signal === signal) {
      setState({ rows: [...rows], leftOut, busy: false, problem });
    }
  }
  const stop = () => running.current.abort();
  return { ...state, start, stop, clear: () => setState(nothing) };
}

function CsvLink({ rows }) {
  const file = useMemo(() => new Blob([asTable(rows, COLUMNS)], { type: "text/csv" }), [rows]);
  const url = useFileUrl(file);
  return html`<a class="button primary" download="palms.csv" href=${url}>
    ${texts.identify.folder.csv}</a>`;
}
