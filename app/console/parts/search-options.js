/** Optional fields of a request about a palm: which collections, camera, and kind of image. */

import { call } from "../api.js";
import { collectionsInSight, may } from "../session.js";
import { texts } from "../texts.js";
import { html, useEffect, useState } from "../ui.js";

const CAPTURES = ["", "auto", "hand", "roi"];

/** Returns the fields' values, all empty at first, and a function that replaces them. */
export function useOptions() {
  return useState({ collections: [], camera: "", capture: "" });
}

/** Adds to a form those options that are not empty. */
export function optionsInto(form, { collections, camera, capture }) {
  collections.forEach((one) => form.append("collections", one));
  if (camera.trim()) form.append("camera", camera.trim());
  if (capture) form.append("capture", capture);
}

/** Returns the names of the collections that can be chosen from. */
export function useCollections() {
  const [names, setNames] = useState(collectionsInSight() ?? []);
  useEffect(() => {
    if (!may("read")) return;
    call("GET", "/v1/collections").then(
      ({ body }) => setNames(body.collections.map(({ collection }) => collection)),
      () => {}, // then those of the key can be chosen from
    );
  }, []);
  return names;
}

/** @param {{options: object, onChange: (options: object) => void}} props see `useOptions` */
export function SearchOptions({ options, onChange }) {
  const names = useCollections();
  const text = texts.options;
  const change = (one) => onChange({ ...options, ...one });
  const toggle = (name) => change({
    collections: options.collections.includes(name)
      ? options.collections.filter((one) => one !== name)
      : [...options.collections, name],
  });
  return html`<details class="options"><summary>${text.title}</summary><div class="stack">
    ${names.length > 1 && html`<fieldset class="field"><legend>${text.collections}</legend>
      <div class="row">${names.map((name) => html`<label class="check" key=${name}>
        <input type="checkbox" checked=${options.collections.includes(name)}
          onChange=${() => toggle(name)} />${name}</label>`)}</div>
      <p class="hint">${text.collectionsHint}</p></fieldset>`}
    <div class="field"><label for="capture">${text.capture}</label>
      <select id="capture" value=${options.capture}
        onChange=${({ target }) => change({ capture: target.value })}>
        ${CAPTURES.map((one) => html`<option key=${one} value=${one}>
          ${text.captures[one]}</option>`)}
      </select></div>
    <div class="field"><label for="camera">${text.camera}</label>
      <input id="camera" value=${options.camera} autocomplete="off" spellcheck="false"
        aria-describedby="camera-hint"
        onInput=${({ target }) => change({ camera: target.value })} />
      <p id="camera-hint" class="hint">${text.cameraHint}</p></div>
  </div></details>`;
}
