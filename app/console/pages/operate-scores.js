/** Scores, decisions, requests and times since the process began, and what another threshold does. */

import { texts } from "../texts.js";
import { html, useId, useState } from "../ui.js";
import { buckets, changed, quantile, sums, total } from "./operate-metrics.js";
import { count, rate } from "./operate-nets.js";

const said = texts.operate.scores;
const DECISIONS = ["match", "no_match", "inconclusive"];
const span = ({ from, to }) =>
  from === -Infinity ? `≤ ${to}` : to === Infinity ? `> ${from}` : `${from} to ${to}`;

/** Rows of [label, number], drawn as bars; the numbers are in the table itself. */
function Bars({ rows, label, columns }) {
  const most = Math.max(1, ...rows.map(([, value]) => value));
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table class="bars">
    <caption>${label}</caption>
    <thead class="visually-hidden"><tr><th scope="col">${columns[0]}</th><th scope="col">${columns[1]}</th></tr></thead>
    <tbody>${rows.map(([name, value]) => html`<tr key=${name}><th scope="row">${name}</th>
      <td><span class="bar-row"><svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
        <rect width=${(100 * value) / most} height="10" rx="1" /></svg><span>${count(value)}</span></span></td></tr>`)}
    </tbody></table></div>`;
}

function Histogram({ samples, name, decision, label }) {
  const found = buckets(samples, name, { decision });
  const used = found.filter((one) => one.count);
  const shown = found.slice(found.indexOf(used[0]), found.indexOf(used.at(-1)) + 1);
  if (!used.length) return null;
  return html`<${Bars} label=${label} columns=${said.columns}
    rows=${shown.map((one) => [span(one), one.count])} />`;
}

export function Decisions({ samples }) {
  const rows = DECISIONS.map((one) => [one, total(samples, "palm_decisions_total", { decision: one }) ?? 0]);
  const any = rows.some(([, value]) => value);
  return html`<section class="card" aria-labelledby="operate-scores"><h2 id="operate-scores">${said.title}</h2>
    <dl class="pairs">${rows.map(([name, value]) => html`<div key=${name}><dt>${said.decisions[name]}</dt>
      <dd data-decision=${name}>${count(value)}</dd></div>`)}</dl>
    ${!any && html`<p class="hint">${said.none}</p>`}
    <div class="charts">${DECISIONS.map((one) => html`<${Histogram} key=${one} samples=${samples}
      name="palm_best_score" decision=${one} label=${said.best(said.decisions[one])} />
      <${Histogram} key=${`margin ${one}`} samples=${samples} name="palm_score_margin" decision=${one}
        label=${said.margin(said.decisions[one])} />`)}</div></section>`;
}

export function Threshold({ samples, thresholds }) {
  const [by, setBy] = useState(0);
  const id = useId();
  const told = texts.operate.threshold;
  const effect = changed(samples, by);
  return html`<section class="card" aria-labelledby="operate-threshold"><h2 id="operate-threshold">${told.title}</h2>
    <p class="lead">${told.lead}</p>
    <div class="field"><label for=${id}>${told.label}</label>
      <input id=${id} type="range" min="-3" max="3" step="0.5" value=${by}
        aria-valuetext=${told.by(by)} onInput=${(event) => setBy(Number(event.target.value))} /></div>
    <div aria-live="polite" class="notice"><strong>${told.by(by)}</strong>
      <p data-effect>${told.effect({ ...effect, by })}</p></div>
    ${thresholds.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label=${told.rates}><table>
      <caption class="visually-hidden">${told.rates}</caption>
      <thead><tr>${told.columns.map((one, at) =>
        html`<th scope="col" key=${one} class=${at ? "number" : ""}>${one}</th>`)}</tr></thead>
      <tbody>${thresholds.map((one) => {
        const there = one.steps.find((step) => step.by === by) ?? {};
        return html`<tr key=${one.setting}><th scope="row" class="mono">${one.setting}</th>
          <td class="number">${(one.score + by).toFixed(2)}</td>
          <td class="number">${there.fmr ? rate(there.fmr) : told.unmeasured}</td>
          <td class="number">${there.target ? rate(there.target) : told.unmeasured}</td></tr>`;
      })}</tbody></table></div>
    <p class="hint">${told.honest}</p>`}</section>`;
}

export function Requests({ samples }) {
  const told = texts.operate.requests;
  const stages = sums(samples, "palm_stage_seconds_count", "stage").map(([stage]) => [
    stage, ...[0.5, 0.99].map((share) => quantile(samples, "palm_stage_seconds", { stage }, share)),
  ]);
  const ms = (value) => (value === Infinity ? told.slower : `≤ ${1000 * value} ms`);
  const pairs = [
    [told.busy, `${count(total(samples, "palm_places_busy"))} / ${count(total(samples, "palm_places"))}`],
    [told.waiting, count(total(samples, "palm_queue_waiting"))],
    [told.overloaded, count(total(samples, "palm_requests_total", { problem: "overloaded" }) ?? 0)],
  ];
  const refusals = sums(samples, "palm_quality_refusals_total", "component").map(
    ([name, value]) => [texts.quality.components[name] ?? name, value]);
  return html`<section class="card" aria-labelledby="operate-requests"><h2 id="operate-requests">${told.title}</h2>
    <dl class="pairs">${pairs.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <div class="charts">
      <${Bars} label=${told.routes} columns=${told.columns} rows=${sums(samples, "palm_requests_total", "route")} />
      <${Bars} label=${told.outcomes} columns=${told.columns} rows=${sums(samples, "palm_requests_total", "problem")} />
      ${refusals.length > 0 && html`<${Bars} label=${told.refusals} columns=${told.columns} rows=${refusals} />`}
      ${stages.length > 0 && html`<table><caption>${told.stages}</caption>
        <thead><tr>${told.stageColumns.map((one, at) => html`<th key=${one} scope="col" class=${at ? "number" : ""}>${one}</th>`)}</tr></thead>
        <tbody>${stages.map(([stage, ...times]) => html`<tr key=${stage}><th scope="row">${stage}</th>
          ${times.map((one, at) => html`<td key=${at} class="number">${ms(one)}</td>`)}</tr>`)}</tbody></table>`}
    </div></section>`;
}
