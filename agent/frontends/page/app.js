// The page's start: it puts the parts together, follows the route, and has the views drawn once a frame.

import { actionsOf } from "./actions.js";
import { announce, el, live, opensAnew, say, set } from "./dom.js";
import { shortcuts } from "./keys.js";
import { lost } from "./lost.js";
import { marks } from "./marks.js";
import { sidebar } from "./sidebar.js";
import { Store } from "./store.js";
import { Wire } from "./wire.js";
import * as words from "./words.js";
import { t } from "./words.js";

const ROUTES = new Set(["", "devices", "new", "pair", "s", "settings"]);
// What stands above everything, whatever the route.
const LINES = [lost];
const STATUS_EVERY = 30_000;
const PANES_AFTER = 100; // ms after the list is known: before that, the other views would be in its way

/** What every view is given. Views read from it, and call `actions`, `go`, `say` and `head`. */
const app = {
  wire: null,
  state: "connecting", // of the wire: connecting, ready, lost or refused
  detail: null, // what the wire says with its state
  store: new Store(),
  session: null, // the SessionLog of the open session
  open: null, // how that stands: see following.js
  route: parse(location.hash),
  keep: {}, // values of `page.keep`: pins, settings
  actions: {},
  focus,
  go,
  say: announce,
  head,
  touch,
  get own() {
    return app.store.own;
  },
};

const main = el("main", { id: "main", tabindex: "-1" });
const lines = el("div", { id: "lines" });
let standing = []; // views that are drawn whatever the route
let shown = []; // views of the route
let panes = { "": [welcome] }; // views by the first word of the route, as far as they have come
let coming = null; // the others

/** Where the hash leads: `#/s/SESSION/SEQ` is `{name: "s", id: "SESSION", at: SEQ}`; what is unknown is the list. */
function parse(hash) {
  const [, name = "", id = "", at] = hash.replace(/^#/, "").split("/").map(decode);
  return ROUTES.has(name) ? { name, id, at: Number(at) || 0 } : { name: "", id: "", at: 0 };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return ""; // no route of ours
  }
}

function go(hash) {
  if (location.hash === hash) routed();
  else location.hash = hash;
}

function routed() {
  const before = app.route;
  app.route = parse(location.hash);
  app.actions.follow(app.route.name === "s" ? app.route.id : null);
  show();
  touch("route");
  const { id, name } = app.route;
  if (!(name ? name === "s" && app.sidebar.stays(id) : app.sidebar.stand(before.id))) focus();
}

/** Give the focus to what the route is for. */
function focus() {
  (shown.find((view) => view.focus) ?? { focus: () => main.focus({ preventScroll: true }) }).focus();
}

function show() {
  const { name } = app.route;
  if (!panes[name]) fetchPanes();
  shown = (panes[name] ?? []).map((view) => view(app));
  main.replaceChildren(...shown.map((view) => view.node));
  set(main, "aria-busy", panes[name] ? null : "true");
  document.body.dataset.route = app.route.name || "list";
}

// All of them: after a restart of the service nothing is served to a page that lives on.
function fetchPanes() {
  document.head.append(document.querySelector("#later").content); // what they need, at once
  coming ??= import("./panes.js").then(({ PANES }) => {
    panes = { ...panes, ...PANES };
    if (main.ariaBusy) routed();
  }).catch(() => {
    coming = null; // of a lost connection: with the next one
    if (main.ariaBusy) main.replaceChildren(el("p", { class: "welcome" }, opensAnew())); // of a service that began anew: never
  });
}

/** The head of what the main part shows: the way back on a narrow window, the one `h1`, and what a view adds. */
function head(title, ...more) {
  const back = el("a", { class: "back", href: "#/", "aria-label": t("app.back"), onclick: goBack });
  return el("header", { class: "head" }, back, el("h1", { dir: "auto" }, title), ...more);
}

