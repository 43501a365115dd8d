/** The people of a folder, as `python -m app import` reads it, and their enrolment. No component. */

import { call } from "../api.js";
import { guarded } from "../parts/csv.js";
import { formOf } from "../parts/enrolment.js";
import { patiently } from "../parts/patience.js";
import { randomHex } from "../parts/random.js";
import { texts } from "../texts.js";
import { isImage } from "./identify-batches.js";

const TABLE = "subjects.csv";
const FIELDS = ["name", "hand", "collection", "camera", "consent", "retain_until"];

/**
 * One person: the outcome is waiting, busy, enrolled, exists, known, refused or failed.
 * @typedef {{id: string, files: File[], fields: object, key: string, outcome: string, why: string}} Person
 */

/** Returns the people of a folder in the order of their ids, and how many files are left out. */
export async function readFolder(files) {
  const folders = new Map();
  let table = null;
  let leftOut = 0;
  for (const file of files) {
    const [folder, ...rest] = file.webkitRelativePath.split("/").slice(1);
    if (folder === TABLE && rest.length === 0) table = file;
    else if (rest.length !== 1 || !isImage(file)) leftOut += 1;
    else folders.set(folder, [...(folders.get(folder) ?? []), file]);
  }
  const fields = table ? fieldsOf(parseCsv(await table.text()), folders) : new Map();
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const people = [...folders.keys()].sort(compare).map((id) => ({
    id,
    files: folders.get(id).sort((one, other) => compare(one.name, other.name)),
    fields: fields.get(id) ?? {},
    key: randomHex(16),
    outcome: "waiting",
    why: "",
  }));
  return { people, leftOut };
}

/** Returns the fields of each subject of a table; throws what `ProblemNotice` shows. */
function fieldsOf([columns = [], ...lines], folders) {
  const text = texts.enroll.folder;
  const refuse = (detail) => {
    throw { title: text.tableWrong, detail };
  };
  if (!columns.includes("subject_id")) refuse(text.noIds);
  const isKnown = (one) => one === "subject_id" || FIELDS.includes(one) || one.startsWith("metadata.");
  const unknown = columns.filter((one) => !isKnown(one));
  if (unknown.length) refuse(text.unknownColumns(unknown.join(", ")));
  const rows = lines.map((line) => Object.fromEntries(columns.map((name, at) => [name, line[at]?.trim() ?? ""])));
  const ids = rows.map((row) => row.subject_id);
  const lost = ids.filter((id) => !folders.has(id));
  if (lost.length) refuse(text.noFolder(lost.slice(0, 5).join(", ")));
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  if (twice.length) refuse(text.twice(twice.slice(0, 5).join(", ")));
  return new Map(rows.map(({ subject_id, ...row }) => [subject_id, withMetadata(row)]));
}

function withMetadata(row) {
  const own = Object.entries(row).filter(([, value]) => value);
  const fields = Object.fromEntries(own.filter(([name]) => FIELDS.includes(name)));
  const metadata = own.filter(([name]) => name.startsWith("metadata."))
    .map(([name, value]) => [name.slice("metadata.".length), value]);
  return metadata.length ? { ...fields, metadata: Object.fromEntries(metadata) } : fields;
}

/** Parses CSV (RFC 4180); blank lines are left out. */
export function parseCsv(content) {
  const cells = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/gy;
  const rows = [[]];
  const whole = content.replace(/^\ufeff/, "");
  for (let found; cells.lastIndex < whole.length && (found = cells.exec(whole)); ) {
    rows.at(-1).push(found[1]?.replaceAll('""', '"') ?? found[2]);
    if (found[3] !== ",") rows.push([]);
  }
  return rows.filter((row) => row.some((cell) => cell.trim()));
}

/** Enrolls those who wait, one after another; `onChange` is called after each step. */
export async function enrollAll(people, signal, onChange) {
  for (const person of people) {
    if (signal.aborted) return;
    if (person.outcome !== "waiting") continue;
    person.outcome = "busy";
    onChange(null);
    await enrollOne(person, signal, onChange);
    onChange(null);
  }
}

async function enrollOne(person, signal, onChange) {
  const form = () => formOf({ subject_id: person.id, ...person.fields }, person.files);
  const headers = { "Idempotency-Key": person.key };
  try {
    await patiently(() => call("POST", "/v1/enroll", { form: form(), headers, signal }), signal, onChange);
    Object.assign(person, { outcome: "enrolled", why: "" });
  } catch (problem) {
    if (signal.aborted) person.outcome = "waiting"; // its key makes the service do it once
    else Object.assign(person, { outcome: outcomeOf(problem), why: problem.detail });
    if (problem.status === 401) throw problem;
  }
}

function outcomeOf({ type, status }) {
  if (type === "urn:palm:problem:subject-exists") return "exists";
  if (type === "urn:palm:problem:palm-known") return "known";
  return status >= 400 && status < 500 ? "refused" : "failed";
}

/** The columns of the report, for `asTable`. */
export const COLUMNS = {
  subject_id: ({ id }) => guarded(id),
  images: ({ files }) => files.length,
  outcome: ({ outcome }) => outcome,
  reason: ({ why }) => guarded(why),
};
