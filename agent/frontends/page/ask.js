// What the open session asks, docked above the message box: choices, lines, secrets, keys and forms; the first answer wins.

import { DECLINE, inWords, nameOfChoice, onButtons, ordered, valueOf, visible, wrongText } from "./answer.js";
import { complain, composing, copyButton, el, say, set, uniqueId } from "./dom.js";
import { nameOf } from "./store.js";
import { locale, t } from "./words.js";

const SETTLES = 400; // ms in which a click was meant for what stood there before
const NOTICE_FOR = 8_000;
// What single keys send; Enter is a line feed on the wire.
const KEYS = { Enter: "\n", Esc: "\x1b", "\u2191": "\x1b[A", "\u2193": "\x1b[B", Tab: "\t", "Ctrl+C": "\x03" };
const END_OF_INPUT = "\x04";

const panels = new Map(); // what is filled in stays, whatever else is shown meanwhile: by session, request and language

export function ask(app) {
  const notice = el("div", { class: "ask-notice", role: "status", hidden: true });
  const pager = el("div", { class: "ask-pager" });
  const card = el("div", { class: "ask-card" });
  const node = el("section", { class: "ask", "aria-label": t("ask.name"), hidden: true }, notice, pager, card);
  let at = ""; // the question that is shown, of several
  let seen = new Map(); // open questions by id, as last drawn
  let log = null;
  let timer = 0;
  draw();
  return { node, update };

  function update(changed) {
    if (["session", "items", "wire"].some((key) => changed.has(key)) || changed.has(`s:${app.session?.id}`)) draw();
  }

  function draw() {
    if (log !== app.session) {
      log = app.session;
      seen = new Map();
      at = "";
      quiet();
    }
    const open = [...(log?.requests.values() ?? [])];
    for (const request of open) if (!seen.has(request.request_id)) heard(request);
    for (const request of seen.values()) if (!open.some((each) => each.request_id === request.request_id)) gone(request);
    seen = new Map(open.map((request) => [request.request_id, request]));
    show(open);
    node.hidden = card.hidden && notice.hidden;
  }

  function show(open) {
    const request = open.find((each) => each.request_id === at) ?? open[0];
    card.hidden = !request;
    drawPager(open, request);
    const panel = request ? panelOf(request) : null;
    panel?.draw();
    if (card.firstChild === (panel?.node ?? null)) return;
    const focused = card.contains(document.activeElement);
    card.replaceChildren(...(panel ? [panel.node] : []));
    at = request?.request_id ?? "";
    if (panel) panel.shown();
    if (focused) (panel?.title ?? document.querySelector("#message"))?.focus();
  }

  function panelOf(request) {
    const key = `${keyOf(log, request)}/${locale()}`;
    if (!panels.has(key)) panels.set(key, makePanel(app, log, request));
    return panels.get(key);
  }

  function drawPager(open, request) {
    pager.hidden = open.length < 2;
    if (pager.hidden) return;
    const place = open.indexOf(request);
    const step = (by) => () => {
      at = open[(place + by + open.length) % open.length].request_id;
      draw();
    };
    const [before, after] = [["ask.before", -1, "\u2039"], ["ask.after", 1, "\u203a"]].map(([key, by, sign]) =>
      el("button", { type: "button", class: "button", "aria-label": t(key), onclick: step(by) }, sign));
    const focused = [...pager.children].indexOf(document.activeElement);
    pager.replaceChildren(before, el("span", {}, t("ask.place", { place: place + 1, all: open.length })), after);
    if (focused >= 0) pager.children[focused].focus();
  }

  function heard(request) {
    app.say(t("ask.asks", { name: asker(app, log), text: visible(request.prompt ?? "") }));
  }

  // A question is open no more: who has answered it, and what was begun here.
  async function gone(request) {
    const [mine, key] = [log, keyOf(log, request)];
    const panel = panels.get(`${key}/${locale()}`);
    for (const name of [...panels.keys()]) if (name.startsWith(`${key}/`)) panels.delete(name);
    await panel?.answered; // the log may tell of an answer of this page before the service does
    const closed = panel?.became ?? closedOf(mine, request);
    if (closed && closed.status !== "accepted" && log === mine) tell(over(app, request, closed), panel?.unsent() ?? "");
  }

  function tell(text, unsent) {
    quiet();
    const away = el("button", { type: "button", class: "copy", onclick: () => quiet() }, t("app.close"));
    const words = unsent && el("span", { dir: "auto" }, ` ${t("ask.unsent", { text: unsent })}`);
    const copy = unsent && copyButton(unsent);
    notice.replaceChildren(el("span", { dir: "auto" }, text), ...[words, copy, away].filter(Boolean));
    notice.hidden = node.hidden = false;
    if (!unsent) timer = setTimeout(quiet, NOTICE_FOR);
  }

  function quiet() {
    clearTimeout(timer);
    notice.hidden = true;
    notice.replaceChildren();
    node.hidden = card.hidden;
  }
}

