/** The page Identify: one palm, or a folder of palms. */

import { call } from "../api.js";
import { optionsInto, SearchOptions, useOptions } from "../parts/search-options.js";
import { PalmInput } from "../parts/palm-input.js";
import { FieldError, ProblemNotice } from "../parts/problem.js";
import { mayExplain } from "../session.js";
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../ui.js";
import { Answer, NoAnswer } from "./identify-answer.js";
import { Folder } from "./identify-folder.js";
import { Shots } from "./identify-shots.js";

const MOST_IMAGES = 5; // of one palm
const NOT_FOUND = "urn:palm:problem:palm-not-found";

export default function Identify() {
  const [mode, setMode] = useState("one");
  const [options, setOptions] = useOptions();
  const text = texts.identify;
  const choice = (name) => html`<label><input type="radio" name="mode" checked=${mode === name}
    onChange=${() => setMode(name)} />${text.modes[name]}</label>`;
  return html`
    <div class="row spread">
      <h1>${text.title}</h1>
      <fieldset class="segments"><legend class="visually-hidden">${text.what}</legend>
        ${choice("one")}${choice("folder")}</fieldset>
    </div>
    ${mode === "one"
      ? html`<${OnePalm} options=${options} setOptions=${setOptions} />`
      : html`<${Folder} options=${options} setOptions=${setOptions} />`}`;
}

function OnePalm({ options, setOptions }) {
  const [files, setFiles] = useState([]);
  const { busy, body, problem, identify, reset } = useIdentification(options);
  const text = texts.identify;
  const [film, setFilm] = useState(false); // whoever used the camera uses it for the next palm, too
  const take = (given, fromCamera = false) => {
    setFilm(fromCamera);
    const next = given.slice(0, MOST_IMAGES);
    setFiles(next);
    identify(next);
  };
  const clear = () => {
    setFiles([]);
    reset();
  };
  const another = html`<div>
    <button type="button" class="primary" onClick=${clear}>${text.another}</button></div>`;
  const state = files.length ? "identify-asked" : "identify-empty";
  return html`<div class=${`identify ${state}`}>
    <section class="card" aria-label=${text.image}>
      ${files.length === 0
        ? html`<${PalmInput} several film=${film} capture=${options.capture} onFiles=${take} />`
        : html`<${Shots} files=${files} regions=${body?.regions ?? []} />
          <div id="image-problem">${problem && html`<${FieldError} problem=${problem}
            name="images" />`}</div>
          <div class="row">
            <button type="button" disabled=${busy} onClick=${() => identify(files)}>
              ${text.again}</button>
          </div>
          <${Renewed} give=${take} />`}
      <${SearchOptions} options=${options} onChange=${setOptions} />
    </section>
    <section class="card answer" aria-label=${text.answer} aria-busy=${busy ? "true" : "false"}>
      <p class="visually-hidden" role="status">${body && text.summary(body)}</p>
      ${busy && html`<p class="busy">${text.busy}</p>`}
      ${!busy && problem && html`<${ProblemNotice} problem=${problem} />
        ${problem.type === NOT_FOUND && html`<p class="hint">${text.otherCapture}</p>`}${another}`}
      ${!busy && body && html`<${Answer} answer=${body} next=${another} />`}
      ${!busy && !body && !problem && html`<${NoAnswer} />`}
    </section>
  </div>`;
}

/** Takes another palm's image that is dropped or pasted while an answer is shown. */
function Renewed({ give }) {
  const latest = useRef(give);
  latest.current = give;
  useEffect(() => {
    const paste = ({ clipboardData }) => {
      if (clipboardData.files.length) latest.current([...clipboardData.files]);
    };
    const drop = (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) latest.current([...event.dataTransfer.files]);
    };
    const allow = (event) => event.preventDefault();
    const listeners = { paste, drop, dragover: allow };
    for (const [name, listen] of Object.entries(listeners)) document.addEventListener(name, listen);
    return () => {
      for (const [name, listen] of Object.entries(listeners)) {
        document.removeEventListener(name, listen);
      }
    };
  }, []);
  return null;
}

/** Identifies images; only the newest request's answer counts. */
function useIdentification(options) {
  const nothing = { busy: false, body: null, problem: null };
  const [state, setState] = useState(nothing);
  const current = useRef(null);
  useEffect(() => () => current.current?.abort(), []);
  const reset = () => {
    current.current?.abort();
    setState(nothing);
  };
  async function identify(files) {
    current.current?.abort();
    const { signal } = (current.current = new AbortController());
    setState({ ...nothing, busy: true });
    try {
      const body = await ask(files, options, signal);
      if (!signal.aborted) setState({ ...nothing, body });
    } catch (problem) {
      if (!signal.aborted) setState({ ...nothing, problem });
    }
  }
  return { ...state, identify, reset };
}

async function ask(files, options, signal) {
  const form = new FormData();
  files.forEach((file) => form.append("images", file, file.name));
  optionsInto(form, options);
  const query = mayExplain() ? { explain: true } : {};
  return (await call("POST", "/v1/identify", { form, query, signal })).body;
}
