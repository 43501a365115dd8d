/**
 * All texts, in the browser's language if there is a translation.
 *
 * A translation is a folder beside texts/en with the same files and keys. Import its files here and
 * add them to LANGUAGES under the language's code. What the service itself says stays English.
 */

import { texts as enroll } from "./texts/en/enroll.js";
import { texts as identify } from "./texts/en/identify.js";
import { texts as operate } from "./texts/en/operate.js";
import { texts as parts } from "./texts/en/parts.js";
import { texts as people } from "./texts/en/people.js";
import { texts as shell } from "./texts/en/shell.js";
import { texts as subject } from "./texts/en/subject.js";

const LANGUAGES = { en: { ...shell, ...parts, ...subject, identify, enroll, people, operate } };

const wanted = navigator.languages.map((one) => one.slice(0, 2));

/** The language's code, for numbers and dates, too. */
export const language = wanted.find((one) => one in LANGUAGES) ?? "en";
export const texts = LANGUAGES[language];
