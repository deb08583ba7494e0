// One item of the transcript as nodes: prompts, replies, what was worked, diffs, plans, answers and ends.

import { ansiNodes, outputNode } from "./ansi.js";
import { endingOf } from "./answer.js";
import { el, keyed, say, set } from "./dom.js";
import { patchNode } from "./patch.js";
import { replyNode } from "./render.js";
import { clock, duration, t } from "./words.js";

const VERBATIM = new Set(["shell", "terminal"]); // their replies are output of programs
const CAUSES = new Set([
  "max_tokens", "max_turn_requests", "refusal", "filtered", "tool_calls", "empty", "cut", "program_ended",
]);
const OPEN_DIFFS = 3; // so few are unfolded,
const OPEN_LINES = 24; // of those that are short
const LONG_PROMPT = 1500; // characters of which the rest is folded

/** Items in the blocks in which they are shown: thoughts and tools that follow one another are one, all others alone. */
export function blocksOf(items) {
  const blocks = [];
  for (const [place, item] of items.entries()) {
    const work = item.kind === "thought" || item.kind === "tool";
    const last = blocks.at(-1);
    if (work && last?.work && last.items[0].turn === item.turn) last.items.push(item);
    else blocks.push({ key: item.id, work, items: [item], since: items[place - 1]?.until ?? item.at });
  }
  return blocks;
}

/**
 * The view of a block: `{node, update(block)}`; an update with nothing new changes nothing. `about` is what all of a
 * transcript have in common: `{app, log, name, verbatim}`, the name being that of the session's device.
 */
export function blockView(about, block) {
  const view = (block.work ? workView : VIEWS[block.items[0].kind])(about, block);
  view.node.dataset.id = block.key;
  return view;
}

export const whoIs = (sender) => sender?.name?.trim() || sender?.device || "";

const VIEWS = { user: userView, reply: replyView, plan: planView, answer: answerView, turn: turnView, note: noteView };

function article(kind, name, ...children) {
  return el("article", { class: ["item", kind], "aria-label": name }, children);
}

// --- prompts ---

function userView(about, { items: [item] }) {
  const own = item.sender?.device === about.app.own?.id;
  const who = whoIs(item.sender);
  const long = item.text.length > LONG_PROMPT;
  const text = el("p", { class: ["said", long && "folded"], dir: "auto" }, item.text);
  const attrs = { type: "button", class: "quiet", "aria-expanded": "false", onclick: unfold };
  const more = long && el("button", attrs, t("chat.more"));
  const node = article(own ? "user own" : "user", t("chat.prompt_of", { name: who }),
    el("p", { class: "who" }, el("span", { dir: "auto", title: item.sender?.client || null }, who),
      item.steer && el("span", {}, t("chat.went_first")), time(item.at)),
    text, more);
  return { node, update() {} };

  function unfold() {
    const open = !text.classList.toggle("folded");
    say(more, t(open ? "chat.less" : "chat.more"));
    set(more, "aria-expanded", String(open));
  }
}

function time(at) {
  return el("time", { datetime: at }, clock(at));
}

// --- replies ---

function replyView(about, block) {
  const node = article("reply", "");
  let shown = ""; // the text that was given to the reply so far
  let done = false;
  let reply = null;
  const unasked = block.items[0].turn === 0;
  update(block);
  return { node, update };

  function update({ items: [item] }) {
    set(node, "aria-label", t(unasked ? "chat.unasked_of" : "chat.reply_of", { name: about.name }));
    if (!reply || !item.text.startsWith(shown) || (done && item.text !== shown)) {
      reply = about.verbatim ? outputNode() : replyNode(about.app);
      node.replaceChildren(...(unasked ? [el("p", { class: "who" }, t("chat.unasked"))] : []), reply.node);
      shown = "";
      done = false;
    }
    if (item.done && !done) {
      reply.finish(item.text);
      done = true;
    } else if (item.text.length > shown.length) {
      reply.add(item.text.slice(shown.length));
    }
    shown = item.text;
    set(node, "aria-busy", item.done ? null : "true");
  }
}

/** Whether the replies of a session are output of programs, to be shown as such. */
export function isVerbatim(row) {
  return VERBATIM.has(row?.backend);
}

// --- thoughts and tools ---

function workView(about, block) {
  const summary = el("summary");
  const inside = el("div", { class: "inside" });
  const fold = el("details", { class: "work", ontoggle: () => fold.open && drawInside() }, summary, inside);
  const diffs = el("div", { class: "diffs" });
  const node = article("worked", "", fold, diffs);
  const parts = new Map(); // views by item
  let now = block;
  update(block);
  return { node, update };

  function update(next) {
    now = next;
    const words = summaryOf(next);
    say(summary, words);
    set(node, "aria-label", words);
    set(node, "class", ["item", "worked", goesOn(about, next) && "busy"]);
    if (fold.open) drawInside();
    const all = next.items.flatMap((item) => (item.diffs ?? []).map((diff, place) => ({ diff, key: `${item.id} ${place}` })));
    const few = all.length <= OPEN_DIFFS;
    keyed(diffs, all, (each) => each.key, ({ diff }) => patchNode(diff, few && short(diff)));
  }

  function drawInside() {
    for (const item of now.items) {
      const known = parts.get(item.id) ?? (item.kind === "tool" ? toolView() : thoughtView());
      parts.set(item.id, known);
      if (!known.node.isConnected) inside.append(known.node);
      known.update(item);
    }
  }

  function summaryOf({ items, since }) {
    const tools = items.filter((item) => item.kind === "tool");
    const last = items.at(-1);
    if (goesOn(about, now)) {
      const doing = tools.findLast((item) => !item.done);
      return doing ? t("chat.uses", { title: doing.title || doing.tool || t("chat.tool") }) : t("chat.thinks");
    }
    const time = duration(Date.parse(last.until) - Date.parse(since));
    if (!tools.length) return t("chat.thought", { time });
    const failed = tools.filter((item) => item.status === "error").length;
    const what = [t("chat.tools", { count: tools.length }), failed && t("chat.tools_failed", { count: failed })].filter(Boolean);
    return t("chat.worked", { time, what: what.join(", ") });
  }
}

