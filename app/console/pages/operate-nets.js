/** What runs: nets, gallery and readiness, and the false match rates at the site. */

import { language, texts } from "../texts.js";
import { html } from "../ui.js";
import { pick, total } from "./operate-metrics.js";

const said = texts.operate.running;
export const count = (value) => (value === null ? "–" : value.toLocaleString(language));
export const rate = (value) => (value === null ? "–" : Number(value.toPrecision(3)).toString());
const at = (time) => new Date(time).toLocaleString(language);

export function Running({ samples, models }) {
  const known = samples ?? [];
  const ready = total(known, "palm_ready") === 1;
  const broken = pick(known, "palm_part_up").filter((one) => !one.value).map((one) => one.labels.part);
  const pairs = [
    [said.subjects, count(total(known, "palm_gallery_subjects"))],
    [said.without, count(total(known, "palm_gallery_subjects_without_templates"))],
    [said.templates, count(total(known, "palm_gallery_templates"))],
    [said.erasures, count(total(known, "palm_gallery_erasures_pending"))],
    [said.precision, models?.precision ?? "–"],
    [said.meanMap, count(models?.gallery?.mean_map.subjects ?? null)],
  ];
  return html`<section class="card" aria-labelledby="operate-running">
    <div class="row spread"><h2 id="operate-running">${said.title}</h2>
      ${samples && html`<span class=${`badge badge-${ready ? "good" : "error"}`} role="status">
        ${ready ? said.ready : said.notReady}</span>`}</div>
    ${broken.length > 0 && html`<p class="notice notice-error">${said.broken(broken.join(", "))}</p>`}
    <dl class="pairs">${pairs.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${models && html`<div class="scroll" tabindex="0" role="region" aria-label=${said.nets}><table>
      <caption class="visually-hidden">${said.nets}</caption>
      <thead><tr><th scope="col">${said.net}</th><th scope="col" class="number">${said.version}</th>
        <th scope="col" class="number">${said.weight}</th><th scope="col">${said.template}</th></tr></thead>
      <tbody>${models.nets.map((net, at) => html`<tr key=${net.net}><th scope="row">${net.net}</th>
        <td class="number">${net.version}</td><td class="number">${models.weights[at].toFixed(2)}</td>
        <td class="mono">${net.template_id}</td></tr>`)}</tbody></table></div>`}
  </section>`;
}

function Report({ report, name, used }) {
  const told = texts.operate.rates;
  return html`<h3>${name} <span class="badge">${used ? told.used : told.unused}</span></h3>
    <p class="hint">${told.measured(at(report.created_at), count(report.subjects), count(report.comparisons))}</p>
    <div class="scroll" tabindex="0" role="region" aria-label=${name}><table>
      <thead><tr>${told.columns.map((one) => html`<th key=${one} scope="col" class="number">${one}</th>`)}</tr></thead>
      <tbody>${report.rates.map((one) => html`<tr key=${one.fmr}>
        <td class="number">${rate(one.fmr)}</td><td class="number">${rate(one.observed)}</td>
        <td class="number">${rate(one.interval[0])} to ${rate(one.interval[1])}</td>
        <td class="number">${count(one.false_matches)}</td><td class="number">${one.raised_by.toFixed(2)}</td>
      </tr>`)}</tbody></table></div>`;
}

export function Rates({ site }) {
  const told = texts.operate.rates;
  return html`<section class="card" aria-labelledby="operate-rates">
    <h2 id="operate-rates">${told.title}</h2>
    ${!site.report && !site.cameras.length && html`<div class="notice notice-warning">
      <strong>${told.none}</strong><p>${told.advice} <code>python -m app calibrate --write</code></p></div>`}
    ${site.report && html`<${Report} report=${site.report} used=${site.used} name=${told.unnamed} />`}
    ${site.cameras.map((one) => html`<${Report} key=${one.camera} name=${one.camera} ...${one} />`)}
  </section>`;
}
