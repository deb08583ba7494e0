// The open session: who is there, its transcript with the end in sight, and how it stands with its device.

import { ansiNodes } from "./ansi.js";
import { coded, copyButton, el, errorText, keyed, say, set } from "./dom.js";
import { follow } from "./follow.js";
import { blocksOf, blockView, goesWith, isVerbatim } from "./items.js";
import { menuButton, openRow } from "./row_menu.js";
import { nameOf, titleOf } from "./store.js";
import { clock, t } from "./words.js";

const FIRST_ITEMS = 60;
const MORE_ITEMS = 60;
const MOST_ITEMS = 240; // that stay in the document while the reader is at the end,
const MOST_HIDDEN = 2000; // that are kept before them
const FAR = 20; // windows from the beginning
const AHEAD = 2; // windows above what is in sight that are fetched before they are wanted

export function chat(app) {
  const title = app.head("");
  const under = el("p", { class: "under" });
  const chips = el("ul", { class: "chips", "aria-label": t("chat.participants") });
  const more = menuButton(app, () => openRow(app));
  title.append(under, chips, more);
  const raw = el("p", { class: "raw", hidden: true });
  const stands = el("p", { class: "stands", role: "status" });
  const older = el("button", { class: "quiet older", onclick: () => showOlder() }, t("chat.older"));
  const rows = el("div", { class: "items" });
  const moving = el("pre", { class: "moving", tabindex: "0", dir: "ltr", hidden: true });
  const working = el("p");
  const scroller = el("section", { class: "transcript", tabindex: "0", "aria-label": t("chat.transcript") },
    el("div", { class: "above" }, older), rows, el("div", { class: "below" }, moving, working));
  const end = el("button", { class: "button to-end", hidden: true, onclick: toEnd });
  const node = el("section", { class: "chat" }, title, raw, stands, el("div", { class: "window" }, scroller, end));
  const follower = follow(scroller, rows, { onFollow: drawEnd, onScroll: () => near() && soon() });
  const views = new Map(); // of blocks, by key
  const about = { app, log: null, name: "", verbatim: false, awaits };
  let blocks = new Map(); // that are shown, by the ids of their items
  let newest = null; // the newest item that was shown
  let life = 0; // how many logs were shown
  let hidden = 0; // items before the first one that is shown
  let lastSeen = null; // the newest item when the reader left the end
  let asking = false; // for an older page
  let seeking = false; // an event in older pages
  let told = ""; // of how it stands
  let drawn = 0; // the frame after which what is new has its height
  let unread = 0; // replies that are not shown yet: how high all is cannot be told
  let wasRunning = null;
  let wanted = app.route.at; // an event that is to be shown; 0: the end
  let moved = ""; // what moves, as it was drawn
  update(new Set(["session"]));
  return { node, update };

  function update(changed) {
    const keys = [...changed];
    about.log = app.session;
    if (changed.has("session") || keys.some((key) => /^[sp]:|^own$/.test(key))) drawHead();
    if (changed.has("session") || changed.has("wire")) drawStands();
    const ids = keys.filter((key) => key.startsWith("i:")).map((key) => key.slice(2));
    if (changed.has("session") || changed.has("items") || ids.some((id) => !blocks.has(id))) draw();
    else for (const block of new Set(ids.map((id) => blocks.get(id)))) view(block);
    drawMoving();
    if (changed.has("session")) tell();
    if (wanted && about.log?.epoch && app.open?.state === "attached") showEvent();
    if (changed.has("sent")) follower.toEnd(); // what one says oneself is in sight
  }

  // --- head ---

  function row() {
    return app.store.session(about.log?.id) ?? about.log?.row ?? null;
  }

  function drawHead() {
    const session = row();
    const { log } = about;
    const name = titleOf(log?.title ? log : session);
    more.hidden = !session;
    set(more, "aria-label", t("sidebar.menu", { title: name }));
    const device = session ? nameOf(session.device) : "";
    about.name = device || session?.backend || "";
    about.verbatim = isVerbatim(session);
    say(title.querySelector("h1"), name);
    const { backend, program, model } = session ?? {};
    say(under, [device, backend, program, log?.model || model, log?.cwd].filter(Boolean).join(" · "));
    keyed(chips, log?.others(app.own?.id) ?? [], (each) => Object.values(each).join(" "), chip);
    const terminal = !log?.ended && (session?.backend === "terminal" || log?.screen);
    set(raw, "hidden", !terminal);
    if (!terminal) return;
    if (!raw.firstChild) {
      const command = `agent attach --raw ${session.id}`;
      raw.append(el("span", { dir: "auto" }), " ", el("code", {}, command), " ", copyButton(command));
    }
    say(raw.firstChild, log?.screen ? t("chat.screen", { name: log.screen }) : t("chat.raw"));
  }

  function chip({ device, name, count: times }) {
    const who = device === app.own?.id ? t("chat.here") : name?.trim() || device;
    return el("li", { class: "participant", dir: "auto" }, times > 1 ? t("chat.times", { name: who, times }) : who);
  }

  // --- how it stands ---

  // A link that is back within a second was not lost for anybody: the style sheet shows it later.
  function drawStands() {
    const open = app.open ?? {};
    const text = app.state === "ready" ? standing(open) : "";
    if (text !== told) stands.replaceChildren(...coded(text));
    told = text;
    set(stands, "class", ["stands", open.state === "failed" && "wrong", open.away && "soon"]);
  }

  function standing({ state, error, waiting, away, stalled }) {
    if (state === "failed") return errorText(error);
    if (waiting) return reach(waiting.name, waiting.since, "chat.away");
    if (away) return reach(away.name, away.since, away.reason ? "chat.stopped" : "chat.away");
    if (stalled) return t("chat.stalled", { reason: stalled });
    return "";
  }

  function reach(name, since, key) {
    const device = name || about.name;
    return since ? t(`${key}.since`, { name: device, since: clock(since) }) : t(key, { name: device });
  }

  // --- the transcript ---

  function draw() {
    const items = about.log?.items ?? [];
    if (newest && !items.includes(newest)) {
      life += 1;
      views.clear();
    }
    if (!newest || !items.includes(newest)) hidden = Math.max(0, items.length - FIRST_ITEMS);
    newest = items.at(-1) ?? null;
    const far = scroller.scrollTop > scroller.clientHeight * FAR;
    if (follower.following && far && items.length - hidden > MOST_ITEMS) hidden = items.length - MOST_ITEMS / 2;
    if (hidden > MOST_HIDDEN && !seeking) hidden -= about.log.trim(hidden);
    while (goesWith(items[hidden - 1], items[hidden])) hidden -= 1; // no block is cut
    const shown = blocksOf(items.slice(hidden), blocks);
    blocks = new Map(shown.flatMap((block) => block.items.map((item) => [item.id, block])));
    follower.keep(() => {
      keyed(rows, shown, (block) => `${life} ${block.key}`, (block) => view(block).node, (_, block) => view(block));
      set(older, "hidden", !hidden && !about.log?.more);
      drawWorking();
    });
    const keys = new Set(shown.map((block) => block.key));
    for (const key of views.keys()) if (!keys.has(key)) views.delete(key);
    drawEnd();
    soon();
  }

  function view(block) {
    const known = views.get(block.key);
    if (known) {
      known.update(block);
      return known;
    }
    const made = blockView(about, block);
    views.set(block.key, made);
    return made;
  }

  // --- older ---

  async function awaits(shown) {
    unread += 1;
    await shown;
    unread -= 1;
    soon();
  }

  // What is new has its height only once it was drawn.
  function soon() {
    drawn ||= requestAnimationFrame(() => setTimeout(settle));
  }

  function settle() {
    drawn = 0;
    follower.settle();
    if (!unread && near()) showOlder();
  }

  // Where the search found something: older pages come until it is there.
  async function showEvent() {
    const { log } = about;
    const seq = wanted;
    wanted = 0;
    seeking = true;
    say(stands, told = t("chat.asking"));
    try {
      while (log === about.log && log.more && log.first > seq) hidden += await app.actions.older(log);
    } catch (error) {
      app.say(error.message);
    }
    seeking = false;
    drawStands();
    const item = log === about.log && log.itemAt(seq);
    if (item) hidden = Math.max(0, Math.min(hidden, log.items.indexOf(item) - MORE_ITEMS / 2));
    draw();
    const block = item && blocks.get(item.id);
    if (!block) return;
    const { node, show } = view(block);
    show?.(item.id);
    set(node, "aria-current", "true");
    follower.goTo(node);
  }

  function near() {
    return scroller.scrollTop < scroller.clientHeight * AHEAD;
  }

  async function showOlder() {
    const { log } = about;
    if (!log || asking) return;
    if (hidden) {
      hidden = Math.max(0, hidden - MORE_ITEMS);
      draw();
      return;
    }
    if (!log.more || app.open?.state !== "attached" || app.state !== "ready") return;
    asking = true;
    say(older, t("chat.asking"));
    try {
      const came = await app.actions.older(log);
      if (log !== about.log) return;
      hidden += Math.max(0, came - MORE_ITEMS);
    } catch (error) {
      app.say(error.message);
    } finally {
      asking = false;
      say(older, t("chat.older"));
    }
    draw();
  }

  // --- the end ---

  // What a program may still change, below what it has said.
  function drawMoving() {
    const text = about.log?.rows.join("\n") ?? "";
    if (text === moved) return;
    moved = text;
    follower.keep(() => {
      moving.replaceChildren(...ansiNodes(text));
      set(moving, "hidden", !text);
    });
  }

  function drawWorking() {
    const { log } = about;
    const last = log?.items.at(-1);
    const speaks = last && !last.done && (last.kind === "reply" || last.kind === "tool" || last.kind === "thought");
    const waits = log?.turn && !log.requests.size && !speaks;
    say(working, waits ? t("chat.working", { name: about.name }) : "");
  }

  function drawEnd() {
    const items = about.log?.items ?? [];
    if (follower.following) {
      lastSeen = null;
      set(end, "hidden", true);
      return;
    }
    lastSeen ??= items.at(-1)?.id ?? "";
    const at = items.findLastIndex((item) => item.id === lastSeen);
    const count = at < 0 ? 0 : items.length - 1 - at;
    say(end, count ? t("chat.new", { count }) : t("chat.to_end"));
    set(end, "hidden", false);
  }

  function toEnd() {
    follower.toEnd();
    scroller.focus({ preventScroll: true });
  }

  function tell() {
    const now = Boolean(about.log?.turn);
    if (wasRunning !== null && now !== wasRunning) {
      app.say(now ? t("chat.says.writing", { name: about.name }) : t("chat.says.finished"));
    }
    wasRunning = now;
  }
}
