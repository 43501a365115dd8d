/** Texts of the components that several pages share. */

const percent = (share) => `${Math.floor(100 * share)} %`;

export const texts = {
  problem: {
    retryAfter: (seconds) => `Try again in ${seconds} ${seconds === 1 ? "second" : "seconds"}.`,
    requestId: (id) => `Request ${id}`,
  },
  input: {
    label: "Image of a palm",
    drop: "Drop an image of a palm here, or paste one",
    dropSeveral: "Drop images of one palm here, or paste them",
    dropFolder: "Drop a folder, or many images, here",
    choose: "Choose an image",
    chooseSeveral: "Choose images",
    chooseFolder: "Choose a folder",
    camera: "Use the camera",
    hint: "A whole open hand, or a square crop of a palm, as PNG, JPEG, BMP, TIFF or WebP.",
    veins:
      "Ordinary phone and web cameras do not show veins: use a near-infrared camera " +
      "(850 to 940 nm).",
  },
  picture: {
    alt: "The image that was sent",
    cannotShow: "This browser cannot show the file. The service may still read it.",
  },
  camera: {
    title: "The camera cannot be used",
    live: "Picture of the camera",
    device: "Camera",
    take: "Take the photograph",
    close: "Close the camera",
    byItself: "Take it as soon as it is good",
    starting: "The camera starts …",
    looking: "Looking for a palm …",
    usable: "Good. Hold still.",
    unusable: "Not yet.",
    noGuidance: "This key lacks the scope inspect, so there is no guidance.",
    failures: {
      InsecureContext:
        "Browsers allow a camera only over HTTPS, or on localhost. Open this page in one of " +
        "these ways.",
      NotAllowedError:
        "The browser does not allow this page to use it. Allow the camera beside the address, " +
        "then try again.",
      NotFoundError: "No camera is connected. Connect one, then try again.",
      NotReadableError: "Another program uses it. Close that program, then try again.",
    },
    failed: (message) => `The browser says: ${message || "no reason"}.`,
  },
  options: {
    title: "Options",
    collections: "Collections to search",
    collectionsHint: "None ticked means all that you may search.",
    capture: "What the image shows",
    captures: {
      "": "As the service is set",
      auto: "Either; the service decides",
      hand: "A whole hand",
      roi: "A square crop of a palm",
    },
    camera: "Name of the camera",
    cameraHint: "Only if the service knows several cameras, such as front-door.",
  },
  quality: {
    title: "Image quality",
    score: (score) => `${score} of 100`,
    details: "What was measured",
    components: {
      palm: "Certainty of a palm",
      palm_px: "Width of the palm",
      sharpness: "Sharpness",
      veins: "Contrast of the veins",
      brightness: "Brightness",
      saturated: "Too bright",
      blocks: "JPEG blocks",
      skin: "Palm within the image",
      pose: "Facing the camera",
    },
    shown: {
      palm: (value) => percent(value),
      palm_px: (value) => `${Math.round(value)} pixels`,
      sharpness: (value) => value.toFixed(2),
      veins: (value) => `${value.toFixed(1)} grey levels`,
      brightness: (value) => percent(value),
      saturated: (value) => percent(value),
      blocks: (value) => value.toFixed(2),
      skin: (value) => percent(value),
      pose: (value) => percent(value),
    },
  },
};