function keyOf(log, request) {
  return `${log.id}/${request.request_id}`;
}

function closedOf(log, request) {
  return log.items.findLast((item) => item.kind === "answer" && item.closed.request_id === request.request_id)?.closed;
}

// Who asks: the device that the session is on; here its program.
function asker(app, log) {
  const row = app.store.session(log.id);
  return (row && (row.local ? row.backend : nameOf(row.device))) || t("ask.session");
}

// Who answered first, and how, or why nobody waits for it any more (S9).
function over(app, request, closed) {
  const reason = visible(closed.reason ?? "");
  if (closed.status === "expired") return reason ? t("ask.expired.why", { reason }) : t("ask.expired");
  const { name = "", client = "" } = closed.by ?? {};
  const who = visible(name + (client && client !== "page" ? ` (${client})` : "")) || t("ask.somebody");
  const answer = inWords(closed.answer ?? "", request, yesNo);
  return t(answer ? "ask.answered" : "ask.answered.hidden", { name: who, answer });
}

function yesNo(value) {
  return t(value ? "ask.yes" : "ask.no");
}

/** One question: what it is about scrolls in itself, the ways to answer stay in sight. */
function makePanel(app, log, request) {
  const title = el("h2", { id: uniqueId("ask"), tabindex: "-1", dir: "auto" }, visible(request.prompt ?? "") || t("ask.input"));
  const wrong = el("p", { class: "wrong", role: "alert" });
  const state = el("p", { class: "ask-state" });
  const barred = why(app, log, request);
  const way = barred
    ? { body: [], actions: [el("p", { class: "ask-state" }, barred)] }
    : wayOf(request, give, `agent attach --raw ${log.id}`);
  const form = el("form", { novalidate: true, onsubmit: submit, onkeydown: noSubmitWhileComposing },
    el("div", { class: "ask-scroll", tabindex: "0", role: "group", "aria-labelledby": title.id },
      el("p", { class: "ask-who" }, el("span", { class: "dot needs-input" }), t("ask.who", { name: asker(app, log) })),
      title, detail(request.detail), way.body),
    wrong, state, el("div", { class: "actions" }, way.actions));
  const panel = { node: form, title, became: null, answered: null, draw, shown, unsent: () => way.unsent?.() ?? "" };
  let since = 0;
  let busy = false;
  return panel;

  function shown() {
    since = performance.now();
    document.querySelector("#question")?.removeAttribute("id");
    (form.querySelector("input, select, textarea, .actions button") ?? title).id ||= "question";
  }

  function draw() {
    say(state, busy ? t(app.state === "ready" ? "ask.sending" : "ask.waits") : "");
    set(form, "aria-busy", busy && "true");
    for (const button of form.querySelectorAll("button")) button.disabled = busy;
  }

  function submit(event) {
    event.preventDefault();
    if (way.read) give(way.read());
  }

  // Take an answer, `{wrong}` or `{value}`.
  function give(read) {
    if (busy || performance.now() - since < SETTLES) return;
    say(wrong, read.wrong ? t(read.wrong) : "");
    if (read.value !== undefined) panel.answered = answer(read.value);
  }

  async function answer(value) {
    busy = true;
    draw();
    try {
      const told = await app.actions.answer(log.id, request.request_id, value);
      panel.became = told;
      log.answered(request.request_id);
      if (told.status === "accepted") app.say(t("ask.taken"));
    } catch (error) {
      complain(wrong, error);
    } finally {
      busy = false;
      draw();
      app.touch("session");
    }
  }
}

