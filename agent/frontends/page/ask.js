// What the open session asks, docked above the message box: the first answer wins, and everybody sees whose (S9).

import { endingOf, inWords, KEYS, nameOfChoice, ordered, visible, wrongText } from "./answer.js";
import { choice, complain, composing, copyButton, el, lineField, say, set, uniqueId, wrongLine } from "./dom.js";
import { formOf } from "./form.js";
import { nameOf } from "./store.js";
import { locale, t } from "./words.js";

const SETTLES = 400; // ms in which a click was meant for what stood there before
const NOTICE_FOR = 8_000;
const PLACES = 5; // of the files that a tool would touch, as many are named
const LONG = 32; // characters of a choice beyond which each is a row of its own
const DECLINE = "decline"; // by which a person refuses to fill in a form
const END_OF_INPUT = "\x04";

const panels = new Map(); // by session and request: what is filled in stays, whatever else is shown meanwhile
let spoken = ""; // their language
let idle = false; // nothing was pressed since an answer was given here, and the focus went to the message box
for (const kind of ["keydown", "pointerdown"]) addEventListener(kind, () => (idle = false), true);

export function ask(app) {
  const notice = el("div", { class: "ask-notice", role: "status", hidden: true });
  const pager = el("div", { class: "ask-pager" });
  const card = el("div", { class: "ask-card" }, pager);
  const node = el("section", { class: "ask", "aria-label": t("ask.name"), hidden: true }, notice, card);
  let shown = null; // the panel of the question that is shown, of several
  let log = null;
  let timer = 0;
  if (spoken !== locale()) panels.clear();
  spoken = locale();
  draw();
  return { node, update };

  function update(changed) {
    if (["session", "items", "wire", "loaded", `s:${app.route.id}`].some((key) => changed.has(key))) draw();
  }

  function draw() {
    if (log !== app.session) quiet();
    log = app.session;
    const open = app.store.loaded ? [...(log?.requests.values() ?? [])].map(panelOf) : [];
    // Nothing is known to be over before the log has come.
    for (const panel of log?.epoch ? panels.values() : []) {
      if (panel.session === log.id && !log.requests.has(panel.id)) over(panel);
    }
    show(open.includes(shown) ? shown : open[0] ?? null, open);
    node.hidden = card.hidden && notice.hidden;
  }

  function panelOf(request) {
    const key = `${log.id}/${request.request_id}`;
    if (!panels.has(key)) {
      panels.set(key, makePanel(app, key, log.id, request));
      app.say(t("ask.asks", { name: asker(app, log.id), text: visible(request.prompt ?? "") }));
    }
    return panels.get(key);
  }

  function show(panel, open) {
    card.hidden = !panel;
    drawPager(panel, open);
    panel?.draw();
    if (panel === shown) return;
    const box = document.querySelector("#message");
    const inside = card.contains(document.activeElement);
    shown = panel;
    if (panel && notice.children.length < 2) quiet(); // what was begun stays
    card.replaceChildren(pager, ...(panel ? [panel.node] : []));
    panel?.shown();
    if (inside && !panel) {
      app.focus();
      idle = true;
    } else if (inside) {
      (panel.field ?? panel.title).focus();
    } else if (idle && panel?.field && document.activeElement === box && !box.value) {
      panel.field.focus(); // the next line that the same program reads
    }
  }

  function drawPager(panel, open) {
    pager.hidden = open.length < 2;
    const focused = [...pager.children].indexOf(document.activeElement);
    const place = open.indexOf(panel);
    const step = (key, by, sign) => el("button", {
      class: "button", "aria-label": t(key),
      onclick: () => show(open.at((place + by) % open.length), open),
    }, sign);
    pager.replaceChildren(step("ask.before", -1, "\u2039"),
      el("span", {}, t("ask.place", { place: place + 1, all: open.length })), step("ask.after", 1, "\u203a"));
    pager.children[focused]?.focus();
  }

  // A question is open no more: say who has answered it, and give back what was begun here.
  async function over(panel) {
    panels.delete(panel.key);
    await panel.answered; // the log may tell of an answer of this page before the service does
    if (log?.id !== panel.session || panel.became?.status === "accepted") return;
    const item = log.items.findLast((each) => each.kind === "answer" && each.closed.request_id === panel.id);
    const closed = panel.became ?? item?.closed;
    const [ending, unsent] = [endingOf(closed ?? { status: "expired" }, panel.request, Boolean(panel.became)), panel.unsent()];
    if (closed || unsent) tell(ending, unsent);
  }

  function tell(text, unsent) {
    quiet();
    notice.replaceChildren(el("span", { dir: "auto" }, text));
    if (unsent) {
      notice.append(el("span", { dir: "auto" }, t("ask.unsent", { text: unsent })), copyButton(unsent),
        el("button", { class: "copy", onclick: quiet }, t("app.close")));
    }
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

// Who asks: the device that the session is on; here its program.
function asker(app, id) {
  const row = app.store.session(id);
  return (row && (row.local ? row.backend : nameOf(row.device))) || t("ask.session");
}

/** One question: what it is about scrolls in itself, the ways to answer stay in sight. */
function makePanel(app, key, session, request) {
  const asked = visible(request.prompt ?? "") || t("ask.input");
  const title = el("h2", { id: uniqueId("ask"), tabindex: "-1", dir: "auto" }, asked);
  const wrong = wrongLine();
  const state = el("p", { class: "ask-state" });
  const barred = why(app, session, request);
  const way = barred ? { node: el("p", { class: "ask-state" }, barred) } : wayOf(request, give, session);
  const form = el("form", { novalidate: true, onsubmit: submit, onkeydown: noSubmitWhileComposing },
    el("div", { class: "ask-scroll", tabindex: "0", role: "group", "aria-labelledby": title.id },
      el("p", { class: "ask-who" }, el("span", { class: "dot needs-input" }), t("ask.who", { name: asker(app, session) })),
      title, detail(request.detail), el("p", { class: "ask-state", dir: "auto" }, subject(request)), way.body),
    wrong, state, el("div", { class: "ask-ways" }, way.node));
  const panel = {
    key, session, id: request.request_id, request, node: form, title, field: way.field, became: null, answered: null,
    draw, shown, unsent: () => way.unsent?.() ?? "",
  };
  let since = 0;
  let busy = false;
  return panel;

  function shown() {
    since = performance.now();
    document.querySelector("#question")?.removeAttribute("id");
    (form.querySelector("input, select, .button") ?? title).id ||= "question";
  }

  function draw() {
    say(state, busy ? sending(app, session) : "");
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
    if (!read.wrong) panel.answered = answer(read.value);
  }

  async function answer(value) {
    busy = true;
    draw();
    try {
      panel.became = await app.actions.answer(session, panel.id, value);
      if (app.session?.id === session) app.session.answered(panel.id);
      if (panel.became.status === "accepted") app.say(t("ask.taken"));
    } catch (error) {
      complain(wrong, error);
    } finally {
      busy = false;
      draw();
      app.touch("session");
    }
  }
}

function sending(app, id) {
  if (app.state !== "ready") return t("ask.waits");
  const row = app.store.session(id);
  const away = app.session?.id === id && (app.open?.away ?? app.open?.waiting);
  if (away || row?.away || row?.stale) return t("ask.away", { name: away?.name || asker(app, id) });
  return t("ask.sending");
}

// Why this page may not answer; "" if it may.
function why(app, id, request) {
  const row = app.store.session(id);
  if (!row || row.local) return "";
  if (row.share === "read-only") return t("ask.read-only");
  return request.local ? t("ask.local", { name: nameOf(row.device) }) : "";
}

function noSubmitWhileComposing(event) {
  if (event.key === "Enter" && composing(event)) event.preventDefault();
}

function detail(text) {
  if (!text) return null;
  if (/^https?:\/\/\S+$/.test(text)) {
    return el("a", { class: "ask-detail", href: text, target: "_blank", rel: "noreferrer" }, visible(text));
  }
  const lines = visible(text).split("\n");
  const patch = lines.some((line) => line.startsWith("@@ "));
  const kind = (line) => ({ "+": "added", "-": "removed", "@": "place" })[/^([-+])\1\1 /.test(line) ? "@" : line[0]];
  return el("pre", { class: "ask-detail", dir: "ltr" }, lines.map((line, index) =>
    el("span", { class: patch && kind(line) }, line + (index < lines.length - 1 ? "\n" : ""))));
}

// With what, where and on which files it would be done.
function subject({ prompt = "", tool_name: name = "", cwd, locations = [] }) {
  const places = locations.slice(0, PLACES).map(({ path, line }) => path + (line ? `:${line}` : ""));
  if (locations.length > PLACES) places.push(`+${locations.length - PLACES}`);
  const news = !prompt.toLowerCase().includes(name.toLowerCase());
  return visible([news && name, cwd, ...places].filter(Boolean).join(" · "));
}

// --- the ways to answer: `body` scrolls, `node` stays in sight, `read` gives what is filled in ---

function wayOf(request, answer, session) {
  if (request.kind === "form") return formWay(request, answer);
  if (request.kind === "choices" && request.choices?.length) return choicesWay(request, answer);
  return lineWay(request, answer, session);
}

function button(text, attributes) {
  return el("button", { class: "button", ...attributes }, text);
}

function choicesWay(request, answer) {
  const choices = ordered(request.choices);
  const tall = choices.some((each) => each.description || nameOfChoice(each).length > LONG);
  const buttons = choices.map((each) => button(nameOfChoice(each), {
    class: ["button", each.kind === "allow_once" && "primary"], dir: "auto",
    onclick: () => answer({ value: each.id }),
  }));
  for (const [place, { description }] of choices.entries()) {
    if (description) buttons[place].append(el("small", {}, visible(description)));
  }
  const own = request.own_words && lineField({ "aria-label": t("ask.own"), placeholder: t("ask.own") });
  return {
    node: [el("div", { class: ["ask-choices", tall && "tall"] }, buttons),
      own && el("div", { class: "ask-line" }, own, button(t("ask.answer")))],
    read: () => (own?.value.trim() ? { value: own.value, wrong: wrongText(own.value) } : { wrong: "ask.choose" }),
    unsent: () => own?.value ?? "",
  };
}

function lineWay({ kind }, answer, session) {
  const secret = kind === "secret";
  const keys = kind === "keys";
  const field = lineField({ type: secret ? "password" : "text", "aria-label": t(secret ? "ask.secret" : "ask.answer") });
  const press = (name, value, title) => button(name, { title, onclick: () => answer({ value }) });
  const show = (event) => (field.type = event.target.checked ? "text" : "password");
  return {
    field,
    body: keys && el("p", { class: "ask-state" }, t("ask.keys"), " ", el("code", {}, `agent attach --raw ${session}`)),
    node: el("div", { class: "ask-line" }, field, button(t(keys ? "ask.type" : "ask.answer"), { class: "button primary" }),
      secret && choice(el("input", { type: "checkbox", onchange: show }), t("ask.show")),
      kind === "line" && press(t("ask.end"), END_OF_INPUT, "Ctrl-D"),
      keys && Object.entries(KEYS).map(([name, value]) => press(name, value))),
    read: () => ({ value: field.value, wrong: wrongText(field.value) }),
    unsent: () => (secret ? "" : field.value),
  };
}

function formWay(request, answer) {
  const { body, read, begun } = formOf(request.fields ?? []);
  return {
    body,
    node: el("div", { class: "ask-choices" }, button(t("ask.answer"), { class: "button primary" }),
      button(t("ask.decline"), { onclick: () => answer({ value: DECLINE }) })),
    read,
    unsent: () => (begun() ? inWords(begun(), request) : ""),
  };
}
