// The sidebar: the sessions of this device, "Live on other devices", what is away, and where a new one can be started.

import { el, keyed, menu, say, set } from "./dom.js";
import { rowActions } from "./row_menu.js";
import { matches, nameOf, status, titleOf } from "./store.js";
import { ago, clock, number, t } from "./words.js";

const ALL_ROWS = 2000;
const FIRST_ROWS = 500;
const AGO_EVERY = 20_000;

export function sidebar(app) {
  const rows = new Map(); // nodes of sessions by id
  const find = el("input", {
    type: "search", class: "field", "aria-label": t("sidebar.filter"), placeholder: t("sidebar.filter"),
    autocomplete: "off", spellcheck: "false", oninput: draw, onkeydown: fromFilter,
  });
  const waiting = el("button", { type: "button", class: "chip waiting", "aria-pressed": "false", onclick: onlyWaiting });
  const sections = el("div", { class: "sections" });
  const away = el("ul", { class: "away" });
  const refusing = el("ul", { class: "refusing" });
  const none = el("p", { class: "none", role: "status" });
  const fresh = el("ul", { class: "fresh" });
  const health = el("span", { class: "health", role: "img" });
  const node = el("nav", { id: "side", "aria-label": t("sidebar.name") },
    el("div", { class: "search" }, find,
      el("a", { class: "button plus", href: "#/new", "aria-label": t("sidebar.new"), title: t("sidebar.new") }), waiting),
    el("div", { class: "rows", onkeydown: steps, oncontextmenu: context }, sections, away, none, refusing, fresh),
    el("div", { class: "foot" },
      el("a", { href: "#/devices" }, t("sidebar.devices"), health), el("a", { href: "#/settings" }, t("sidebar.settings"))));
  setInterval(tick, AGO_EVERY);
  draw();
  drawHealth();
  return { node, update, focus, step };

  function update(changed) {
    const keys = [...changed];
    for (const key of keys) if (key.startsWith("s:") && !app.store.session(key.slice(2))) rows.delete(key.slice(2));
    if (keys.some((key) => /^[sp]:|^(loaded|own|keep)$/.test(key))) draw();
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
    const parts = [["pinned", pinned], ["local", others(local)], ["remote", others(remote)]];
    const seen = parts.map(([name, list]) => part(name, list, fits));
    keyed(sections, seen.filter((each) => each.list.length), (each) => each.name, makeSection, drawSection);
    const found = seen.reduce((sum, each) => sum + each.fitting, 0) + drawAway(only ? [] : gone, filter, fits);
    drawNone(found, filter, only, local.length + remote.length + gone.length);
    drawWaiting(only);
    drawNew();
    const lines = app.store.refusing();
    keyed(refusing, lines, (peer) => peer.id, (peer) => el("li", {}, refusal(peer)), (li, peer) => say(li, refusal(peer)));
    drawCurrent();
  }

  // Up to 2,000 rows are shown, of more the first 500 and how many there are.
  function part(name, list, fits) {
    const fitting = list.filter(fits);
    const shown = fitting.length > ALL_ROWS ? fitting.slice(0, FIRST_ROWS) : fitting;
    return { name, list: shown, fitting: fitting.length };
  }

  function makeSection(each) {
    const id = `side-${each.name}`;
    const section = el("section", { "aria-labelledby": id },
      el("h2", { id }, t(`sidebar.${each.name}`)), el("ul"), el("p", { class: "more-rows" }));
    drawSection(section, each);
    return section;
  }

  function drawSection(section, each) {
    const [, list, more] = section.children;
    keyed(list, each.list, (row) => row.id, makeRow, drawRow);
    const count = each.fitting - each.list.length;
    say(more, count ? t("sidebar.more", { count }) : "");
  }

  // A row that a filter took away, or that moves to another section, comes back as it was.
  function makeRow(row) {
    const known = rows.get(row.id);
    if (known) drawRow(known, row);
    return known ?? newRow(row);
  }

  function newRow(row) {
    const button = el("button", { type: "button", class: "row", tabindex: "-1", onclick: () => app.go(`#/s/${row.id}`) },
      el("span", { role: "img" }), el("span", { class: "title", dir: "auto" }), el("time"),
      el("span", { class: "under", dir: "auto" }), el("span", { class: "marks" }));
    const more = el("button", {
      type: "button", class: "more", tabindex: "-1", "aria-haspopup": "menu", "aria-expanded": "false",
      onclick: () => openMenu(row.id),
    });
    const li = el("li", { dataset: { id: row.id } }, button, more);
    rows.set(row.id, li);
    drawRow(li, row);
    return li;
  }

  function drawRow(li, row) {
    const [button, more] = li.children;
    const [dot, title, time, under, marks, question] = button.children;
    const state = status(row);
    const name = titleOf(row);
    set(dot, "class", `dot ${state}`);
    set(dot, "aria-label", t(`status.${state}`) + (row.stale ? `, ${t("devices.stale")}` : ""));
    set(li, "class", [(row.stale || row.away || !row.attachable) && "dim"]);
    say(title, name);
    set(title, "class", ["title", row.untitled && "untitled"]);
    say(time, ago(row.updated_at));
    set(time, "datetime", row.updated_at);
    say(under, row.local ? row.short_cwd || row.backend : nameOf(row.device));
    set(button, "title", [name, nameOf(row.device), row.backend, row.short_cwd].filter(Boolean).join(" · "));
    say(marks, marksOf(row).join(" · "));
    const asks = state === "needs-input" ? row.question : "";
    if (!asks) question?.remove();
    else if (question) say(question, asks);
    else button.append(el("span", { class: "question", dir: "auto" }, asks));
    set(more, "aria-label", t("sidebar.menu", { title: name }));
  }

  function marksOf(row) {
    const watching = (row.participants ?? []).reduce((sum, each) => sum + each.count, 0);
    return [
      row.queued ? t("sidebar.queued", { count: row.queued }) : "",
      row.share && row.share !== "all" ? t(`share.${row.share}`) : "",
      watching > 1 ? `×${number(watching)}` : "",
    ].filter(Boolean);
  }

  // Devices that are out of reach fold, with the sessions that they had (R12); while something is sought, they are open.
  function drawAway(gone, filter, fits) {
    const groups = new Map(gone.map((each) => [each.device.id, each]));
    for (const peer of app.store.peers()) {
      const offline = peer.paired && peer.state === "offline";
      if (offline && !groups.has(peer.id)) groups.set(peer.id, { device: peer, rows: [] });
    }
    const list = [...groups.values()].map((each) => ({ ...each, fitting: each.rows.filter(fits) }))
      .filter((each) => !filter || each.fitting.length);
    const key = (each) => `${each.device.id} ${each.rows.length > 0}`;
    const nodes = keyed(away, list, key, makeAway, drawAwayDevice);
    if (filter) for (const li of nodes.values()) set(li.firstChild, "open", true);
    return list.reduce((sum, each) => sum + each.fitting.length, 0);
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
    const what = since ? t("sidebar.away", { name, since }) : t("sidebar.away.unknown", { name });
    const count = each.rows.length;
    const [summary, list] = li.firstChild.children;
    if (!count) return say(li.firstChild, what);
    say(summary, t("sidebar.away.sessions", { what, count }));
    keyed(list, each.fitting, (row) => row.id, makeRow, drawRow);
  }

  function drawNone(found, filter, only, all) {
    if (!all) say(none, app.store.loaded ? t("sidebar.none") : "");
    else say(none, found ? "" : filter ? t("sidebar.nothing", { filter }) : only ? t("sidebar.nobody") : "");
  }

  function drawWaiting(only) {
    const count = app.store.waiting();
    say(waiting, t("sidebar.waiting", { count }));
    waiting.hidden = !count && !only;
  }

  function drawNew() {
    const own = { id: "", name: "" };
    const places = [own, ...app.store.reachable()];
    keyed(fresh, places, (peer) => peer.id, makeNew, drawNewOn);
  }

  function makeNew(peer) {
    const li = el("li", {}, el("a", { href: peer.id ? `#/new/${peer.id}` : "#/new" }));
    drawNewOn(li, peer);
    return li;
  }

  function drawNewOn(li, peer) {
    say(li.firstChild, peer.id ? t("sidebar.new_on", { name: nameOf(peer) }) : t("sidebar.new"));
  }

  function drawHealth() {
    const count = app.store.status?.problems?.length ?? 0;
    say(health, count ? number(count) : "");
    set(health, "aria-label", count ? t("sidebar.problems", { count }) : null);
    health.hidden = !count;
  }

  function drawCurrent() {
    const id = app.route.name === "s" ? app.route.id : null;
    for (const li of node.querySelectorAll("li:has(> [aria-current])")) {
      if (li.dataset.id !== id) li.firstChild.removeAttribute("aria-current");
    }
    const current = node.querySelector(`li[data-id="${CSS.escape(id ?? "")}"]`);
    if (current) set(current.firstChild, "aria-current", "page");
    rove(document.activeElement?.closest?.(".rows li") ?? current ?? node.querySelector("li[data-id]"));
  }

  function tick() {
    for (const time of node.querySelectorAll("li > .row > time")) say(time, ago(time.getAttribute("datetime")));
  }

  function onlyWaiting() {
    set(waiting, "aria-pressed", waiting.getAttribute("aria-pressed") === "true" ? "false" : "true");
    draw();
  }

  // --- keys ---

  function visible() {
    return [...node.querySelectorAll("li[data-id]")].filter((li) => li.firstChild.checkVisibility());
  }

  // One row alone is in the order of Tab; the arrows move from there.
  function rove(li) {
    for (const button of node.querySelectorAll('li[data-id] > [tabindex="0"]')) {
      if (button.parentNode !== li) button.setAttribute("tabindex", "-1");
    }
    for (const button of li?.dataset.id ? li.children : []) button.setAttribute("tabindex", "0");
  }

  function focusRow(li) {
    if (!li) return;
    rove(li);
    li.firstChild.focus();
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
    if (event.isComposing) return;
    if (event.key === "ArrowDown") focusRow(visible()[0]);
    else if (event.key === "Enter") visible()[0]?.firstChild.click();
    else if (event.key === "Escape" && find.value) find.value = "";
    else if (event.key === "Escape") document.querySelector("#message")?.focus();
    else return;
    event.preventDefault();
    draw();
  }

  /** Open the session that is `by` rows below the open one. */
  function step(by) {
    const list = visible();
    const at = list.findIndex((li) => li.firstChild.hasAttribute("aria-current"));
    const to = at < 0 ? 0 : Math.max(0, Math.min(list.length - 1, at + by));
    if (list[to] && to !== at) app.go(`#/s/${list[to].dataset.id}`);
  }

  function focus() {
    if (document.body.dataset.route !== "list" && !node.checkVisibility()) app.go("#/");
    find.focus();
    find.select();
  }

  function context(event) {
    const li = event.target.closest("li[data-id]");
    if (!li) return;
    event.preventDefault();
    openMenu(li.dataset.id);
  }

  function openMenu(id) {
    const row = app.store.session(id);
    const li = rows.get(id);
    if (row && li) menu(li.lastChild, rowActions(app, row), t("sidebar.menu", { title: titleOf(row) }));
  }

  function refusal(peer) {
    return t("sidebar.refuses", { name: nameOf(peer) });
  }
}
