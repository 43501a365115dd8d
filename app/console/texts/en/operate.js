/** Texts of the page Operate. */

const some = (number, one, many) => `${number} ${number === 1 ? one : many}`;

export const texts = {
  title: "Operate",
  since: "Counted since this process began. With several replicas, each process counts its own.",
  pause: "Pause",
  resume: "Resume",
  reload: "Reload nets and rates",
  running: {
    title: "What runs", ready: "Ready", notReady: "Not ready",
    broken: (parts) => `These parts do not work: ${parts}. The service's log says why.`,
    subjects: "Subjects", without: "Subjects without templates", templates: "Templates",
    erasures: "Erasures pending", precision: "Precision", meanMap: "Subjects in the mean map",
    nets: "Nets", net: "Net", version: "Version", weight: "Weight", template: "Template id",
  },
  rates: {
    title: "False match rates at this site", unnamed: "Without a named camera",
    used: "in use", unused: "not used",
    measured: (time, subjects, comparisons) =>
      `Measured ${time}: ${subjects} subjects, ${comparisons} comparisons. Thresholds are raised so that the observed rate is the stated one.`,
    columns: ["Stated FMR", "Observed FMR", "95 % interval", "False matches", "Raised by"],
    none: "Not measured at this site",
    advice: "The thresholds were measured on drawn palms. When enough people are enrolled, compare them with each other:",
  },
  scores: {
    title: "Decisions and scores",
    decisions: { match: "Match", no_match: "No match", inconclusive: "Inconclusive" },
    none: "No palm was identified or verified yet.",
    best: (decision) => `Best score: ${decision}`,
    margin: (decision) => `Margin to the threshold: ${decision}`,
    columns: ["Standard deviations", "Decisions"],
  },
  threshold: {
    title: "Another threshold",
    lead: "See which of the recorded decisions another threshold would change. Nothing is changed here.",
    label: "Change of the threshold, in standard deviations",
    by: (by) => (by === 0 ? "The threshold in use" : `${by > 0 ? "Raised" : "Lowered"} by ${Math.abs(by)}`),
    effect: ({ by, fewest, most, of }) => {
      if (by === 0) return "Move the slider to compare.";
      const range = fewest === most ? `${most}` : `${fewest} to ${most}`;
      return by > 0
        ? `${range} of ${some(of, "match", "matches")} would no longer be a match.`
        : `${range} of ${some(of, "palm", "palms")} without a match would reach the threshold.`;
    },
    rates: "False match rates at this threshold",
    columns: ["Setting", "Score", "FMR", "Value of the setting"],
    unmeasured: "not measured",
    honest: "Scores are recorded in steps of one half, so a range is shown. The rates are for one enrolled and one probe image, by the calibration in use. A lower threshold lets more strangers in; set the value and restart the service to change it.",
  },
  requests: {
    title: "Requests and load", busy: "Places in use", waiting: "Waiting", overloaded: "Refused for overload",
    routes: "By route", outcomes: "By problem (none: it succeeded)", refusals: "Refused for quality",
    stages: "Time of each stage", columns: ["What", "Requests"],
    stageColumns: ["Stage", "Half take at most", "99 % take at most"], slower: "longer",
  },
  keys: {
    title: "API keys", new: "New key", create: "Create key", created: "The new key",
    once: "Copy it now. It is not stored and never shown again.",
    copy: "Copy", copied: "Copied", close: "Close", cancel: "Cancel",
    name: "Name", nameHint: "Who uses it, such as front door.", may: "It may",
    expires: "Expires", expiresHint: "Never, if left empty.",
    collections: "Collections", collectionsHint: "Names, separated by commas; all if left empty. Not with admin.",
    revoke: "Revoke", revokeLabel: (name, id) => `Revoke ${name} (${id})`,
    revokeTitle: (name) => `Revoke ${name}?`,
    revokeLead: "Whoever uses it is refused at once. This cannot be undone; the key stays in the list.",
    only: (names) => `only ${names}`, never: "never", ended: "ended",
    none: "There is no key: only this machine is served. From the first key on, everybody needs one.",
    columns: ["Name", "May", "Expires", "Action"],
    scopes: {
      identify: "find whose palm an image shows.", verify: "check a palm against one subject.",
      inspect: "see quality and palm in an image.", enroll: "add and change subjects.",
      force: "enroll a palm that seems known already.", read: "see subjects and their details.",
      erase: "delete subjects and templates.", export: "download what is stored of a subject.",
      explain: "see which veins agree.", scores: "see all digits of scores.",
      metrics: "see counts, nets and rates.", admin: "manage keys and read the audit log.",
    },
  },
  audit: {
    title: "Audit log", lead: "Who did what, newest first. Subjects are pseudonyms. Looking at it is recorded, too.",
    route: "Route", outcome: "Outcome", subject: "Subject's pseudonym", show: "Show", again: "Show newest",
    outcomes: { "": "Any", succeeded: "Succeeded", refused: "Refused", failed: "Failed" },
    columns: ["Line", "Time", "Who", "What", "Outcome", "About"],
    none: "No such line.", older: "Show older lines",
    unreadable: (number) => `${some(number, "line is", "lines are")} torn or altered and not shown.`,
    verify: "Nothing here is verified, and files that were moved away are not shown. To verify:",
  },
};
