/** The page that asks for an API key. */

import { call } from "../api.js";
import { ProblemNotice } from "../parts/problem.js";
import { begin, useSession } from "../session.js";
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../ui.js";

export default function SignIn() {
  const { ended } = useSession();
  const [state, setState] = useState({ busy: false, problem: null, empty: false });
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);

  async function submit(event) {
    event.preventDefault();
    const key = field.current.value.trim();
    if (!key) {
      setState({ busy: false, problem: null, empty: true });
      return;
    }
    setState({ busy: true, problem: null, empty: false });
    try {
      const { body } = await call("GET", "/v1/caller", { key });
      begin(key, body);
    } catch (problem) {
      setState({ busy: false, problem, empty: false });
      field.current?.focus();
    }
  }

  return html`
    <form class="card sign-in" onSubmit=${submit} novalidate>
      <h1>${texts.signIn.title}</h1>
      ${!state.problem && html`<${ProblemNotice} problem=${ended} />`}
      <p class="lead">${texts.signIn.lead}</p>
      <div class="field">
        <label for="key">${texts.signIn.key}</label>
        <input id="key" ref=${field} type="password" autocomplete="off" spellcheck="false"
          aria-describedby="key-hint key-problem"
            aria-invalid=${state.empty || state.problem ? "true" : "false"} />
        <p id="key-hint" class="hint">${texts.signIn.hint}</p>
        <div id="key-problem" aria-live="assertive">
          ${state.empty && html`<p class="field-error">${texts.signIn.empty}</p>`}
          ${state.problem && html`<${ProblemNotice} problem=${state.problem} />`}
        </div>
      </div>
      <button class="primary" disabled=${state.busy}>
        ${state.busy ? texts.signIn.busy : texts.signIn.submit}
      </button>
      <p class="hint">${texts.signIn.where} <code>python -m app keys create</code></p>
    </form>`;
}
