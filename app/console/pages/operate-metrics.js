/** Reads Prometheus' text format, and answers questions about what it counts. */

/** @typedef {{name: string, labels: Record<string, string>, value: number}} Sample */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { n: "\n", "\\": "\\", '"': '"' };

/** @returns {Sample[]} */
export function parse(text) {
  return text.split("\n").flatMap((line) => {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) return [];
    const labels = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(LABEL)) {
      labels[name] = value.replace(/\\(.)/g, (_, one) => ESCAPES[one] ?? one);
    }
    return [{ name: found[1], labels, value: number(found[3]) }];
  });
}

function number(text) {
  return { "+Inf": Infinity, "-Inf": -Infinity }[text] ?? Number(text);
}

/** Returns the samples of a name that have these labels. */
export function pick(samples, name, labels = {}) {
  const wanted = Object.entries(labels);
  return samples.filter(
    (one) => one.name === name && wanted.every(([key, value]) => one.labels[key] === value),
  );
}

/** Returns the sum of these samples; null if there are none. */
export function total(samples, name, labels = {}) {
  const found = pick(samples, name, labels);
  return found.length ? found.reduce((sum, one) => sum + one.value, 0) : null;
}

/** Returns sums by the value of a label, the largest first. */
export function sums(samples, name, label) {
  const found = new Map();
  for (const one of pick(samples, name)) {
    found.set(one.labels[label], (found.get(one.labels[label]) ?? 0) + one.value);
  }
  return [...found].filter(([, value]) => value > 0).sort((a, b) => b[1] - a[1]);
}

/** Returns a histogram's buckets [{from, to, count}], from the lowest. */
export function buckets(samples, name, labels) {
  const found = pick(samples, `${name}_bucket`, labels)
    .map((one) => [number(one.labels.le), one.value])
    .sort((a, b) => a[0] - b[0]);
  return found.map(([to, below], at) => ({
    from: at ? found[at - 1][0] : -Infinity,
    to,
    count: below - (at ? found[at - 1][1] : 0),
  }));
}

/** Returns the bound of the bucket in which a quantile lies; null without observations. */
export function quantile(samples, name, labels, share) {
  const found = buckets(samples, name, labels);
  const all = found.reduce((sum, one) => sum + one.count, 0);
  let below = 0;
  return all ? found.find((one) => (below += one.count) >= share * all).to : null;
}

/**
 * Tells how many recorded decisions another threshold would change.
 *
 * Recorded is the score rounded down to a half, minus its threshold. So a score is up to half a
 * deviation higher than recorded, and what is told are the fewest and the most that would change.
 * @param {Sample[]} samples
 * @param {number} by what is added to the threshold, in halves
 * @returns {{decision: string, fewest: number, most: number, of: number}}
 */
export function changed(samples, by) {
  const decision = by < 0 ? "no_match" : "match";
  const found = buckets(samples, "palm_score_margin", { decision });
  const upTo = (bound) =>
    found.filter((one) => one.to <= bound).reduce((sum, one) => sum + one.count, 0);
  const of = upTo(Infinity);
  if (by === 0) return { decision, fewest: 0, most: 0, of };
  return by > 0
    ? { decision, fewest: upTo(by - 0.5), most: upTo(by), of }
    : { decision, fewest: of - upTo(by), most: of - upTo(by - 0.5), of };
}
