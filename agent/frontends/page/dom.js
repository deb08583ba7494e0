// Nodes without HTML: elements, keyed lists, dialogs, menus. Text from others only ever becomes text nodes.

import { t } from "./words.js";

/**
 * One element. `attrs`: `on…` is a handler (a button with one for clicks sends no form), `class` a text or a list with false
 * ones left out, `dataset` an object; true sets an attribute, false and null leave it out. Children that are null or false are
 * left out.
 */
export function el(tag, attrs, ...children) {
  const node = document.createElement(tag);
  if (tag === "button" && attrs?.onclick) node.type = "button";
  for (const [name, value] of Object.entries(attrs ?? {})) set(node, name, value);
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Set, change or remove one attribute; nothing is touched if it is as wanted. */
export function set(node, name, value) {
  if (name.startsWith("on")) {
    node.addEventListener(name.slice(2), value);
  } else if (name === "dataset") {
    Object.assign(node.dataset, value);
  } else if (name === "style") {
    throw new TypeError("no style attribute: the policy of the page refuses it; use a class");
  } else {
    const wanted = attribute(name, value);
    if (wanted === null) node.removeAttribute(name);
    else if (node.getAttribute(name) !== wanted) node.setAttribute(name, wanted);
  }
}

function attribute(name, value) {
  if (name === "class" && Array.isArray(value)) value = value.filter(Boolean).join(" ") || null;
  if (value === null || value === undefined || value === false) return null;
  return value === true ? "" : String(value);
}

/** Change a node's text, only if it is another one: a selection in it stays. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Whether a key belongs to an input method that composes: its Enter chooses a word and sends nothing. */
export function composing(event) {
  return event.isComposing || event.keyCode === 229 || event.key === "Process"; // 229: Safari's Enter after its end
}

/** A check box or radio button with its name, and a line about it if there is one. */
export function choice(input, name, more) {
  return el("label", { class: "choice", dir: "auto" }, input,
    el("span", {}, more ? [el("b", {}, name), el("small", {}, more)] : name));
}

/** A field for one line, in which nothing is corrected or completed. */
export function lineField(attributes) {
  const plain = { autocomplete: "off", autocapitalize: "off", spellcheck: "false" };
  return el("input", { class: "field", dir: "auto", ...plain, ...attributes });
}

/** A line for what went wrong, heard at once. */
export function wrongLine() {
  return el("p", { class: "wrong", role: "alert" });
}

/** Have a field say that what stands in it is too long, and take it: `maxlength` would cut what is pasted without a word. */
export function atMost(most, field) {
  const check = () => {
    const { length } = [...field.value];
    field.setCustomValidity(length > most ? t("app.long", { length, most }) : "");
  };
  field.addEventListener("input", check);
  check();
  return field;
}

const SAID_EVERY = 2_000; // ms

/** The line that is only heard. */
export const live = el("div", { class: "unseen", "aria-live": "polite" });
let toSay = "";
let saying = 0;

/** Have a text heard: at most one every 2 s, of more that wait the last one. */
export function announce(text) {
  toSay = text;
  saying ||= setTimeout(speak, live.textContent ? SAID_EVERY : 0);
}

function speak() {
  live.textContent = toSay;
  saying = toSay && setTimeout(speak, SAID_EVERY);
  toSay = "";
}

/** A text of ours with what stands between backticks as code. */
export function coded(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}

/** What an error says, and what to do about it. */
export function errorText({ message, hint }) {
  return hint ? `${message}: ${hint}` : message;
}

/** Have a node say what an error says, its commands as code. */
export function complain(node, error) {
  node.replaceChildren(...coded(errorText(error)));
}

const KEYED = new WeakMap();

/**
 * Have `parent` hold one node for each item, in order. `key(item)` names it, `make(item)` builds its node once,
 * `update(node, item, before)` is called if the item is not the very same value as before. Nodes that are in their
 * place are not touched, so focus, folds and scroll stay. A node that another list has taken over is left there. Gives the
 * nodes by key.
 */
export function keyed(parent, items, key, make, update) {
  const before = KEYED.get(parent) ?? new Map();
  const now = new Map();
  for (const item of items) {
    const name = key(item);
    const known = before.get(name);
    if (now.has(name)) continue;
    if (known === undefined) {
      now.set(name, { node: make(item), item });
    } else {
      if (known.item !== item) update?.(known.node, item, known.item);
      now.set(name, { node: known.node, item });
    }
  }
  for (const [name, { node }] of before) if (!now.has(name) && node.parentNode === parent) node.remove();
  place(parent, [...now.values()].map(({ node }) => node));
  KEYED.set(parent, now);
  return new Map([...now].map(([name, { node }]) => [name, node]));
}

// Walks through what stands there. One that rose is put before it; one that sank is passed over, to be moved at its turn.
function place(parent, nodes) {
  let here = parent.firstChild;
  for (const node of nodes) {
    if (here && here !== node && here.nextSibling === node) here = node;
    if (here === node) here = here.nextSibling;
    else move(parent, node, here);
  }
}

// A node that is moved loses the focus: it is given back.
function move(parent, node, next) {
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  parent.insertBefore(node, next);
  if (focused && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

let labels = 0;

/** A name that no other element has, for `aria-labelledby` and `for`. */
export function uniqueId(prefix = "id") {
  labels += 1;
  return `${prefix}-${labels}`;
}

/**
 * A modal dialog with a title, a body (nodes) and `actions`: `[{label, primary, danger, run}]`. `run` may be async and
 * keeps it open by giving false; without `run` an action closes it. Esc closes; the focus goes back to where it was. It
 * is on what is to be filled in, or on the primary action; where something is lost there is none, and it is on the first.
 */
export function dialog({ title, body, actions }) {
  const id = uniqueId("dialog");
  const inside = el("div", { class: "dialog-body" }, body);
  const fields = inside.querySelector("input, select, textarea");
  const buttons = actions.map((action) => el("button", {
    class: ["button", action.primary && "primary", action.danger && "danger"],
    autofocus: action.primary && !fields,
    onclick: () => act(action),
  }, action.label));
  const form = el("form", { method: "dialog", onsubmit: submit },
    el("h2", { id }, title), inside, el("div", { class: "actions" }, buttons));
  const node = el("dialog", { "aria-labelledby": id, class: "dialog" }, form);
  node.addEventListener("close", () => node.remove());
  node.addEventListener("click", (event) => event.target === node && node.close());
  document.body.append(node);
  node.showModal();
  return node;

  async function act(action) {
    if (buttons[0].disabled || (action.primary && !form.reportValidity())) return;
    for (const button of buttons) button.disabled = true;
    try {
      if ((await action.run?.()) !== false) node.close();
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  }

  function submit(event) {
    event.preventDefault();
    const primary = actions.find((action) => action.primary);
    if (primary) act(primary);
  }
}

/** A dialog that asks before something is done: it stays open, with what the service says, if that failed. */
export function ask(title, body, label, look, run) {
  const wrong = wrongLine();
  dialog({
    title,
    body: [...body, wrong],
    actions: [{ label: t("app.cancel") }, { label, primary: !look.danger, danger: look.danger, run: attempt }],
  });

  async function attempt() {
    wrong.textContent = "";
    try {
      await run();
    } catch (error) {
      complain(wrong, error);
      return false;
    }
  }
}

/**
 * A menu under `anchor`: `items` are `[{label, danger, run}]`. Arrows, Home, End and first letters move in it, Esc and a
 * click elsewhere close it; the focus goes back to `anchor`.
 */
export function menu(anchor, items, label) {
  const entries = items.map((item) => el("button", {
    role: "menuitem", tabindex: "-1", class: ["menu-item", item.danger && "danger"],
    onclick: () => {
      close();
      item.run();
    },
  }, item.label));
  const node = el("div", { role: "menu", class: "menu", "aria-label": label, onkeydown: key }, entries);
  const away = (event) => node.contains(event.target) || anchor.contains(event.target) || close(false);

  function key(event) {
    const at = entries.indexOf(document.activeElement);
    const place = { ArrowDown: (at + 1) % entries.length, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    const begins = (entry, index) => index > at && entry.textContent.toLowerCase().startsWith(event.key.toLowerCase());
    const to = place === undefined ? entries.find(begins) : entries.at(place);
    if (event.key === "Escape" || event.key === "Tab") close();
    else if (to) to.focus();
    else return;
    event.stopPropagation();
    if (event.key !== "Tab") event.preventDefault();
  }

  function close(back = true) {
    if (over.signal.aborted) return;
    over.abort();
    node.remove();
    anchor.setAttribute("aria-expanded", "false");
    if (back && anchor.isConnected) anchor.focus();
  }

  // The menu moves with its anchor: a scroll may be told late, from before it was there.
  const follow = () => (anchor.isConnected ? under(node, anchor.getBoundingClientRect()) : close(false));
  const over = new AbortController();
  const listen = (target, type, run) => target.addEventListener(type, run, { capture: true, signal: over.signal });
  (anchor.closest("nav, main, dialog") ?? document.body).append(node);
  follow();
  anchor.setAttribute("aria-expanded", "true");
  listen(document, "pointerdown", away);
  listen(document, "scroll", follow);
  listen(window, "resize", follow);
  entries[0]?.focus({ preventScroll: true });
  return node;
}

// Below the anchor, or above it where there is no room; never outside of the window.
function under(node, anchor) {
  const { width, height } = node.getBoundingClientRect();
  const below = anchor.bottom + height <= innerHeight - 8;
  const left = Math.max(8, Math.min(anchor.right - width, innerWidth - width - 8));
  const top = Math.max(8, below ? anchor.bottom : anchor.top - height);
  node.style.setProperty("left", `${left}px`);
  node.style.setProperty("top", `${top}px`);
}

/** A button that copies `text` (or what a function gives) and says so for two seconds. */
export function copyButton(text) {
  let timer = 0;
  const button = el("button", { class: "copy", onclick: copy }, t("app.copy"));
  return button;

  async function copy() {
    let said = "app.copied";
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
    } catch {
      said = "app.uncopied"; // no permission, or the window is not in front
    }
    say(button, t(said));
    announce(t(said));
    clearTimeout(timer);
    timer = setTimeout(() => say(button, t("app.copy")), 2000);
  }
}

/** What to do where this document cannot go on. */
export function opensAnew() {
  return [t("login.command"), " ", el("code", {}, "agent page"), " ", copyButton("agent page")];
}