// Why this page may not answer; "" if it may.
function why(app, log, request) {
  const row = app.store.session(log.id);
  if (!row || row.local) return "";
  if (row.share === "read-only") return t("ask.read-only");
  return request.local ? t("ask.local", { name: nameOf(row.device) }) : "";
}

function noSubmitWhileComposing(event) {
  if (event.key === "Enter" && composing(event)) event.preventDefault();
}

function detail(text) {
  if (!text) return null;
  const lines = visible(text).split("\n");
  const patch = lines.some((line) => line.startsWith("@@ "));
  const kind = (line) => ({ "+": "added", "-": "removed", "@": "place" })[/^([-+])\1\1 /.test(line) ? "@" : line[0]];
  return el("pre", { class: "ask-detail", dir: "ltr" }, lines.map((line, index) =>
    el("span", { class: patch && kind(line) }, line + (index < lines.length - 1 ? "\n" : ""))));
}

// The controls of a question: `body` scrolls, `actions` stay in sight, `read` gives what is filled in.
function wayOf(request, answer, raw) {
  if (request.kind === "form") return formWay(request, answer);
  if (request.kind === "choices" && request.choices?.length) return choicesWay(request, answer);
  return textWay(request, answer, raw);
}

function submitButton(key = "ask.answer", primary = true) {
  return el("button", { class: ["button", primary && "primary"] }, t(key));
}

function choicesWay(request, answer) {
  const choices = ordered(request.choices);
  const own = request.own_words ? ownWords(t("ask.own")) : null;
  const ownRow = own && el("div", { class: "ask-own" }, own, submitButton("ask.answer", !onButtons(choices)));
  const unsent = () => own?.value.trim() ?? "";
  if (onButtons(choices)) {
    const buttons = choices.map((choice) => el("button", {
      type: "button", class: ["button", choice.kind === "allow_once" && "primary"], dir: "auto",
      onclick: () => answer({ value: choice.id }),
    }, nameOfChoice(choice)));
    const read = () => (unsent() ? { value: own.value, wrong: wrongText(own.value) } : { wrong: "ask.choose" });
    return { body: [], actions: [buttons, ownRow], read: () => checked(read()), unsent };
  }
  const group = uniqueId("choice");
  const radios = choices.map((choice) => el("input", { type: "radio", name: group, value: choice.id }));
  const rows = choices.map((choice, index) => choiceRow(radios[index], choice));
  return {
    body: [el("div", { class: "ask-choices", role: "radiogroup", "aria-label": t("ask.choices") }, rows)],
    actions: [ownRow ?? submitButton()],
    read: () => {
      const value = unsent() ? own.value : radios.find((radio) => radio.checked)?.value;
      return value === undefined ? { wrong: "ask.choose" } : checked({ value, wrong: wrongText(value) });
    },
    unsent,
  };
}

function textWay(request, answer, raw) {
  const secret = request.kind === "secret";
  const field = el("input", {
    class: "field", type: secret ? "password" : "text", dir: "auto", autocomplete: "off", autocapitalize: "off",
    spellcheck: "false",
  });
  set(field, "aria-label", t(secret ? "ask.secret" : "ask.answer"));
  const more = [];
  if (secret) {
    more.push(el("label", { class: "ask-show" }, el("input", {
      type: "checkbox", onchange: (event) => (field.type = event.target.checked ? "text" : "password"),
    }), t("ask.show")));
  } else if (request.kind === "keys") {
    more.push(Object.entries(KEYS).map(([name, value]) =>
      el("button", { type: "button", class: "button key", onclick: () => answer({ value }) }, name)));
  } else if (request.kind === "line") {
    const end = () => answer({ value: END_OF_INPUT });
    more.push(el("button", { type: "button", class: "button", title: "Ctrl-D", onclick: end }, t("ask.end")));
  }
  const button = submitButton(request.kind === "keys" ? "ask.type" : "ask.answer");
  const row = el("div", { class: "ask-own" }, field, button);
  return {
    body: request.kind === "keys" ? [el("p", { class: "ask-state" }, t("ask.keys"), " ", el("code", {}, raw))] : [],
    actions: [row, more],
    read: () => checked({ value: field.value, wrong: wrongText(field.value) }),
    unsent: () => (secret ? "" : field.value),
  };
}

function ownWords(name) {
  return el("input", { class: "field", dir: "auto", autocomplete: "off", "aria-label": name, placeholder: t("ask.own") });
}

