// What a session asks and how it is answered, as values: order of choices, checks of fields, words of an answer. Pure.

const KINDS = ["allow_once", "allow_always", "reject_once", "reject_always"];
const BUTTONS_MAX = 5;
const BUTTON_NAME_MAX = 32;
const LINE_MAX = 4000; // bytes of a typed answer
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]/g;

/** The answer to a form by which a person refuses to fill it in. */
export const DECLINE = "decline";

/** A text in which nothing hides or turns the direction: a person allows what stands there. */
export function visible(text) {
  return text.replaceAll("\r\n", "\n").replace(HIDDEN, (mark) => `\u27e8${mark.codePointAt(0).toString(16).toUpperCase()}\u27e9`);
}

export function nameOfChoice(choice) {
  return visible(choice.name?.trim() || choice.id);
}

/** Choices as they are offered: what allows once first, what refuses for ever last; without kinds as the program has them. */
export function ordered(choices) {
  const known = choices.every((choice) => KINDS.includes(choice.kind));
  return known ? [...choices].sort((one, other) => KINDS.indexOf(one.kind) - KINDS.indexOf(other.kind)) : choices;
}

/** Whether choices fit on buttons; others are a list to choose from. */
export function onButtons(choices) {
  return choices.length <= BUTTONS_MAX && choices.every((choice) => nameOfChoice(choice).length <= BUTTON_NAME_MAX);
}

/** Why a typed answer cannot be sent, as a key of words; "" if it can. */
export function wrongText(text) {
  return new TextEncoder().encode(text).length > LINE_MAX ? "ask.long" : "";
}

/**
 * What a field of a form means: `{value}`, undefined if it is left out, or `{wrong}`, a key of words. `raw` is the text of
 * the field, of a boolean true, false or null, of `choices` the list of ids; `own`: one's own words beside the choices.
 */
export function valueOf(field, raw, own = "") {
  const { type = "text" } = field;
  const words = field.own_words ? own.trim() : "";
  if (type === "boolean") return raw === null ? missing(field) : { value: raw };
  if (type === "choices") {
    const value = [...raw, ...(words ? [words] : [])];
    return value.length ? { value } : missing(field);
  }
  if (type === "choice") return raw || words ? { value: words || raw } : missing(field);
  if (type === "text") return raw ? { value: raw } : missing(field);
  if (!raw.trim()) return missing(field);
  const value = Number(raw);
  if (type === "integer" && !Number.isSafeInteger(value)) return { wrong: "ask.integer" };
  return Number.isFinite(value) ? { value } : { wrong: "ask.number" };
}

// What is left out has its default, if there is one.
function missing(field) {
  return field.required && (field.default ?? null) === null ? { wrong: "ask.needed" } : { value: undefined };
}

/** An answer in words; `request` names its choices, `say` gives the words for yes and no. "" for a secret. */
export function inWords(answer, request, say) {
  if (typeof answer !== "object" || answer === null) return one(answer ?? "", request?.choices, say);
  const fields = new Map((request?.fields ?? []).map((field) => [field.name, field]));
  return Object.entries(answer).filter(([, value]) => value !== null).map(([name, value]) => {
    const field = fields.get(name);
    const words = [value].flat().map((each) => one(each, field?.choices, say)).join(", ");
    return `${visible(field?.title || name)}: ${words}`;
  }).join(" · ");
}

function one(value, choices, say) {
  if (typeof value === "boolean") return say(value);
  const choice = choices?.find((each) => each.id === value);
  return choice ? nameOfChoice(choice) : visible(String(value));
}
