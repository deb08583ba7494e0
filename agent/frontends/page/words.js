// The words of the page: texts by key and language, times, numbers and lists by Intl.

import { TEXTS } from "./texts.js";

/** Languages by their tags, each in its own words, in the order in which `TEXTS` has them. */
export const LOCALES = { en: "English", "zh-Hans": "简体中文", "zh-Hant": "繁體中文", ja: "日本語" };
const FIRST = "en";

let chosen = "";
let column = -1; // of its texts
let regional = FIRST; // the same language as the browser's region writes times and numbers

/** Speak a language from now on; an empty name is what the browser asks for. Whether it is another one. */
export function use(wanted = "") {
  const name = wanted in LOCALES ? wanted : preferred();
  if (name === chosen) return false;
  chosen = name;
  column = Object.keys(LOCALES).indexOf(name);
  regional = navigator.languages.find((language) => nameOf(language) === name) ?? name;
  document.documentElement.lang = name;
  return true;
}

/** The locale that the browser asks for. */
export function preferred(languages = navigator.languages) {
  return languages.map(nameOf).find((name) => name in LOCALES) ?? FIRST;
}

// Of Chinese the script decides, which follows from the region if it is not said.
function nameOf(language) {
  const [base] = language.split("-");
  return base === "zh" ? `zh-${new Intl.Locale(language).maximize().script}` : base;
}

/** The locale in use. */
export function locale() {
  return chosen;
}

/**
 * The text of a key with its `{name}` slots filled. With a number `count` it is the form of `key.one`, `key.other` …
 * that the language has for it. A key without a text is shown as it is: a test finds it.
 */
export function t(key, values = {}) {
  const counted = typeof values.count === "number";
  const text = (counted && (textOf(`${key}.${formOf(values.count)}`) ?? textOf(`${key}.other`))) || textOf(key) || key;
  return text.replace(/\{(\w+)\}/g, (slot, name) => {
    const value = values[name] ?? slot;
    return typeof value === "number" ? number(value) : String(value);
  });
}

function formOf(count) {
  return formatter(Intl.PluralRules, {}, chosen || FIRST).select(count);
}

// Keys are grouped by their first words: `chat.working` is in `chat`.
function textOf(key) {
  const dot = key.indexOf(".");
  return TEXTS[key.slice(0, dot)]?.[key.slice(dot + 1)]?.[column];
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How long ago a time was, in the shortest words: `now`, `2m`, `3h`, `4d`, and a date beyond a week. */
export function ago(iso, now = Date.now()) {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (Number.isNaN(seconds)) return "";
  if (seconds < MINUTE) return t("time.now");
  if (seconds < HOUR) return unit(seconds / MINUTE, "minute");
  if (seconds < DAY) return unit(seconds / HOUR, "hour");
  if (seconds < 7 * DAY) return unit(seconds / DAY, "day");
  return date(iso);
}

/** How long something took, in the shortest words: `45s`, `2m`, `3h`. */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000)) || 0;
  if (seconds < 2 * MINUTE) return unit(seconds, "second");
  return seconds < 2 * HOUR ? unit(seconds / MINUTE, "minute") : unit(seconds / HOUR, "hour");
}

const made = new Map();

// Intl formatters are dear to make and cheap to use.
function formatter(Kind, options, language = regional) {
  const key = `${language} ${Kind.name} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, new Kind(language, options));
  return made.get(key);
}

/** Make what a list of sessions needs, before it comes. */
export function warm() {
  for (const name of ["minute", "hour", "day"]) unit(1, name);
}

/** An amount of a unit of time: `2m`, or `2 minutes` if `unitDisplay` is `long`. The narrow form is `2m` in Japanese, too. */
export function unit(amount, name, unitDisplay = chosen === "en" ? "narrow" : "short") {
  const options = { style: "unit", unit: name, unitDisplay, maximumFractionDigits: 0 };
  return formatter(Intl.NumberFormat, options).format(Math.floor(amount));
}

function date(iso) {
  const then = new Date(iso);
  const year = then.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  return formatter(Intl.DateTimeFormat, { month: "short", day: "numeric", ...year }).format(then);
}

/** The time of day; with its date, if that is not today. */
export function clock(iso, now = Date.now()) {
  const then = new Date(iso);
  if (Number.isNaN(then.getTime())) return "";
  const day = then.toDateString() === new Date(now).toDateString() ? {} : { month: "short", day: "numeric" };
  return formatter(Intl.DateTimeFormat, { hour: "2-digit", minute: "2-digit", ...day }).format(then);
}

export function number(value) {
  if (Number.isInteger(value) && value >= 0 && value < 1000) return String(value); // without making a formatter
  return formatter(Intl.NumberFormat, {}).format(value);
}

export function list(items) {
  return formatter(Intl.ListFormat, { type: "conjunction" }).format(items);
}
