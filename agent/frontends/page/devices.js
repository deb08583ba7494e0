// The devices: who is there and trusted, how each is reached, what is wrong with this one, and what was done here.

import { ask, choice, coded, el, keyed, menu, say, set } from "./dom.js";
import { nameOf, shortDevice } from "./store.js";
import { ago, clock, list, t } from "./words.js";

const AGO_EVERY = 20_000;
const FIRST_ENTRIES = 50;

export function devices(app) {
  const wrong = el("ul", { class: "problems" });
  const notices = el("ul", { class: "notices" });
  const part = (name, list) => el("section", { "aria-labelledby": name }, el("h2", { id: name }, t(`devices.${name}`)), list);
  const trusted = el("ul", { class: "cards" });
  const strangers = el("ul", { class: "cards" });
  const others = el("section", { "aria-labelledby": "strangers" },
    el("h2", { id: "strangers" }, t("devices.strangers")), el("p", { class: "about" }, t("devices.strangers.more")), strangers);
  const alone = el("p", { class: "about" }, t("devices.alone"));
  const audit = el("ol", { class: "audit" });
  const log = el("details", { ontoggle: () => log.open && app.actions.wantTrust("audit") },
    el("summary", {}, t("audit.title")), audit);
  const node = el("section", { class: "pane devices" },
    app.head(t("sidebar.devices"), el("a", { class: "button", href: "#/pair" }, t("pair.title"))),
    part("problems", wrong), part("notices", notices), el("section", {}, trusted, alone), others, log);
  app.actions.wantTrust("devices");
  app.actions.status();
  const timer = setInterval(tick, AGO_EVERY);
  draw();
  return { node, update };

  function update(changed) {
    if ([...changed].some((key) => /^(p:|trust$|own$|health$|wire$)/.test(key))) draw();
  }

  function draw() {
    const { problems = [], notices: told = [] } = app.store.status ?? {};
    lines(wrong, problems);
    lines(notices, told);
    const rows = merged(app);
    const known = rows.filter((row) => row.self || row.paired);
    keyed(trusted, known, (row) => row.id, (row) => card(app, row), drawCard);
    keyed(strangers, rows.filter((row) => !row.self && !row.paired), (row) => row.id, (row) => card(app, row), drawCard);
    others.hidden = !strangers.childElementCount;
    alone.hidden = known.length !== 1;
    drawAudit();
  }

  function drawAudit() {
    const entries = (app.trust.audit ?? []).slice(0, FIRST_ENTRIES);
    const name = (entry) => `${entry.at} ${entry.device} ${entry.action} ${entry.session ?? ""} ${entry.detail ?? ""}`;
    keyed(audit, entries, name, (entry) => line(app, entry));
    if (app.trust.audit && !entries.length) audit.replaceChildren(el("li", {}, t("audit.none")));
  }

  function tick() {
    if (!node.isConnected) return clearInterval(timer);
    for (const time of node.querySelectorAll("time")) say(time, ago(time.dateTime));
  }
}

function lines(node, texts) {
  keyed(node, texts, (text) => text, (text) => el("li", { dir: "auto" }, coded(text)));
  node.parentNode.hidden = !texts.length;
}

/** What is known of each device, from `peer.watch` and `device.list` together: this one first, then by name. */
function merged(app) {
  const trusted = new Map((app.trust.devices ?? []).map((row) => [row.id, row]));
  const rows = app.store.peers().map((row) => ({ ...trusted.get(row.id), ...row, name: nameOf(row) }));
  for (const row of trusted.values()) {
    if (!row.self && !app.store.peer(row.id)) rows.push({ ...row, paired: true, addresses: [], name: nameOf({ ...row }) });
  }
  const own = app.store.peer(app.own?.id) ?? { state: "online", addresses: [] };
  const status = app.store.status ?? {};
  if (!app.own) return rows;
  return [{ ...trusted.get(app.own.id), ...own, ...status, ...app.own, self: true, state: "online" }, ...rows];
}

function card(app, row) {
  const li = el("li", { class: "card" },
    el("span", { role: "img" }), el("h3", { dir: "auto" }), el("code", { class: "id" }),
    el("p", { class: "state" }), el("dl"));
  li.row = row;
  li.app = app;
  const more = el("button", {
    type: "button", class: "more", "aria-haspopup": "menu", "aria-expanded": "false",
    onclick: () => menu(more, deviceActions(app, li.row), t("sidebar.menu", { title: nameOf(li.row) })),
  });
  li.append(more);
  drawCard(li, row);
  return li;
}

