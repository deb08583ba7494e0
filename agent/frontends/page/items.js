// One item of the transcript as nodes: prompts, replies, what was worked, diffs, plans, answers and ends.

import { ansiNodes, outputNode } from "./ansi.js";
import { endingOf } from "./answer.js";
import { coded, el, keyed, say, set } from "./dom.js";
import { patchNode } from "./patch.js";
import { replyNode } from "./render.js";
import { clock, duration, t } from "./words.js";

const VERBATIM = new Set(["commands", "shell", "terminal"]); // their replies are output of programs
const WORK = new Set(["thought", "tool"]);
const CAUSES = new Set([
  "max_tokens", "max_turn_requests", "refusal", "filtered", "tool_calls", "empty", "cut", "program_ended",
]);
const ENDED = "the session has ended"; // so the service begins to say why a turn failed
const OPEN_DIFFS = 3; // so few are unfolded,
const OPEN_LINES = 24; // of those that are short
const LONG_PROMPT = 1500; // characters of which the rest is folded

/**
 * Items in the blocks in which they are shown: thoughts and tools that follow one another are one, all others alone. A block
 * that has grown, at either end, keeps the key that it had in `known` (blocks by the ids of their items).
 */
export function blocksOf(items, known = new Map()) {
  const blocks = [];
  const keys = new Set();
  for (const [place, item] of items.entries()) {
    const before = items[place - 1];
    if (goesWith(before, item)) {
      blocks.at(-1).items.push(item);
    } else if (!isSaid(before, item)) {
      blocks.push({ work: WORK.has(item.kind), items: [item], since: beginning(item, before), said: reasonOf(before) });
    }
  }
  for (const block of blocks) {
    const before = block.items.map(({ id }) => known.get(id)?.key).find((key) => key && !keys.has(key));
    block.key = before ?? block.items[0].id;
    keys.add(block.key);
  }
  return blocks;
}

/** Whether an item is in the block of the one before it. */
export function goesWith(before, item) {
  return WORK.has(item?.kind) && WORK.has(before?.kind) && before.turn === item.turn;
}

// Why a question or a turn is over, as its line says it: it is often one reason, which is said once.
function reasonOf(item) {
  if (item?.kind === "answer" && item.closed.status === "expired") return item.closed.reason ?? "";
  return item?.kind === "turn" && !item.end.withdrawn_by ? whyOf(item.end) : "";
}

// Whether the line before a note says it all.
function isSaid(before, { kind, text, status }) {
  const reason = reasonOf(before);
  if (kind !== "note" || !reason || status === "failed") return false;
  return reason === (status ? [ENDED, text].filter(Boolean).join(": ") : text);
}

// What a reason adds to what the line before has said.
function rest(reason, said) {
  return said && `${reason}: `.startsWith(`${said}: `) ? reason.slice(said.length + 2) : reason;
}

// An agent works since what was before has ended; a plan before it may have changed later.
function beginning(item, before) {
  return before && before.until < item.at ? before.until : item.at;
}

/**
 * The view of a block: `{node, update(block), show(id)}`; an update with nothing new changes nothing, `show` unfolds an item.
 * `about` is what all of a transcript have in common: `{app, log, name, verbatim, awaits}`: the name is that of the session's
 * device, `awaits` takes promises that a reply is shown.
 */
export function blockView(about, block) {
  const view = (block.work ? workView : VIEWS[block.items[0].kind])(about, block);
  view.node.dataset.id = block.key;
  return view;
}

