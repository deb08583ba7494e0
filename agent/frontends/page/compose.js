// The message box: what waits above it, commands by `/`, options and keys; drafts and what is not sent yet are kept.

import { visible } from "./answer.js";
import { commandList } from "./commands.js";
import { ask, coded, composing, copyButton, el, errorText, keyed, say, set, wrongLine } from "./dom.js";
import { openRow, restartAction } from "./row_menu.js";
import { nameOf, over as isOver } from "./store.js";
import { clock, t } from "./words.js";

const PROMPT_MAX = 100_000; // characters
const READ = new Set(["line", "secret", "keys"]); // kinds of questions that a program reads from its terminal
const NONE = new Set(["session-not-found", "device-not-found", "not-paired", "refused", "bad-params"]); // there is no session
const TOUCH = matchMedia("(hover: none) and (pointer: coarse)");

export function compose(app) {
  const id = app.route.id;
  const box = el("textarea", {
    id: "message", class: "field", rows: 1, dir: "auto", autocomplete: "off", "aria-label": t("compose.message"),
    enterkeyhint: enterSends() ? "send" : "enter", oninput: typed, onkeydown: key,
  });
  const commands = commandList(app, box, typed);
  const send = el("button", { class: "button primary send" }, t("compose.send"));
  const steer = button("compose.steer", () => submit(true), {
    class: "button steer", title: `${t("compose.steer.more")} (Ctrl+Shift+Enter)`,
  });
  const stop = button("compose.stop", () => interrupt(false), { class: "button", id: "stop", title: "Ctrl+." });
  const stopAll = button("compose.stop_all", () => interrupt(true), { class: "button" });
  const queue = el("ul", { class: "queue", "aria-label": t("compose.queue") });
  const unsent = el("ul", { class: "queue unsent", "aria-label": t("compose.not_sent") });
  const options = el("div", { class: "options" });
  const wrong = wrongLine();
  const why = el("span");
  const restart = button("menu.restart", () => restartAction(app, openRow(app)).run(), { class: "button" });
  const left = el("span", { class: "left-over", dir: "auto" });
  const copy = copyButton(() => app.unsent.draft(id));
  const over = el("div", { class: "over" }, why, restart, left, copy);
  const form = el("form", { onsubmit: (event) => (event.preventDefault(), submit()) }, commands.node, box, send,
    el("div", { class: "under-box" }, options, el("div", { class: "buttons" }, stopAll, stop, steer)));
  const node = el("section", { class: "compose", "aria-label": t("compose.name") }, queue, unsent, wrong, over, form);
  let trouble = ""; // what went wrong with what was done last
  let stopping = false; // until the service has answered: shells take a second, harder one
  draw();
  return { node, update, focus };

  function update(changed) {
    const mine = ["session", "items", "unsent", "wire", "own", "keep", `s:${id}`];
    if (mine.some((each) => changed.has(each))) draw();
  }

  // A phone's keyboard comes when it is asked for.
  function focus() {
    (TOUCH.matches || form.hidden ? document.querySelector("#main") : box).focus({ preventScroll: true });
  }

  function draw() {
    const log = app.session;
    drawOver();
    drawBox();
    keyed(queue, log?.queue ?? [], (each) => each.prompt_id, makeWaiting, drawWaiting);
    keyed(unsent, app.unsent.prompts(id), (each) => each.id, makeUnsent, drawUnsent);
    keyed(options, (log?.options ?? []).filter((each) => each.choices?.length), (each) => each.id, makeOption, drawOption);
    drawButtons();
  }

  // In place of the box: why nothing can be sent, how to go on, and what had been typed.
  function drawOver() {
    const row = app.store.session(id);
    const bar = barred(row);
    const draft = app.unsent.draft(id);
    const none = app.open?.state === "failed" && NONE.has(app.open.error.kind); // above the log it says why
    form.hidden = none || Boolean(bar);
    over.hidden = !bar && !(none && draft);
    say(why, bar);
    const closed = openRow(app);
    restart.hidden = !closed?.device || !restartAction(app, closed);
    say(left, draft);
    copy.hidden = !draft;
  }

  // What was typed elsewhere, or came back, stands in the box.
  function drawBox() {
    const name = reader();
    const asked = kindsAsked().some((kind) => READ.has(kind));
    set(box, "placeholder", name && t(asked ? "compose.asked" : app.session?.running ? "compose.later" : "compose.to", { name }));
    if (!app.unsent.differs(id, box.value)) return;
    box.value = app.unsent.draft(id);
    grow();
  }

  // Who reads what is sent; "": not known.
  function reader() {
    const row = app.store.session(id);
    return row ? (row.local ? row.backend : nameOf(row.device)) : "";
  }

  function kindsAsked() {
    return [...(app.session?.requests.values() ?? [])].map(({ kind }) => kind);
  }

  function drawButtons() {
    const { running = false, queue: waiting = [] } = app.session ?? {};
    const some = box.value.trim() !== "";
    const long = box.value.length > PROMPT_MAX;
    stop.hidden = !running;
    stopAll.hidden = !running || !waiting.length;
    stop.disabled = stopAll.disabled = stopping;
    steer.hidden = !running || !some;
    send.disabled = steer.disabled = !some || long;
    tell(wrong, long ? t("app.long", { length: box.value.length, most: PROMPT_MAX }) : trouble);
  }

  // Why nothing can be sent here; "" if it can.
  function barred(row) {
    if (app.session?.ended || (row && !row.away && isOver(row))) return t("chat.ended");
    return row && !row.local && row.share === "read-only" ? t("compose.read-only", { name: nameOf(row.device) }) : "";
  }

  function typed() {
    trouble = "";
    app.unsent.type(id, box.value, kindsAsked().includes("secret"));
    grow();
    commands.draw();
    drawButtons();
  }

  // Where `field-sizing` is not known.
  function grow() {
    if (CSS.supports("field-sizing", "content")) return;
    box.style.setProperty("height", "auto");
    box.style.setProperty("height", `${box.scrollHeight + 2}px`);
  }

  function key(event) {
    if (composing(event) || commands.key(event) || event.key !== "Enter") return;
    const control = event.ctrlKey || event.metaKey;
    if (!control && (event.shiftKey || event.altKey || !enterSends())) return;
    event.preventDefault();
    submit(control && event.shiftKey);
  }

  function enterSends() {
    const wish = app.keep.settings?.enter;
    return wish ? wish === "send" : !TOUCH.matches;
  }

  function submit(first = false) {
    if (send.disabled) return;
    if (!kindsAsked().includes("secret")) return sendNow(first);
    const body = el("p", {}, t("compose.secret.text", { name: reader() || t("ask.session") }));
    ask(t("compose.secret.title"), [body], t("compose.send"), { danger: true }, () => sendNow(first)); // Enter cancels
  }

  function sendNow(first) {
    const text = box.value;
    box.value = "";
    commands.close();
    app.actions.send(id, text, first && Boolean(app.session?.running));
    grow();
    drawButtons();
    box.focus();
  }

  // Do something of which a person is told if it went wrong.
  async function attempt(action) {
    trouble = "";
    drawButtons();
    try {
      await action();
    } catch (error) {
      trouble = errorText(error);
    }
    drawButtons();
  }

  async function interrupt(all) {
    stopping = true;
    await attempt(async () => {
      const whole = new Map((app.session?.queue ?? []).map((each) => [each.prompt_id, each.text]));
      const { dropped } = await app.actions.interrupt(id, all);
      if (!dropped?.length) return;
      app.say(t("compose.dropped", { count: dropped.length }));
      const own = dropped.filter(({ sender }) => sender.device === app.own?.id);
      if (!app.unsent.draft(id)) app.unsent.giveBack(id, own.map((each) => whole.get(each.prompt_id) ?? each.text).join("\n\n"));
    });
    stopping = false;
    drawButtons();
  }

  // --- what waits (S12) ---

  function makeWaiting(prompt) {
    const own = prompt.sender.device === app.own?.id;
    const back = own || app.store.session(id)?.local;
    return el("li", {},
      el("span", { class: "mark" }, t("compose.queued")),
      el("span", { class: "text", dir: "auto" }, visible(prompt.text)),
      el("span", { class: "why", dir: "auto" }, own ? "" : visible(prompt.sender.name)),
      back && button("compose.withdraw", () => withdraw(prompt, own), { class: "copy" }));
  }

  function drawWaiting(li, prompt) {
    say(li.children[1], visible(prompt.text));
  }

  function withdraw(prompt, own) {
    attempt(async () => {
      const { status: became, text = "" } = await app.actions.withdraw(id, prompt.prompt_id);
      if (became === "started") trouble = t("compose.started");
      else if (own) app.unsent.giveBack(id, text);
      else app.say(t("compose.withdrawn"));
      box.focus();
    });
  }

  // --- what is not sent yet (L8) ---

  function makeUnsent(prompt) {
    const li = el("li", {}, el("span", { class: "mark" }), el("span", { class: "text", dir: "auto" }, prompt.text),
      el("span", { class: "why", dir: "auto" }), button("compose.again", () => app.unsent.again(prompt.id), { class: "copy" }),
      button("compose.back", () => takeBack(prompt.id), { class: "copy" }));
    drawUnsent(li, prompt);
    return li;
  }

  function drawUnsent(li, prompt) {
    const [mark, , why, again, back] = li.children;
    const failed = prompt.state === "failed";
    say(mark, t(prompt.doubtful ? "compose.doubtful" : failed ? "compose.not_sent" : "compose.not_yet"));
    tell(why, reason(prompt));
    again.hidden = !failed;
    back.hidden = !app.unsent.canTakeBack(prompt);
  }

  function takeBack(prompt) {
    app.unsent.takeBack(prompt);
    box.focus();
  }

  // --- options: model, mode ---

  function makeOption(option) {
    const select = el("select", { onchange: () => choose(option.id, select) });
    drawOption(select, option);
    return select;
  }

  function drawOption(select, { id: name, name: called, description, value, choices }) {
    set(select, "aria-label", visible(called || name));
    set(select, "title", visible([called || name, description].filter(Boolean).join(": ")));
    const all = choices.some((choice) => choice.id === value) ? choices : [{ id: value, name: value }, ...choices];
    keyed(select, all, (choice) => JSON.stringify(choice), (choice) => el("option", {
      value: choice.id, title: visible(choice.description ?? "") || null,
    }, visible(choice.name || choice.id)));
    select.value = value;
  }

  function choose(option, select) {
    attempt(async () => {
      select.disabled = true;
      try {
        await app.actions.configure(id, option, select.value);
      } catch (error) {
        select.value = app.session?.options.find((each) => each.id === option)?.value ?? "";
        throw error;
      } finally {
        select.disabled = false;
      }
    });
  }
}

function button(key, onclick, attributes) {
  return el("button", { onclick, ...attributes }, t(key));
}

// Have a node say what went wrong, its commands as code.
function tell(node, text) {
  if (node.textContent !== text.replaceAll("`", "")) node.replaceChildren(...coded(text));
}

// Why a prompt is with no session yet.
function reason({ error, away }) {
  if (error?.kind === "late") return t("compose.late");
  if (error) return errorText(error);
  if (!away) return "";
  const { name, since } = away;
  return since ? t("compose.away", { name, since: clock(since) }) : t("compose.away.unknown", { name });
}
