// What a session asks and how it is answered, as values: order of choices, checks of fields, words of an answer.

import { list, t } from "./words.js";

const KINDS = ["allow_once", "allow_always", "reject_once", "reject_always"];
const LINE_MAX = 4000; // bytes of a typed answer
/** What single keys send; Enter is a line feed on the wire. */
export const KEYS = { Enter: "\n", Esc: "\x1b", "\u2191": "\x1b[A", "\u2193": "\x1b[B", Tab: "\t", "Ctrl+C": "\x03" };
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]/g;

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

/** How a question ended, in words: who answered what (`first`: before this page did), or why it is asked no more (S9). */
export function endingOf({ status, reason, by, answer }, request, first = false) {
  if (status === "expired") return [t("ask.expired"), visible(reason ?? "")].filter(Boolean).join(": ");
  const { name = "", client = "" } = by ?? {};
  const who = visible(name + (client && client !== "page" ? ` (${client})` : "")) || t("ask.somebody");
  return t(first ? "ask.first" : "ask.answered", { name: who, answer: inWords(answer, request) });
}

/** An answer in words; `request`, where it is known, names choices and fields. */
export function inWords(answer = "", request = null) {
  const nothing = () => t(request && request.kind !== "secret" ? "ask.empty" : "ask.hidden");
  const key = !request?.choices && Object.keys(KEYS).find((name) => KEYS[name] === answer);
  if (typeof answer !== "object") return key || one(answer, request?.choices) || nothing();
  const fields = new Map((request?.fields ?? []).map((field) => [field.name, field]));
  return Object.entries(answer).filter(([, value]) => value !== null).map(([name, value]) => {
    const field = fields.get(name);
    return `${visible(field?.title || name)}: ${list([value].flat().map((each) => one(each, field?.choices)))}`;
  }).join(" · ") || nothing();
}

function one(value = "", choices) {
  if (typeof value === "boolean") return t(value ? "ask.yes" : "ask.no");
  const choice = choices?.find((each) => each.id === value);
  return choice ? nameOfChoice(choice) : visible(String(value));
}