function drawCard(li, row) {
  const [dot, name, id, state, facts, more] = li.children;
  li.row = row;
  set(dot, "class", `presence ${row.state}`);
  set(dot, "aria-label", t(`devices.${row.state}`));
  say(name, row.self ? t("devices.self", { name: nameOf(row) }) : row.was ? t("devices.was", row) : nameOf(row));
  say(id, shortDevice(row.id));
  say(state, stateOf(row));
  keyed(facts, factsOf(li.app, row), ([key]) => key, fact, sayFact);
  set(more, "aria-label", t("sidebar.menu", { title: nameOf(row) }));
  more.hidden = !deviceActions(li.app, row).length;
}

function stateOf(row) {
  if (row.self) return "";
  const since = clock(row.since ?? "");
  const state = row.state === "offline" && since ? t("devices.since", { since }) : t(`devices.${row.state}`);
  return [state, row.reason].filter(Boolean).join(": ");
}

// Name of a fact and its text, or the time that it is about.
function factsOf(app, row) {
  const link = row.linked ? "link" : row.source;
  return [
    ["role", roleOf(app, row)],
    ["let_in", row.admitted_by && row.admitted_by.id !== row.id ? row.admitted_by.name : ""],
    ["how", !row.self && row.state !== "offline" && link ? t(`devices.by.${link}`) : ""],
    ["sessions", row.sessions || row.self ? String(row.sessions ?? 0) : ""],
    ["address", (row.addresses ?? []).map((host) => at(host, row.port)).join(", ")],
    ["version", row.version ?? ""],
    ["heard", row.self ? "" : { at: row.heard_at ?? row.seen_at }],
    ["paired", row.self ? "" : { at: row.paired_at }],
    ["started", { at: row.started_at }],
  ].filter(([, value]) => (typeof value === "string" ? value : value.at));
}

function roleOf(app, row) {
  if (row.self || !row.paired) return "";
  const session = row.session ? app.store.session(row.session)?.title ?? row.session : "";
  return [
    t(`devices.role.${row.role ?? "member"}`),
    row.read_only && t("share.read-only"),
    session && t("devices.only", { session }),
    row.expires_at && t("devices.until", { until: clock(row.expires_at) }),
  ].filter(Boolean).join(", ");
}

function at(host, port) {
  return `${host.includes(":") ? `[${host}]` : host}${port ? `:${port}` : ""}`;
}

function fact(each) {
  const div = el("div", {}, el("dt", {}, t(`devices.fact.${each[0]}`)), el("dd", { dir: "auto" }));
  sayFact(div, each);
  return div;
}

function sayFact(div, [, value]) {
  const dd = div.lastChild;
  if (typeof value === "string") return say(dd, value);
  if (dd.firstElementChild?.dateTime === value.at) return say(dd.firstElementChild, ago(value.at));
  dd.replaceChildren(el("time", { datetime: value.at, title: clock(value.at) }, ago(value.at)));
}

// --- what can be done with one ---

function deviceActions(app, row) {
  if (row.self) {
    const some = (app.trust.devices ?? []).some((each) => !each.self);
    return some ? [{ label: t("devices.leave"), danger: true, run: () => leave(app) }] : [];
  }
  if (!row.paired) return [{ label: t("pair.title"), run: () => app.go("#/pair") }];
  const reachable = app.store.reachable().some((each) => each.id === row.id);
  const limit = { label: t(row.read_only ? "devices.full" : "devices.limit"), run: () => limited(app, row) };
  return [
    reachable && { label: t("sidebar.new"), run: () => app.go(`#/new/${row.id}`) },
    row.role !== "host" && limit,
    { label: t("devices.unpair"), danger: true, run: () => unpair(app, row) },
  ].filter(Boolean);
}

function limited(app, row) {
  const what = row.read_only ? "devices.full" : "devices.limit";
  const body = [el("p", {}, t(`${what}.more`, { name: nameOf(row) }))];
  ask(t(what), body, t(what), {}, () => app.actions.limit(row.id, !row.read_only));
}

/** Ask before a device is put out, with whom it had let in. */
export function unpair(app, row) {
  const names = letInBy(app.trust.devices ?? [], row.id).map((each) => nameOf(each));
  const also = el("input", { type: "checkbox" });
  const body = [el("p", {}, t("devices.unpair.more"))];
  if (names.length) {
    body.push(choice(also, t("devices.unpair.all", { names: list(names) })));
  }
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

function line(app, entry) {
  const refused = entry.action === "refused";
  const session = entry.session ? app.store.session(entry.session)?.title || entry.session : "";
  const action = t(`audit.${entry.action}`);
  const name = entry.name || shortDevice(entry.device);
  const length = entry.length ? t("audit.length", { count: entry.length }) : "";
  const more = [entry.detail, length].filter(Boolean).join(", ");
  return el("li", { class: refused && "refused" },
    el("span", { class: "when" }, clock(entry.at)),
    el("span", { dir: "auto" }, t(session && !refused ? "audit.in" : "audit.by", { name, action, session }),
      more && el("small", {}, more)));
}
