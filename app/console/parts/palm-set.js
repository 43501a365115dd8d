/** The images of one palm that are to be enrolled, each with what the service sees in it. */

import { call } from "../api.js";
import { may } from "../session.js";
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../ui.js";
import { PalmPicture } from "./palm-picture.js";
import { patiently } from "./patience.js";
import { QualityView } from "./quality.js";

export const MOST_IMAGES = 10; // of POST /v1/enroll

/**
 * One image; `found` is the answer of POST /v1/inspect, `problem` why there is none.
 * @typedef {{id: number, file: File, found?: object, problem?: object}} Palm
 */

/** Keeps a set of images, and inspects one after another before anything is stored. */
export function usePalms() {
  const [palms, setPalms] = useState([]);
  const count = useRef(0);
  const line = useRef(Promise.resolve());
  const stop = useRef(null);
  useEffect(() => () => stop.current?.abort(), []);
  const know = (id, told) =>
    setPalms((now) => now.map((one) => (one.id === id ? { ...one, ...told } : one)));
  const add = (files) => {
    stop.current ??= new AbortController();
    const { signal } = stop.current;
    const added = files.slice(0, MOST_IMAGES - palms.length)
      .map((file) => ({ id: (count.current += 1), file }));
    setPalms((now) => [...now, ...added].slice(0, MOST_IMAGES));
    if (!may("inspect")) return;
    for (const { id, file } of added) {
      line.current = line.current.then(() => inspect(file, signal)).then(
        (found) => know(id, { found }), (problem) => know(id, { problem }));
    }
  };
  const remove = (id) => setPalms((now) => now.filter((one) => one.id !== id));
  const clear = () => {
    stop.current?.abort();
    stop.current = null;
    setPalms([]);
  };
  return { palms, add, remove, clear };
}

async function inspect(file, signal) {
  const form = new FormData();
  form.append("images", file, file.name);
  return (await patiently(() => call("POST", "/v1/inspect", { form, signal }), signal)).body;
}

/** Tells whether an image is still being inspected. */
export function isWaiting(palm) {
  return may("inspect") && !palm.found && !palm.problem;
}

/** Tells whether the service has said that an image cannot be enrolled. */
export function isRefused({ found, problem }) {
  return found ? !found.usable : [413, 415, 422].includes(problem?.status);
}

/** Returns what a problem says of the image at a position from 0. */
function saidOf(problem, index) {
  const own = (problem?.invalid ?? []).filter(({ name }) => `${name}.`.startsWith(`images.${index}.`));
  const named = own.map(({ reason }) => reason);
  const inWords = problem?.detail?.match(/^image (\d+) of \d+: (.*)/s);
  return named.length === 0 && inWords && Number(inWords[1]) === index + 1 ? [inWords[2]] : named;
}

/** @param {{palms: Palm[], onRemove: (id: number) => void, problem: ?object}} props */
export function PalmSet({ palms, onRemove, problem = null }) {
  const text = texts.palms;
  return html`<ol class="palms" aria-live="polite">${palms.map((palm, index) => {
    const { id, file, found } = palm;
    const said = new Set([...saidOf(problem, index), ...(found ? [] : [palm.problem?.detail].filter(Boolean))]);
    const state = isWaiting(palm) ? "busy" : isRefused(palm) ? "refused" : found ? "usable" : "unknown";
    return html`<li key=${id} class=${`palm palm-${state}`}>
      <${PalmPicture} file=${file} region=${found?.region} usable=${found?.usable} label=${text.image(index + 1)} />
      <div class="stack palm-text">
        <div class="row spread"><strong>${text.image(index + 1)}</strong>
          <span class=${`badge ${text.badges[state]}`}>${text.states[state]}</span></div>
        <p class="file-name hint">${file.name}</p>
        ${found?.quality && html`<${QualityView} quality=${found.quality} reasons=${found.advice} />`}
        ${found && !found.quality && found.advice.map((one) => html`<p class="field-error">${one}</p>`)}
        ${(found?.warnings ?? []).map((one) => html`<p class="hint">${one}</p>`)}
        ${[...said].map((one) => html`<p class="field-error">${one}</p>`)}
        <div><button type="button" onClick=${() => onRemove(id)} aria-label=${text.removeNamed(index + 1)}>
          ${text.remove}</button></div>
      </div></li>`;
  })}</ol>`;
}
