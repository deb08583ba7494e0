// The words of the page: texts by key and language, times, numbers and lists by Intl.

export const LOCALES = { en: "English", "zh-Hans": "简体中文", "zh-Hant": "繁體中文", ja: "日本語" };
const FIRST = "en";

const texts = new Map(); // by locale, of those that have come
let chosen = "";
let regional = FIRST; // the same language as the browser's region writes times and numbers
let plurals = new Intl.PluralRules(FIRST);

/**
 * Load the words: those of the wanted locale first, then all others, as nothing is served to a page of an earlier start
 * of the service. Raises: Error, if the service does not give the first.
 */
export async function load(wanted) {
  const name = wanted in LOCALES ? wanted : preferred();
  await Promise.all([...new Set([name, FIRST])].map(read));
  use(name);
  for (const other of Object.keys(LOCALES)) read(other).catch(() => {}); // English is there
}

async function read(name) {
  if (texts.has(name)) return;
  const answer = await fetch(`/locales/${name}.json`);
  if (!answer.ok) throw new Error(`${name}.json: ${answer.status}`);
  texts.set(name, flat(await answer.json()));
}

// In the files keys are grouped by their first words: `{"chat": {"working": …}}` is `chat.working`.
function flat(tree, prefix = "") {
  return Object.assign({}, ...Object.entries(tree).map(([name, value]) =>
    typeof value === "string" ? { [prefix + name]: value } : flat(value, `${prefix}${name}.`)));
}

/** Speak another language from now on; an empty name is what the browser asks for. Whether it is another one. */
export function use(wanted) {
  const name = wanted in LOCALES ? wanted : preferred();
  if (name === chosen) return false;
  chosen = name;
  regional = navigator.languages.find((language) => nameOf(language) === name) ?? name;
  plurals = new Intl.PluralRules(name);
  document.documentElement.lang = name;
  return true;
}

/** The locale that the browser asks for. */
export function preferred(languages = navigator.languages) {
  return languages.map(nameOf).find((name) => name in LOCALES) ?? FIRST;
}

// Of Chinese the script decides, which follows from the region if it is not said.
function nameOf(language) {
  const { language: base, script } = new Intl.Locale(language).maximize();
  return base === "zh" ? `zh-${script}` : base;
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
  const form = typeof values.count === "number" ? `${key}.${plurals.select(values.count)}` : key;
  const text = textOf(chosen, form, key) ?? textOf(FIRST, form, key) ?? key;
  return text.replace(/\{(\w+)\}/g, (slot, name) => {
    const value = values[name] ?? slot;
    return typeof value === "number" ? number(value) : String(value);
  });
}

function textOf(name, form, key) {
  const all = texts.get(name) ?? {};
  return all[form] ?? all[`${key}.other`] ?? all[key];
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
function formatter(Kind, options) {
  const key = `${regional} ${Kind.name} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, new Kind(regional, options));
  return made.get(key);
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
  return formatter(Intl.NumberFormat, {}).format(value);
}

export function list(items) {
  return formatter(Intl.ListFormat, { type: "conjunction" }).format(items);
}