// To the list where it stood, if that is where one came from: Back then leads out of the page, as it should.
function goBack(event) {
  const { navigation } = globalThis;
  const before = navigation?.entries()[navigation.currentEntry.index - 1];
  if (!before || parse(new URL(before.url).hash).name) return;
  event.preventDefault();
  history.back();
}

function welcome() {
  const title = el("h1");
  const text = el("p");
  const pairing = el("a", { class: "button", href: "#/pair" }, t("pair.title"));
  const node = el("section", { class: "welcome" }, title, text,
    el("p", {}, el("a", { class: "button primary", href: "#/new" }, t("sidebar.new")), " ", pairing));
  function update() {
    const { local, remote } = app.store.sessions();
    const some = local.length + remote.length > 0;
    node.classList.toggle("unknown", !app.store.loaded);
    say(title, t(some ? "app.choose" : "app.empty"));
    say(text, t(some ? "app.choose.more" : "app.empty.more"));
    pairing.hidden = !app.store.alone();
  }
  update();
  return { node, update };
}

// --- once a frame ---

let changed = new Set();
let frame = 0;

/** Have the views drawn with what is different: `s:ID p:ID loaded own health wire route keep session items i:ITEM`. */
function touch(...keys) {
  for (const key of keys) changed.add(key);
  // A window that is out of sight has no frames, and yet a title that counts what waits.
  if (changed.size) frame ||= document.hidden ? setTimeout(draw) : requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  const keys = changed;
  changed = new Set();
  if (keys.has("loaded")) setTimeout(fetchPanes, PANES_AFTER);
  if (keys.has("keep") && words.use(app.keep.settings?.locale ?? localStorage.getItem("locale") ?? "")) return build();
  for (const view of [...standing, ...shown]) {
    try {
      view.update(keys);
    } catch (error) {
      console.error(error); // the other views go on
    }
  }
}

document.addEventListener("visibilitychange", () => {
  if (!frame) return;
  cancelAnimationFrame(frame);
  frame = 0;
  touch();
});

// Text that an ellipsis cuts is whole in its tooltip.
document.addEventListener("pointerover", ({ target }) => {
  if (getComputedStyle(target).textOverflow !== "ellipsis" || target.parentElement.closest("[title]")) return;
  target.title = target.scrollWidth > target.clientWidth ? target.textContent : "";
});

// --- the wire ---

function onState(state, detail) {
  app.state = state;
  app.detail = detail ?? null;
  set(document.body, "data-wire", state);
  touch("wire");
  if (state !== "ready") return;
  app.actions.resume();
  if (main.ariaBusy) fetchPanes();
}

function onNotify(method, params) {
  touch(...app.store.apply(method, params));
  app.actions.notified(method, params);
}

function start() {
  words.use(localStorage.getItem("locale") ?? "");
  app.wire = new Wire({ onState, onNotify });
  app.actions = actionsOf(app);
  app.wire.start();
  setTimeout(() => { // while it connects
    build();
    addEventListener("hashchange", routed);
    addEventListener("storage", spoken);
    shortcuts(app);
    words.warm();
  });
  setInterval(() => document.hidden || app.state !== "ready" || app.actions.status(), STATUS_EVERY);
}

/** Speak what was chosen in another tab. */
function spoken({ key, newValue }) {
  if (key !== "locale") return;
  app.keep.settings = { ...app.keep.settings, locale: newValue ?? "" };
  touch("keep");
}

/** Make the page anew in the language in use. */
function build() {
  const views = LINES.map((view) => view(app));
  lines.replaceChildren(...views.map((view) => view.node));
  const side = sidebar(app);
  standing = [side, ...views, marks(app)];
  app.sidebar = side;
  document.body.replaceChildren(
    el("a", { class: "skip", href: "#main", onclick: skip }, t("app.skip")), lines, side.node, main, live);
  routed();
}

// A link to a part of the page would be a route.
function skip(event) {
  event.preventDefault();
  (document.querySelector("#message") ?? main).focus();
}

app.build = build;
start();