function choiceRow(control, choice) {
  return el("label", { class: "choice", dir: "auto" }, control, el("span", {}, nameOfChoice(choice)));
}

function checked(read) {
  return read.wrong ? { wrong: read.wrong } : read;
}

function formWay(request, answer) {
  const fields = (request.fields ?? []).map(formField);
  const decline = el("button", { type: "button", class: "button", onclick: () => answer({ value: DECLINE }) }, t("ask.decline"));
  return {
    body: fields.map((field) => field.node),
    actions: [submitButton(), decline],
    read() {
      const read = fields.map((field) => [field, field.read()]);
      const bad = read.find(([, { wrong }]) => wrong);
      const given = read.filter(([, { value }]) => value !== undefined).map(([field, { value }]) => [field.name, value]);
      if (!bad) return { value: Object.fromEntries(given) };
      bad[0].focus();
      return { wrong: "ask.mend" };
    },
  };
}

// One field with its label, what it is and what is wrong with it.
function formField(field) {
  const about = el("p", { id: uniqueId("about"), class: "ask-state", dir: "auto" }, visible(field.description ?? ""));
  const wrong = el("p", { id: uniqueId("wrong"), class: "wrong" });
  const name = visible(field.title || field.name);
  const title = [name, field.required ? el("span", { class: "needed" }, ` ${t("ask.required")}`) : null];
  const control = controlOf(field, `${about.id} ${wrong.id}`);
  const own = field.own_words ? ownWords(`${name}: ${t("ask.own")}`) : null;
  const label = labelled(control, title);
  const node = el("div", { class: "ask-field", oninput: () => read() }, label, own, about, wrong);
  let tried = false;
  return { node, name: field.name, read: () => ((tried = true), read()), focus: () => control.first?.focus() };

  function read() {
    const found = control.bad?.() ? { wrong: "ask.number" } : valueOf(field, control.value(), own?.value);
    if (tried) {
      say(wrong, found.wrong ? t(found.wrong) : "");
      set(control.first ?? control.node, "aria-invalid", found.wrong ? "true" : null);
    }
    return found;
  }
}

function labelled({ node, group, box }, title) {
  if (group) return el("fieldset", {}, el("legend", {}, title), node);
  if (box) return el("label", { class: "choice" }, node, el("span", {}, title));
  return el("label", {}, el("span", { class: "name" }, title), node);
}

function options(choices, chosen) {
  return choices.map(([value, name]) => el("option", { value, selected: value === chosen }, name));
}

function controlOf(field, describedBy) {
  const { default: given = null, required, type = "text" } = field;
  const attributes = { "aria-describedby": describedBy, required, autocomplete: "off" };
  if (type === "boolean" && (required || given !== null)) {
    const box = el("input", { ...attributes, type: "checkbox", required: null, checked: given === true });
    return { node: box, first: box, box: true, value: () => box.checked };
  }
  if (type === "boolean") {
    const select = el("select", { ...attributes, class: "field" },
      options([["", "\u2014"], ["yes", yesNo(true)], ["no", yesNo(false)]]));
    return { node: select, first: select, value: () => (select.value ? select.value === "yes" : null) };
  }
  if (type === "choice") {
    const choices = (field.choices ?? []).map((choice) => [choice.id, nameOfChoice(choice)]);
    const select = el("select", { ...attributes, class: "field" }, options([["", "\u2014"], ...choices], given));
    return { node: select, first: select, value: () => select.value };
  }
  if (type === "choices") {
    const boxes = (field.choices ?? []).map((choice) => el("input", {
      type: "checkbox", value: choice.id, checked: choice.id === given, "aria-describedby": describedBy,
    }));
    const rows = boxes.map((box, index) => choiceRow(box, field.choices[index]));
    const value = () => boxes.filter((box) => box.checked).map((box) => box.value);
    return { node: el("div", {}, rows), first: boxes[0], group: true, value };
  }
  const numeric = type === "integer" || type === "number";
  const input = el("input", {
    ...attributes, class: "field", dir: "auto", type: numeric ? "number" : "text", value: given, spellcheck: "false",
    step: type === "number" ? "any" : null,
  });
  return { node: input, first: input, value: () => input.value, bad: () => input.validity.badInput };
}
