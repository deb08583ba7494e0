// The devices: who is there and trusted, how each is reached, what is wrong with this one, and what was done here.

import { ask, choice, coded, el, keyed, menu, set } from "./dom.js";
import { hostPort, nameOf, shortDevice } from "./store.js";
import { ago, clock, list, t } from "./words.js";

const AGO_EVERY = 20_000;
const FIRST_ENTRIES = 50;

export function devices(app) {
  const wrong = el("ul", { class: "problems" });
  const notices = el("ul", { class: "notices" });
  const trusted = el("ul", { class: "cards" });
  const strangers = el("ul", { class: "cards" });
  const alone = el("p", { class: "about" }, t("devices.alone"));
  const audit = el("ol", { class: "audit" });
  const log = el("details", { ontoggle: () => log.open && app.actions.wantTrust("audit") },
    el("summary", {}, t("audit.title")), audit);
  const node = el("section", { class: "pane devices" },
    app.head(t("sidebar.devices"), el("a", { class: "button", href: "#/pair" }, t("pair.join"))),
    part("problems", wrong), part("notices", notices), part("paired", trusted, alone),
    part("strangers", el("p", { class: "about" }, t("devices.strangers.more")), strangers), log);
  app.actions.wantTrust("devices");
  app.actions.status();
  const timer = setInterval(() => (node.isConnected ? draw() : clearInterval(timer)), AGO_EVERY);
  draw();
  return { node, update };

  function update(changed) {
    if ([...changed].some((key) => /^(p:|trust$|own$|health$|wire$)/.test(key))) draw();
  }

  function draw() {
    const { problems = [], notices: told = [], noticed_at = [] } = app.store.status ?? {};
    lines(wrong, problems);
    lines(notices, told, noticed_at);
    const rows = merged(app);
    const known = rows.filter((row) => row.self || row.paired);
    cards(app, trusted, known);
    cards(app, strangers, rows.filter((row) => !known.includes(row)));
    strangers.parentNode.hidden = known.length === rows.length;
    alone.hidden = known.length !== 1;
    const entries = (app.trust.audit ?? []).slice(0, FIRST_ENTRIES);
    keyed(audit, entries, (entry) => JSON.stringify({ ...entry, title: "" }), (entry) => line(entry));
    if (app.trust.audit && !entries.length) audit.replaceChildren(el("li", {}, t("audit.none")));
  }
}

function part(name, ...nodes) {
  return el("section", { "aria-labelledby": name }, el("h2", { id: name }, t(`devices.${name}`)), nodes);
}

/** Show what is wrong, a line each, in a list whose part is there only if something is. `at`: when each was said. */
export function lines(node, texts, at = []) {
  keyed(node, texts, (text) => text, (text) => el("li", { dir: "auto" }, coded(text), " ", time(at[texts.indexOf(text)])));
  node.parentNode.hidden = !texts.length;
}

/** What is known of each device, from `peer.watch` and `device.list` together: this one first, then by name. */
function merged(app) {
  const trusted = new Map((app.trust.devices ?? []).map((row) => [row.id, row]));
  const own = app.store.peer(app.own?.id);
  return [own && { ...own, started_at: app.store.status?.started_at }, ...app.store.peers()].filter(Boolean)
    .map((row) => ({ ...trusted.get(row.id), ...row }));
}

function cards(app, node, rows) {
  keyed(node, rows, (row) => row.id, (row) => card(app, row), (li, row) => drawCard(app, li, row));
}

function card(app, row) {
  const more = el("button", {
    class: "more", "aria-haspopup": "menu", "aria-expanded": "false",
    onclick: () => menu(more, deviceActions(app, li.row), more.getAttribute("aria-label")),
  });
  const li = el("li", { class: "card" }, el("div"), more);
  drawCard(app, li, row);
  return li;
}

function drawCard(app, li, row) {
  const [before, more] = li.children;
  const name = nameOf(row);
  li.row = row;
  const body = el("div", {}, el("span", { class: `presence ${row.state}`, "aria-hidden": "true" }),
    el(row.self || row.paired ? "h2" : "h3", { dir: "auto" },
      row.self ? t("devices.self", { name }) : row.was ? t("devices.was", { name, was: row.was }) : name),
    el("code", { class: "id" }, shortDevice(row.id)),
    !row.self && !row.paired && el("a", { class: "button", href: "#/pair" }, t("pair.join")),
    !row.self && el("p", { class: "state" }, stateOf(row)),
    el("dl", {}, factsOf(app, row).map(([fact, value]) =>
      el("div", {}, el("dt", {}, t(`devices.fact.${fact}`)), el("dd", { dir: "auto" }, value)))));
  if (!body.isEqualNode(before)) before.replaceWith(body); // else a selection in it stays
  set(more, "aria-label", t("sidebar.menu", { title: name }));
  more.hidden = !deviceActions(app, row).length;
}

