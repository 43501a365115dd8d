/** Tables for spreadsheets. No component. */

/**
 * Returns rows as CSV (RFC 4180), in UTF-8 with a mark for spreadsheets.
 *
 * @param {object[]} rows
 * @param {Record<string, (row: object) => any>} columns what stands in each column, by its title
 */
export function asTable(rows, columns) {
  const values = rows.map((row) => Object.values(columns).map((of) => of(row)));
  const table = [Object.keys(columns), ...values];
  return `\ufeff${table.map((line) => line.map(quoted).join(",")).join("\r\n")}\r\n`;
}

/** Keeps a spreadsheet from taking a name for a formula. */
export function guarded(text) {
  return /^[=+\-@\t\r]/.test(text ?? "") ? `'${text}` : text;
}

function quoted(value) {
  const text = String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