const short = (diff) => diff.patch.split("\n", OPEN_LINES + 1).length <= OPEN_LINES;

// The last of what happens in the running turn, or a tool that is not done.
function goesOn({ log }, { items }) {
  const last = items.at(-1);
  if (items.some((item) => item.kind === "tool" && !item.done)) return true;
  return Boolean(log?.turn) && last.turn === log.turn && log.items.at(-1) === last;
}

function thoughtView() {
  const node = el("p", { class: "thought", dir: "auto" });
  return { node, update: (item) => say(node, item.text.trim()) };
}

function toolView() {
  const title = el("span", { class: "title", dir: "auto" });
  const mark = el("span", { class: "mark" });
  const body = el("div", { class: "body" });
  const node = el("details", { class: "tool", ontoggle: () => node.open && draw() }, el("summary", {}, title, mark), body);
  let item = null;
  return { node, update };

  function update(next) {
    item = next;
    say(title, item.title || item.tool || t("chat.tool"));
    say(mark, item.done ? (item.status === "complete" ? "" : t(`chat.tool.${item.status}`)) : t("chat.tool.runs"));
    set(node, "class", ["tool", item.status]);
    if (node.open) draw();
  }

  function draw() {
    const [input, output] = [block("input", item.input), block("output", item.output)];
    if (body.textContent !== input.textContent + output.textContent) {
      body.replaceChildren(...[input, output].filter((each) => each.textContent));
    }
    if (!body.firstChild) body.append(el("p", { class: "none" }, t("chat.tool.nothing")));
  }

  function block(name, text) {
    const attrs = { class: name, tabindex: "0", role: "group", "aria-label": t(`chat.tool.${name}`), dir: "ltr" };
    return el("pre", attrs, text && ansiNodes(text));
  }
}

// --- plans, answers, ends ---

function planView(about, block) {
  const title = el("h2");
  const steps = el("ol");
  const node = article("plan", t("chat.plan"), title, steps);
  update(block);
  return { node, update };

  function update({ items: [{ entries }] }) {
    const done = entries.filter((entry) => entry.status === "completed").length;
    say(title, t("chat.plan.done", { done, all: entries.length }));
    keyed(steps, entries.map((entry, place) => ({ ...entry, place })), (entry) => entry.place, make, draw);
  }

  function make(entry) {
    const li = el("li", {}, el("span", { class: "unseen" }), el("span", { dir: "auto" }));
    draw(li, entry);
    return li;
  }

  function draw(li, { text, status = "pending" }) {
    set(li, "class", status);
    say(li.firstChild, `${t(`chat.plan.${status}`)}: `);
    say(li.lastChild, text);
  }
}

function answerView(about, { items: [{ request, closed }] }) {
  const node = article("answer", t("ask.answer"), el("p", { dir: "auto" }, endingOf(closed, request)),
    request?.prompt && el("p", { class: "asked", dir: "auto" }, request.prompt));
  return { node, update() {} };
}

function turnView(about, block) {
  const node = article("end", t("chat.end_of_turn"), el("p", { dir: "auto" }));
  update(block);
  return { node, update };

  function update({ items: [{ end, text }] }) {
    const said = end.withdrawn_by && text ? `${endText(end)}: “${excerpt(text)}”` : endText(end);
    say(node.firstChild, said);
    set(node, "class", ["item", "end", (end.status === "error" || end.exit_status) && "bad"]);
  }
}

/** How a turn ended that is no plain success, and why (S14); the words of `agent/client/turn_ends.py`. */
export function endText(end) {
  if (end.withdrawn_by) return t("chat.end.withdrawn", { name: whoIs(end.withdrawn_by) });
  const reason = end.error || (CAUSES.has(end.cause) ? t(`chat.cause.${end.cause}`) : "");
  const word = wordOf(end);
  return reason && reason !== `exit status ${end.exit_status}` ? `${word}: ${reason}` : word;
}

function wordOf({ status, exit_status: code, error }) {
  if (status === "interrupted") return t("chat.end.interrupted");
  if (status === "error") return t("chat.end.failed");
  if (code) return t("chat.end.exit", { code: String(code) });
  return t(error && code === undefined ? "chat.end.failed" : "chat.end.done");
}

function excerpt(text) {
  const [first] = text.trim().split("\n", 1);
  return first.length > 80 || first.length < text.trim().length ? `${first.slice(0, 80)}…` : first;
}

function noteView(about, { items: [{ text, status }] }) {
  const words = status ? [t(`chat.${status}`), text].filter(Boolean).join(": ") : text;
  const node = article(status === "failed" ? "note bad" : "note", t("chat.note"), el("p", { dir: "auto" }, words));
  return { node, update() {} };
}
