/** The page Operate: what runs, how scores lie, who may do what, and who did what. */

import { call } from "../api.js";
import { ProblemNotice } from "../parts/problem.js";
import { may } from "../session.js";
import { texts } from "../texts.js";
import { html, useEffect, useState } from "../ui.js";
import Audit from "./operate-audit.js";
import Keys from "./operate-keys.js";
import { parse } from "./operate-metrics.js";
import { Rates, Running } from "./operate-nets.js";
import { Decisions, Requests, Threshold } from "./operate-scores.js";

const REFRESH_MS = 4000;

/** Asks again and again while the page can be seen, and is not paused. */
function usePolled(ask, isPaused) {
  const [state, setState] = useState({ value: null, problem: null });
  useEffect(() => {
    if (isPaused) return undefined;
    const stop = new AbortController();
    let timer = 0;
    const again = async () => {
      clearTimeout(timer);
      if (document.hidden) return;
      try {
        const value = await ask(stop.signal);
        setState({ value, problem: null });
      } catch (problem) {
        if (!stop.signal.aborted) setState((known) => ({ ...known, problem }));
      }
      if (!stop.signal.aborted) timer = setTimeout(again, REFRESH_MS);
    };
    document.addEventListener("visibilitychange", again);
    again();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", again);
    };
  }, [isPaused]);
  return state;
}

const askMetrics = (signal) =>
  call("GET", "/metrics", { signal }).then(({ body }) => parse(body));

/** Asked only once, and by hand: each of these requests has a line in the audit log. */
function useAbout() {
  const [state, setState] = useState({ models: null, site: null, problem: null });
  const load = () =>
    Promise.all([call("GET", "/v1/models"), call("GET", "/v1/site")]).then(
      ([models, site]) => setState({ models: models.body, site: site.body, problem: null }),
      (problem) => setState((known) => ({ ...known, problem })),
    );
  useEffect(() => {
    load();
  }, []);
  return [state, load];
}

function Measured() {
  const [isPaused, setPaused] = useState(false);
  const { value: samples, problem } = usePolled(askMetrics, isPaused);
  const [about, load] = useAbout();
  return html`
    <div class="row spread">
      <p class="hint operate-since">${texts.operate.since}</p>
      <div class="row">
        <button aria-pressed=${isPaused ? "true" : "false"} onClick=${() => setPaused(!isPaused)}>
          ${isPaused ? texts.operate.resume : texts.operate.pause}</button>
        <button onClick=${load}>${texts.operate.reload}</button>
      </div>
    </div>
    <${ProblemNotice} problem=${problem ?? about.problem} />
    <${Running} samples=${samples} models=${about.models} />
    ${samples && html`
      <${Decisions} samples=${samples} />
      <${Threshold} samples=${samples} thresholds=${about.models?.thresholds ?? []} />
      <${Requests} samples=${samples} />`}
    ${about.site && html`<${Rates} site=${about.site} />`}`;
}

export default function Operate() {
  return html`<h1>${texts.operate.title}</h1>
    ${may("metrics") && html`<${Measured} />`}
    ${may("admin") && html`<${Keys} /><${Audit} />`}`;
}
