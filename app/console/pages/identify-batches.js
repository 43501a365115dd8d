/** Many palms in several requests, and the table that comes of them. No component. */

import { lines } from "../api.js";
import { guarded } from "../parts/csv.js";
import { patiently } from "../parts/patience.js";
import { optionsInto } from "../parts/search-options.js";

const MOST_IMAGES = 256; // of POST /v1/identify/batch
const MOST_BYTES = 24 * 2 ** 20; // less than PALM_MAX_BODY_MB is by default
const IMAGE = /\.(png|jpe?g|bmp|tiff?|webp)$/i;

/**
 * One image: its position, and what came of it, of which nothing is set while it waits.
 * @typedef {{index: number, file: File, identification?: object, problem?: object}} Row
 */

/** Tells whether a file's name is that of an image; folders hold other files, too. */
export function isImage(file) {
  return IMAGE.test(file.name) || file.type.startsWith("image/");
}

/** Returns a file's path in the folder that was chosen. */
export function pathOf(file) {
  return file.webkitRelativePath || file.name;
}

/** Returns match, no_match, inconclusive, problem or waiting. */
export function outcomeOf({ identification, problem }) {
  return problem ? "problem" : identification?.decision ?? "waiting";
}

/**
 * Identifies the rows that wait, and fills them in as answers arrive.
 * @throws {import("../api.js").Problem} if a whole request is refused; the rest keeps waiting
 */
export async function identifyAll(rows, options, signal) {
  for (const part of partsOf(rows.filter((row) => outcomeOf(row) === "waiting"))) {
    await identifyPart(part, options, signal);
  }
}

/** Splits rows into such parts as one request may hold. */
export function partsOf(rows) {
  const parts = [];
  let bytes = Infinity;
  for (const row of rows) {
    const full = bytes + row.file.size > MOST_BYTES || parts.at(-1).length === MOST_IMAGES;
    if (full) parts.push([]);
    bytes = (full ? 0 : bytes) + row.file.size;
    parts.at(-1).push(row);
  }
  return parts;
}

function identifyPart(rows, options, signal) {
  const fillIn = () => fill(rows.filter((row) => outcomeOf(row) === "waiting"), options, signal);
  return patiently(fillIn, signal);
}

async function fill(rows, options, signal) {
  const form = new FormData();
  rows.forEach(({ file }) => form.append("images", file, file.name));
  optionsInto(form, options);
  for await (const line of lines("POST", "/v1/identify/batch", { form, signal })) {
    const row = rows[line.index];
    row.identification = line.identification;
    row.problem = line.problem;
  }
}

/** The columns of the table that can be saved. */
export const COLUMNS = {
  file: (row) => guarded(pathOf(row.file)),
  outcome: (row) => outcomeOf(row),
  subject_id: ({ identification }) => guarded(identification?.identity?.subject_id),
  name: ({ identification }) => guarded(identification?.identity?.name),
  confidence: ({ identification }) => identification?.confidence,
  score: ({ identification }) => identification?.candidates[0]?.score,
  quality: ({ identification }) => identification?.quality[0]?.score,
  warnings: ({ identification }) => guarded(identification?.warnings.join("; ")),
  problem: ({ problem }) => guarded(problem?.detail),
};