function stateOf(row) {
  const since = row.state === "offline" && clock(row.since ?? "");
  const state = since ? t("devices.since", { since }) : t(`devices.${row.state}`);
  if (row.reason || row.state === "offline") return [state, row.reason].filter(Boolean).join(": ");
  return `${state} · ${t(`devices.by.${row.linked ? "link" : row.source}`)}`;
}

// Name of a fact, and its text or the time that it is about.
function factsOf(app, row) {
  return [
    ["role", row.paired && [t(`devices.role.${row.role}`), ...termsOf(app, row)].join(" · ")],
    ["sessions", row.role !== "guest" && String(row.sessions || row.remembered || "")], // of a guest none can be listed
    ["address", row.addresses.map((host) => hostPort(host, row.port)).join(", ")],
    ["version", row.version],
    ["heard", !row.self && time(row.heard_at)],
    ["paired", !row.self && time(row.paired_at)],
    ["let_in", row.admitted_by?.id !== row.id && row.admitted_by?.name],
    ["started", time(row.started_at)],
  ].filter(([, value]) => value);
}

/** What limits a device here, or this one there: texts. */
export function termsOf(app, { read_only, session, session_title, expires_at }) {
  const title = session && (session_title || app.store.session(session)?.title || session);
  return [
    read_only && t("share.read-only"),
    title && t("devices.only", { session: title }),
    expires_at && t("devices.until", { until: clock(expires_at) }),
  ].filter(Boolean);
}

function time(at) {
  return at ? el("time", { datetime: at, title: clock(at) }, ago(at)) : "";
}

// --- what can be done with one ---

function deviceActions(app, row) {
  if (row.self) {
    const some = (app.trust.devices ?? []).some((each) => !each.self);
    return some ? [{ label: t("devices.leave"), danger: true, run: () => leave(app) }] : [];
  }
  if (!row.paired) return [];
  const reachable = app.store.reachable().some((each) => each.id === row.id);
  return [
    reachable && { label: t("sidebar.new"), run: () => app.go(`#/new/${row.id}`) },
    row.role !== "host" && { label: t(row.read_only ? "devices.full" : "devices.limit"), run: () => limit(app, row) },
    { label: t("devices.unpair"), danger: true, run: () => unpair(app, row) },
  ].filter(Boolean);
}

function limit(app, row) {
  const what = row.read_only ? "devices.full" : "devices.limit";
  const body = [el("p", {}, t(`${what}.more`, { name: nameOf(row) }))];
  ask(t(what), body, t(what), {}, () => app.actions.limit(row.id, !row.read_only));
}

/** Ask before a device is put out, with whom it had let in. */
export function unpair(app, row) {
  const names = letInBy(app.trust.devices ?? [], row.id).map(nameOf);
  const also = el("input", { type: "checkbox" });
  const body = [el("p", {}, t("devices.unpair.more")),
    names.length ? choice(also, t("devices.unpair.all", { names: list(names) })) : ""];
  ask(t("devices.unpair.title", { name: nameOf(row) }), body, t("devices.unpair"), { danger: true },
    () => app.actions.unpair(row.id, also.checked));
}

function leave(app) {
  ask(t("devices.leave"), [el("p", {}, t("devices.leave.more"))], t("devices.leave"), { danger: true }, app.actions.leave);
}

// Whom a device let in, and whom these let in.
function letInBy(rows, id) {
  const found = rows.filter((row) => row.admitted_by?.id === id && row.id !== id);
  return [...found, ...found.flatMap((row) => letInBy(rows.filter((each) => each.id !== id), row.id))];
}

// --- what was done here ---

function line({ at, device, name, action, session, title, length, detail }) {
  const refused = action === "refused";
  const said = [name || shortDevice(device), t(`audit.${action}`), !refused && (title || session)].filter(Boolean).join(" ");
  const more = [detail, length && t("audit.length", { count: length })].filter(Boolean).join(", ");
  return el("li", { class: refused && "refused" },
    el("span", { class: "when" }, clock(at)),
    el("span", { dir: "auto" }, said, more && el("small", {}, more)));
}
