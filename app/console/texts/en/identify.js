/** Texts of the page Identify. */

const number = (value) => value.toLocaleString("en", { maximumSignificantDigits: 4 });
/** Rounds down, as the service does: what is not certain must not look so. */
const percent = (share) => `${(Math.floor(share * 1e4) / 100).toFixed(2).replace(/\.?0+$/, "")} %`;
const people = (count) => `${count.toLocaleString("en")} ${count === 1 ? "palm" : "palms"}`;

const verdicts = {
  match: (who) => `This is ${who}`,
  no_match: () => "Nobody we know",
  inconclusive: () => "Not sure",
};

const sure = (decision, confidence, searched) => ({
  match: `${percent(confidence)} sure, among ${people(searched)}.`,
  no_match: `${percent(confidence)} sure that none of ${people(searched)} fits.`,
  inconclusive: `The palm resembles someone among ${people(searched)}, ` +
    "but not clearly enough. Take another photograph.",
})[decision];

export const texts = {
  title: "Identify",
  what: "What to identify",
  modes: { one: "One palm", folder: "A folder" },
  image: "Image",
  images: "Images",
  qualityOf: (n) => `Quality of image ${n}`,
  otherCapture: "If the image is right, say under Options what it shows.",
  imageNumber: (n) => `Image ${n}`,
  answer: "Answer",
  another: "Another palm",
  again: "Identify again",
  busy: "Identifying …",
  nothingYet: "No palm yet",
  nothingYetAdvice: "Choose, drop, paste or take a photograph: the answer appears here.",
  seenAs: ({ capture, hand }) =>
    capture === "roi" ? "taken for a crop of a palm" : hand ? `a ${hand} hand` : "a hand",

  verdicts,
  sure,
  /** What is read out once the answer is there. */
  summary: ({ decision, identity, confidence, searched }) =>
    `${verdicts[decision](identity?.name || identity?.subject_id)}. ` +
    sure(decision, confidence, searched),
  about: ({ hand, collection }) =>
    (hand ? ` · ${hand} hand` : "") +
    (collection === "default" ? "" : ` · collection ${collection}`),
  warning: "This answer may be less reliable",
  outage: "The gallery's database cannot be reached",
  outageSince: (time) => `People are as they were on ${new Date(time).toLocaleString("en")}.`,
  explanation: "Why",
  explanationAlt:
    "The palm's vein map, green where it agrees with the match and red where it does not",
  explanationHint:
    "The vein map of the first image: green where it agrees with this person's, red where it " +
    "does not.",
  candidates: "Most similar",
  noCandidates: "Nobody is enrolled yet.",
  subject: "Person",
  confidence: "Confidence",
  score: "Score",
  thresholdHint: ({ score, fmr }) =>
    `A match needs a score of ${number(score)}. ` +
    `A stranger's palm reaches it in ${number(fmr * 1e6)} of a million comparisons.`,
  votes: "What each net says",
  net: "Net",
  says: "Answer",
  scoreOfNeeded: "Score / needed",
  scoreAndNeeded: ({ score, threshold }) =>
    `${score === null ? "–" : number(score)} / ${number(threshold.score)}`,
  vote: ({ decision, subject_id }) =>
    ({ match: subject_id, no_match: "nobody", inconclusive: "not sure" })[decision],
  timings: "Durations",
  stages: {
    decode: "Decode the image",
    find: "Find the palm",
    nets: "Compute the vein maps",
    search: "Compare",
    explain: "Draw the explanation",
    total: "In total",
  },
  ms: (ms) => `${ms.toFixed(1)} ms`,
  percent,
  number,

  folder: {
    done: (done, all) => `${done.toLocaleString("en")} of ${all.toLocaleString("en")} palms`,
    leftOut: (count) => `${count} other ${count === 1 ? "file" : "files"} left out`,
    noImages: (count) =>
      `None of ${count} ${count === 1 ? "file" : "files"} is an image: ` +
      "PNG, JPEG, BMP, TIFF or WebP",
    stop: "Stop",
    resume: "Identify the rest",
    another: "Another folder",
    csv: "Download as CSV",
    progress: "Progress",
    show: "Show",
    results: "Results",
    file: "File",
    outcome: "Answer",
    quality: "Quality",
    more: (count) => `Show ${count} more`,
    outcomes: {
      "": "All",
      match: "Known",
      no_match: "Nobody",
      inconclusive: "Not sure",
      problem: "Refused",
      waiting: "Waiting",
    },
  },
};
