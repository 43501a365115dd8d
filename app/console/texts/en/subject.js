/** Texts of the fields of a subject, and of the images of a palm. */

export const texts = {
  subject: {
    name: "Name",
    hand: "Hand",
    hands: { "": "not said", left: "Left", right: "Right" },
    collection: "Collection",
    camera: "Name of the camera",
    consent: "Consent",
    retain_until: "Erase on",
    metadata: "Further details",
    more: "Collection, retention and more",
    metadataWrong: (line) => `"${line}" has no colon: write key: value`,
    hints: {
      consent: "Where the person's consent is recorded, such as the number of a form.",
      collection: "Left empty: default, or the only one that the key may use.",
      camera: "Only if the service has several cameras.",
      retain_until: "From the start of this day on nobody finds the person, and the service erases them.",
      metadata: "What your own systems know the person by: one key: value in each line.",
    },
  },
  palms: {
    image: (number) => `Image ${number}`,
    remove: "Remove",
    removeNamed: (number) => `Remove image ${number}`,
    states: { busy: "Looking …", refused: "Cannot be used", usable: "Good", unknown: "Not checked" },
    badges: { busy: "", refused: "badge-error", usable: "badge-good", unknown: "" },
  },
};
