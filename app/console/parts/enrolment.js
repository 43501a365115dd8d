/** Sends the images of one palm to be enrolled, once, and tells what came of it. */

import { call } from "../api.js";
import { may } from "../session.js";
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../ui.js";
import { Dialog } from "./dialog.js";
import { ProblemNotice } from "./problem.js";
import { randomHex } from "./random.js";

const MAY_BE_FORCED = ["urn:palm:problem:palm-known", "urn:palm:problem:palm-other"];
const MOST_PROBES = 5; // of POST /v1/identify

/** Returns the form of POST /v1/enroll; `fields` that are empty are left out. */
export function formOf(fields, files) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (!value) continue;
    form.append(name, typeof value === "object" ? JSON.stringify(value) : value);
  }
  files.forEach((file) => form.append("images", file, file.name));
  return form;
}

/**
 * Enrolls. The same request that is sent again, by a second click or after an outage of the
 * network, has the same Idempotency-Key, so that the service does it once.
 */
export function useEnrolment() {
  const [state, setState] = useState({ busy: false, problem: null, enrolled: null });
  const running = useRef(false);
  const last = useRef({ content: null, key: null });
  async function send(fields, palms) {
    if (running.current) return;
    running.current = true;
    setState({ busy: true, problem: null, enrolled: null });
    const content = JSON.stringify([fields, palms.map(({ id }) => id)]);
    if (last.current.content !== content) last.current = { content, key: randomHex(16) };
    try {
      const { body } = await call("POST", "/v1/enroll", {
        form: formOf(fields, palms.map(({ file }) => file)),
        headers: { "Idempotency-Key": last.current.key },
      });
      setState({ busy: false, problem: null, enrolled: body });
    } catch (problem) {
      setState({ busy: false, problem, enrolled: null });
    }
    running.current = false;
  }
  const refuse = (problem) => setState({ busy: false, problem, enrolled: null });
  return { ...state, send, refuse, reset: () => refuse(null) };
}

/** Asks whose palm it is as soon as all images are good; returns the subject, if it is known. */
export function useKnown(files, ready) {
  const [known, setKnown] = useState(null);
  const asked = files.map((file) => `${file.name} ${file.size} ${file.lastModified}`).join("\n");
  useEffect(() => {
    setKnown(null);
    if (!ready || !may("identify")) return;
    const stop = new AbortController();
    const form = formOf({}, files.slice(0, MOST_PROBES));
    call("POST", "/v1/identify", { form, signal: stop.signal }).then(
      ({ body }) => setKnown(body.decision === "match" ? body.identity : null),
      () => {}, // the enrolment itself checks it again, and says what is wrong
    );
    return () => stop.abort();
  }, [asked, ready]);
  return known;
}

/** @param {{problem: ?object, onForce: () => void}} props what refused it; force if the key may */
export function Refusal({ problem, onForce }) {
  const text = texts.enroll.force;
  const [asking, setAsking] = useState(false);
  const offered = may("force") && MAY_BE_FORCED.includes(problem?.type);
  const force = () => {
    setAsking(false);
    onForce();
  };
  return html`<${ProblemNotice} problem=${problem} />
    ${offered && html`<div><button type="button" class="danger" onClick=${() => setAsking(true)}>${text.open}</button></div>`}
    ${asking && html`<${Dialog} title=${text.title} onClose=${() => setAsking(false)}>
      <p>${problem.detail}</p><p>${text.lead}</p>
      <div class="row"><button type="button" class="danger" onClick=${force}>${text.confirm}</button>
        <button type="button" onClick=${() => setAsking(false)}>${text.cancel}</button></div>
    <//>`}`;
}