const whoIs = (sender) => sender?.name?.trim() || sender?.device || "";

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
  const attrs = { class: "quiet", "aria-expanded": "false", onclick: unfold };
  const more = long && el("button", attrs, t("chat.more"));
  const node = article(own ? "user own" : "user", t("chat.prompt_of", { name: who }),
    el("p", { class: "who" }, el("span", { dir: "auto", title: item.sender?.client || null }, who),
      item.steer && el("span", {}, t("chat.went_first")), time(item.at)),
    text, more);
  return { node, update() {}, show: () => text.classList.contains("folded") && unfold() };

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
      about.awaits(reply.finish(item.text));
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
  return { node, update, show };

  function show(id) {
    fold.open = true;
    drawInside();
    if (parts.get(id).node.tagName === "DETAILS") parts.get(id).node.open = true;
  }

  function update(next) {
    now = next;
    const words = summaryOf(next);
    say(summary, words);
    set(node, "aria-label", words);
    set(node, "class", ["item", "worked", goesOn(about, next) && "busy"]);
    if (fold.open) drawInside();
    const all = next.items.flatMap((item) => (item.diffs ?? []).map((diff, place) => ({ diff, key: `${item.id} ${place}` })));
    const few = all.length <= OPEN_DIFFS;
    keyed(diffs, all, (each) => each.key, ({ diff }) => patchNode({ ...diff, path: here(diff.path) }, few && short(diff)));
  }

  function drawInside() {
    keyed(inside, now.items, (item) => item.id, make);
    for (const item of now.items) parts.get(item.id).update(item);
  }

  function make(item) {
    const part = item.kind === "tool" ? toolView() : thoughtView(about);
    parts.set(item.id, part);
    return part.node;
  }

  // A path as it is seen from the folder of the session.
  function here(path) {
    const folder = about.log?.cwd;
    return folder && path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : path;
  }

  function summaryOf({ items, since }) {
    const tools = items.filter((item) => item.kind === "tool");
    const last = items.at(-1);
    if (goesOn(about, now)) {
      const doing = tools.findLast((item) => !item.done);
      return doing ? t("chat.uses", { title: titleOf(doing) }) : t("chat.thinks");
    }
    const time = duration(Math.max(1000, Date.parse(last.until) - Date.parse(since)));
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

function thoughtView({ app }) {
  const reply = replyNode(app);
  let shown = 0;
  const node = el("div", { class: "thought" }, reply.node);
  return { node, update };

  function update({ text }) {
    reply.add(text.slice(shown));
    shown = text.length;
  }
}

// Agents mark commands in it as code.
function titleOf({ title, tool }) {
  return title.replaceAll("`", "") || tool || t("chat.tool");
}

function toolView() {
  const title = el("span", { class: "title", dir: "auto" });
  const mark = el("span", { class: "mark" });
  const body = el("div", { class: "body" });
  const none = el("p", { class: "none" }, t("chat.tool.nothing"));
  const node = el("details", { class: "tool", ontoggle: () => node.open && draw() }, el("summary", {}, title, mark), body);
  let item = null;
  let shown = null; // {input, text, output}: what is in the body
  return { node, update };

  function update(next) {
    item = next;
    say(title, titleOf(item));
    say(mark, item.done ? (item.status === "complete" ? "" : t(`chat.tool.${item.status}`)) : t("chat.tool.runs"));
    set(node, "class", ["tool", item.status]);
    if (node.open) draw();
  }

  // What is shown of the output stays while more comes, and so does a selection in it.
  function draw() {
    const input = titleOf(item).includes(item.input) ? "" : item.input;
    if (shown?.input !== input || !item.output.startsWith(shown.text)) {
      shown = { input, text: "", output: outputNode() };
      const parts = [input && named("input", el("pre", { tabindex: "0", dir: "ltr" }, ansiNodes(input))),
        named("output", shown.output.node), none];
      body.replaceChildren(...parts.filter(Boolean));
    }
    shown.output.add(item.output.slice(shown.text.length));
    shown.text = item.output;
    shown.output.node.hidden = !item.output;
    none.hidden = Boolean(input || item.output);
  }

  function named(name, node) {
    node.className = name;
    node.role = "group";
    node.ariaLabel = t(`chat.tool.${name}`);
    return node;
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
    steps.replaceChildren(...entries.map(step));
  }
}

function step({ text, status = "pending" }) {
  return el("li", { class: status, dir: "auto" }, el("span", { class: "unseen" }, t(`chat.plan.${status}`), ": "), coded(text));
}

// A line whose words depend on the one before, which may come later.
function lineView(kind, name, block, wordsOf, more) {
  const words = el("p", { dir: "auto" });
  const node = article(kind, name, words, more);
  const update = (next) => say(words, wordsOf(next));
  update(block);
  return { node, update };
}

function answerView(about, block) {
  const [{ request, closed }] = block.items;
  return lineView("answer", t("ask.answer"), block,
    ({ said }) => endingOf({ ...closed, reason: rest(closed.reason, said) }, request),
    request?.prompt && el("p", { class: "asked", dir: "auto" }, request.prompt));
}

function turnView(about, block) {
  const { end } = block.items[0];
  const bad = end.status === "error" || (end.status !== "interrupted" && end.exit_status);
  return lineView(bad ? "end bad" : "end", t("chat.end_of_turn"), block, ({ items: [{ text }], said }) =>
    endText(end, said) + (end.withdrawn_by && text ? `: “${excerpt(text)}”` : ""));
}

// How a turn ended that is no plain success, and why (S14); the words of `agent/client/turn_ends.py`.
function endText(end, said = "") {
  if (end.withdrawn_by) return t("chat.end.withdrawn", { name: whoIs(end.withdrawn_by) });
  return [wordOf(end), rest(whyOf(end), said)].filter(Boolean).join(": ");
}

function whyOf(end) {
  const reason = end.error || (CAUSES.has(end.cause) ? t(`chat.cause.${end.cause}`) : "");
  return reason === `exit status ${end.exit_status}` ? "" : reason;
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

function noteView(about, block) {
  const [{ text, status }] = block.items;
  return lineView(status === "failed" ? "note bad" : "note", t("chat.note"), block, ({ said }) =>
    (status ? [t(`chat.${status}`), rest(text, said)].filter(Boolean).join(": ") : text));
}
