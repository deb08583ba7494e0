// Shortcuts: which key does what. A single key never works in a field, and all of them can be switched off.

import { composing, dialog, el } from "./dom.js";
import { t } from "./words.js";

const FIELDS = "input, textarea, select, [contenteditable], [role=menu]";

/** Key as it is shown, and the name of what it does; `keys.NAME` has its words. */
const SINGLE = {
  "/": "filter",
  n: "new",
  j: "next",
  k: "previous",
  "?": "list",
};
const CHORDS = { "Esc": "message", "Ctrl+.": "interrupt", "Alt+A": "question" };

/** Listen for shortcuts, for as long as the page lives. */
export function shortcuts(app) {
  const does = {
    filter: () => app.sidebar.focus(),
    new: () => app.go("#/new"),
    next: () => app.sidebar.step(1),
    previous: () => app.sidebar.step(-1),
    list: () => list(),
    message: () => document.querySelector("#message")?.focus(),
    interrupt: () => document.querySelector("#stop:not([hidden])")?.click(),
    question: () => document.querySelector("#question")?.focus(),
  };
  document.addEventListener("keydown", (event) => {
    const name = meant(event, app.keep.settings?.keys !== false);
    if (!name || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    does[name]();
  });
}

function meant(event, single) {
  if (composing(event)) return null;
  const control = event.ctrlKey || event.metaKey;
  if (control && !event.altKey && event.key === ".") return "interrupt";
  if (event.altKey && !control && event.code === "KeyA") return "question";
  if (control || event.altKey) return null;
  const field = event.target.closest(FIELDS);
  if (event.key === "Escape") return field ? null : "message";
  return single && !field ? SINGLE[event.key] ?? null : null;
}

/** Show which shortcuts there are. */
export function list() {
  const rows = Object.entries({ ...SINGLE, ...CHORDS }).map(([key, name]) =>
    el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, t(`keys.${name}`))));
  dialog({
    title: t("keys.title"),
    body: [el("dl", { class: "keys" }, rows)],
    actions: [{ label: t("app.close"), primary: true }],
  });
}
