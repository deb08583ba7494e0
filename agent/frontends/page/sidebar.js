// The sidebar: the sessions of this device, "Live on other devices", what is away or over, and where a new one can be started.

import { composing, el, keyed, say, set } from "./dom.js";
import { past } from "./past.js";
import { menuButton } from "./row_menu.js";
import { matches, nameOf, status, titleOf } from "./store.js";
import { ago, clock, number, t } from "./words.js";

const ALL_ROWS = 2000;
const FIRST_ROWS = 500;
const AGO_EVERY = 20_000;

export function sidebar(app) {
  const rows = new Map(); // nodes of sessions by id
  const shown = new WeakMap(); // rows by their nodes
  let current = null; // the node of the open session
  let roving = null; // the node of the row that is in the order of Tab
  let walked = ""; // the session that a step led to: others are opened to write
  const find = el("input", {
    type: "search", class: "field", "aria-label": t("sidebar.filter"), placeholder: t("sidebar.filter"),
    autocomplete: "off", spellcheck: "false", oninput: draw, onkeydown: fromFilter,
  });
  const waiting = el("button", { class: "chip waiting", "aria-pressed": "false", onclick: onlyWaiting });
  const sections = el("div", { class: "sections" });
  const away = el("ul", { class: "away" });
  const none = el("p", { class: "none", role: "status" });
  const fresh = el("ul", { class: "fresh" });
  const over = past(app, { make: makeRow, update: drawRow });
  const health = el("span", { class: "health", role: "img" });
  const node = el("nav", { id: "side", "aria-label": t("sidebar.name") },
    el("div", { class: "search" }, find,
      el("a", { class: "button plus", href: "#/new", "aria-label": t("sidebar.new"), title: t("sidebar.new") }), waiting),
    el("div", { class: "rows", onkeydown: steps, oncontextmenu: context },
      sections, none, away, over.node, fresh),
    el("div", { class: "foot" },
      el("a", { href: "#/devices" }, t("sidebar.devices"), health), el("a", { href: "#/settings" }, t("sidebar.settings"))));
  const timer = setInterval(() => (node.isConnected ? tick() : clearInterval(timer)), AGO_EVERY);
  draw();
  drawHealth();
  return { node, update, focus, step, stand, stays };

  function update(changed) {
    const gone = [...changed].filter((key) => key.startsWith("s:") && !app.store.session(key.slice(2)));
    for (const key of gone) rows.delete(key.slice(2));
    if (gone.length || changed.has("over")) over.ask();
    if ([...changed].some((key) => /^[sp]:|^(loaded|own|keep|past)$/.test(key))) draw();
    if (changed.has("health")) drawHealth();
    if (changed.has("route")) drawCurrent();
  }

  function draw() {
    const filter = find.value.trim();
    const only = waiting.getAttribute("aria-pressed") === "true";
    const fits = (row) => (!only || status(row) === "needs-input") && (!filter || matches(row, filter));
    const { local, remote, away: gone } = app.store.sessions();
    const pins = new Set(app.keep.pins);
    const pinned = [...local, ...remote].filter((row) => pins.has(row.id));
    const others = (list) => list.filter((row) => !pins.has(row.id));
    const seen = [["pinned", pinned], ["local", others(local)], ["remote", others(remote)]]
      .map(([name, list]) => [name, list.filter(fits)]).filter(([, list]) => list.length);
    keyed(sections, seen, ([name]) => name, makeSection, drawSection);
    const found = seen.length + drawAway(gone, fits, filter, only) + over.draw(fits, filter, only);
    const all = local.length + remote.length + gone.length;
    if (found || !app.store.loaded) say(none, "");
    else say(none, !all ? t("app.empty") : filter ? t("sidebar.nothing", { filter }) : only ? t("sidebar.nobody") : "");
    const count = app.store.waiting();
    waiting.hidden = !count && !only;
    if (!waiting.hidden) say(waiting, t("sidebar.waiting", { count }));
    drawNew();
    drawCurrent();
  }

  function makeSection([name, list]) {
    const id = `side-${name}`;
    const section = el("section", { "aria-labelledby": id },
      el("h2", { id }, t(`sidebar.${name}`)), el("ul"), el("p", { class: "more-rows" }));
    drawSection(section, [name, list]);
    return section;
  }

  // Up to 2,000 rows are shown, of more the first 500 and how many there are.
  function drawSection(section, [, list]) {
    const [, ul, more] = section.children;
    const count = list.length > ALL_ROWS ? list.length - FIRST_ROWS : 0;
    keyed(ul, count ? list.slice(0, FIRST_ROWS) : list, (row) => row.id, makeRow, drawRow);
    say(more, count ? t("sidebar.more", { count }) : "");
  }

  // A row that a filter took away, or that moves to another section, comes back as it was.
  function makeRow(row) {
    const li = rows.get(row.id) ?? newRow(row.id);
    drawRow(li, row);
    return li;
  }

  function newRow(id) {
    const button = el("button", { class: "row", tabindex: "-1", onclick: () => open(id) },
      el("span", { role: "img" }), el("span", { class: "title", dir: "auto" }), el("time"),
      el("span", { class: "under", dir: "auto" }), el("span", { class: "marks" }));
    const li = el("li", { dataset: { id } }, button, menuButton(app, () => shown.get(li)));
    li.lastChild.tabIndex = -1;
    rows.set(id, li);
    return li;
  }

  function open(id) {
    walked = "";
    app.go(`#/s/${id}`);
  }

  function drawRow(li, row) {
    if (shown.get(li) === row) return;
    shown.set(li, row);
    const [button, more] = li.children;
    const [dot, title, time, under, marks, question] = button.children;
    const state = status(row);
    const name = titleOf(row);
    const device = nameOf(row.device);
    set(dot, "class", `dot ${state}`);
    set(dot, "aria-label", t(`status.${state}`) + (row.stale ? `, ${t("devices.stale")}` : ""));
    set(li, "class", [(row.stale || row.away || !row.attachable) && "dim"]);
    say(title, name);
    set(title, "class", ["title", row.untitled && "untitled"]);
    say(time, ago(row.updated_at));
    set(time, "datetime", row.updated_at);
    say(under, (row.local ? [row.backend, row.short_cwd] : [device, row.backend]).filter(Boolean).join(" · "));
    set(button, "title", [name, device, row.backend, row.short_cwd].filter(Boolean).join(" · "));
    say(marks, marksOf(row));
    const asks = state === "needs-input" ? row.question : "";
    if (!asks) question?.remove();
    else if (question) say(question, asks);
    else button.append(el("span", { class: "question", dir: "auto" }, asks));
    set(more, "aria-label", t("sidebar.menu", { title: name }));
  }

  function marksOf(row) {
    const all = row.participants ?? [];
    const watching = all.some((each) => each.device !== app.own?.id) && all.reduce((sum, each) => sum + each.count, 0);
    return [
      row.queued ? t("sidebar.queued", { count: row.queued }) : "",
      row.share && row.share !== "all" ? t(`share.${row.share}`) : "",
      watching > 1 ? `×${number(watching)}` : "",
    ].filter(Boolean).join(" · ");
  }

  // Devices that are out of reach fold, with the sessions that they had (R12); while something is sought, they are open.
  // One that refuses this device has none (R14).
  function drawAway(gone, fits, filter, only) {
    const groups = new Map(gone.map((each) => [each.device.id, each]));
    for (const device of app.store.absent()) if (!groups.has(device.id)) groups.set(device.id, { device, rows: [] });
    const list = [...groups.values()].map((each) => ({ ...each, fitting: each.rows.filter(fits) }))
      .filter((each) => !(filter || only) || each.fitting.length);
    const key = (each) => `${each.device.id} ${each.rows.length > 0}`;
    const nodes = keyed(away, list, key, makeAway, drawAwayDevice);
    if (filter) for (const li of nodes.values()) set(li.firstChild, "open", true);
    return list.some((each) => each.fitting.length);
  }

  function makeAway(each) {
    const li = el("li", {}, each.rows.length ? el("details", {}, el("summary"), el("ul")) : el("p"));
    drawAwayDevice(li, each);
    return li;
  }

  function drawAwayDevice(li, each) {
    const peer = app.store.peer(each.device.id);
    const since = clock(peer?.since ?? peer?.heard_at ?? "");
    const name = nameOf(peer ?? each.device);
    const key = peer?.state === "online" ? "sidebar.refuses" : since ? "sidebar.away" : "sidebar.away.unknown";
    const what = t(key, { name, since });
    const count = each.rows.length;
    const [summary, list] = li.firstChild.children;
    if (!count) return say(li.firstChild, what);
    say(summary, t("sidebar.away.sessions", { what, count }));
    keyed(list, each.fitting, (row) => row.id, makeRow, drawRow);
  }

  function drawNew() {
    const links = [["#/new", t("sidebar.new")]];
    for (const peer of app.store.reachable()) links.push([`#/new/${peer.id}`, t("sidebar.new_on", { name: nameOf(peer) })]);
    if (app.store.alone()) links.push(["#/pair", t("pair.title")]);
    keyed(fresh, links, ([href]) => href, ([href, text]) => el("li", {}, el("a", { href }, text)),
      (li, [, text]) => say(li.firstChild, text));
  }

  function drawHealth() {
    const count = app.store.status?.problems?.length ?? 0;
    say(health, count ? number(count) : "");
    set(health, "aria-label", count ? t("sidebar.problems", { count }) : null);
    health.hidden = !count;
  }

  function drawCurrent() {
    const open = app.route.name === "s" ? rows.get(app.route.id) : null;
    if (current && current !== open) current.firstChild.removeAttribute("aria-current");
    if (open && current !== open) {
      set(open.firstChild, "aria-current", "page");
      open.scrollIntoView({ block: "nearest" });
    }
    current = open;
    rove(document.activeElement?.closest?.(".rows li[data-id]") ?? (open?.isConnected ? open : visible()[0]));
  }

  function tick() {
    for (const time of node.querySelectorAll("li > .row > time")) say(time, ago(time.getAttribute("datetime")));
  }

  function onlyWaiting() {
    set(waiting, "aria-pressed", waiting.getAttribute("aria-pressed") === "true" ? "false" : "true");
    draw();
  }

  // --- keys ---

  // Rows that are not folded away; also while the whole sidebar is out of sight, as it is beside a session on a phone.
  function visible() {
    return [...node.querySelectorAll("li[data-id]")].filter((li) => !li.closest("details:not([open])"));
  }

  // One row alone is in the order of Tab; the arrows move from there.
  function rove(li) {
    if (li === roving) return;
    for (const button of roving?.children ?? []) button.tabIndex = -1;
    for (const button of li?.children ?? []) button.tabIndex = 0;
    roving = li;
  }

  function focusRow(li) {
    rove(li);
    li?.firstChild.focus();
  }

  function steps(event) {
    const li = event.target.closest("li[data-id]");
    if (!li || event.altKey || event.ctrlKey || event.metaKey) return;
    const list = visible();
    const at = list.indexOf(li);
    if (event.key === "ArrowRight") li.lastChild.focus();
    else if (event.key === "ArrowLeft") li.firstChild.focus();
    else {
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: list.length - 1 }[event.key];
      if (to === undefined) return;
      if (to < 0) find.focus();
      else focusRow(list[to]);
    }
    event.preventDefault();
  }

  function fromFilter(event) {
    if (composing(event)) return;
    if (event.key === "ArrowDown") focusRow(visible()[0]);
    else if (event.key === "Enter") (visible()[0]?.firstChild ?? over.search).click();
    else if (event.key === "Escape" && find.value) find.value = "";
    else if (event.key === "Escape") document.querySelector("#message")?.focus();
    else return;
    event.preventDefault();
    draw();
  }

  /** Open the session that is `by` rows below the one with the focus, or the open one, to be looked at: see `stays`. */
  function step(by) {
    const list = visible();
    const at = list.indexOf(document.activeElement?.closest("li[data-id]") ?? rows.get(app.route.id));
    const to = at < 0 ? 0 : Math.max(0, Math.min(list.length - 1, at + by));
    if (!list[to] || (to === at && list[to] === current)) return;
    walked = list[to].dataset.id;
    if (node.checkVisibility()) focusRow(list[to]);
    else document.querySelector("#main").focus({ preventScroll: true });
    app.go(`#/s/${walked}`);
  }

  /** Whether the focus stays where it is as a session is opened: on the row that a step led to, for the next step. */
  function stays(id) {
    if (id !== walked) walked = "";
    return walked !== "";
  }

  /** Go to the field that finds sessions. */
  function focus() {
    if (!node.checkVisibility()) {
      app.go("#/");
      addEventListener("hashchange", focus, { once: true });
    }
    find.focus();
    find.select();
  }

  /** Go to the row of a session, from which somebody comes back to the list. Whether there is one. */
  function stand(id) {
    const li = rows.get(id);
    if (li?.isConnected) focusRow(li);
    return Boolean(li?.isConnected);
  }

  function context(event) {
    const li = event.target.closest("li[data-id]");
    if (!li) return;
    event.preventDefault();
    li.lastChild.click();
  }
}
