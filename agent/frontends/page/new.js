// A new session: on which device, of which program with which command, in which folder, with which title.

import { atMost, coded, complain, el, lineField, say, set, uniqueId, wrongLine } from "./dom.js";
import { TITLE_MAX } from "./row_menu.js";
import { nameOf } from "./store.js";
import { t } from "./words.js";

const TERMINAL = "terminal"; // the kind that takes a command
const CWD_MAX = 4096; // characters
const WORDS = /^[\w@%+:,./ -]*$/; // that no shell would read otherwise

let draft = {}; // what was typed, while other views are looked at

export function newSession(app) {
  let device = app.route.id; // "": this one
  let rows = null; // of its programs; null: not told yet
  let asked = null; // the device that was asked for them
  let busy = false;
  const place = el("select", { class: "field", onchange: choose });
  const backend = el("select", { class: "field" });
  const about = el("p", { class: "about" });
  const shell = el("select", { class: "field" });
  const shells = el("label", {}, t("new.shell"), shell);
  const folders = el("datalist", { id: uniqueId("folders") });
  const cwd = atMost(CWD_MAX,
    lineField({ list: folders.id, placeholder: t("new.cwd.placeholder"), value: draft.cwd }));
  const command = lineField({ value: draft.command });
  const commanded = el("div", {}, el("label", {}, t("new.command"), command),
    el("p", { class: "about" }, coded(t("new.command.more"))));
  const title = atMost(TITLE_MAX, el("input", { class: "field", autocomplete: "off", dir: "auto", value: draft.title }));
  const share = el("select", { class: "field" }, ["all", "read-only", "private"].map((value) =>
    el("option", { value, selected: value === draft.share }, t(`share.${value}`))));
  const shared = el("label", {}, t("new.share"), share);
  const wrong = wrongLine();
  const start = el("button", { class: "button primary" });
  const form = el("form", { class: "form", onsubmit: submit, oninput: typed },
    el("label", {}, t("new.device"), place), el("div", {}, el("label", {}, t("new.backend"), backend), about), shells, commanded,
    el("label", {}, t("new.cwd"), cwd), folders, el("label", {}, t("new.title"), title), shared, wrong,
    el("div", { class: "actions" }, start));
  const node = el("section", { class: "pane" }, app.head(t("sidebar.new")), form);
  update();
  return { node, update, focus: () => place.focus({ preventScroll: true }) };

  function update() {
    const places = app.store.reachable();
    const known = app.store.peer(device);
    if (known && !places.includes(known)) places.push(known); // it was there a moment ago
    options(place, [["", t("new.here")], ...places.map((peer) => [peer.id, nameOf(peer)])], device);
    options(folders, app.store.folders(device).map((folder) => [folder, ""]));
    shared.hidden = device !== "";
    if (asked !== device && app.state === "ready") ask();
    draw();
  }

  // The route follows without being gone to: what was typed stays, and Back leads out of the form.
  function choose() {
    device = place.value;
    history.replaceState(null, "", device ? `#/new/${device}` : "#/new");
    say(wrong, "");
    update();
  }

  async function ask() {
    const mine = device;
    asked = mine;
    rows = null;
    try {
      const told = await app.actions.backends(mine);
      if (mine !== device) return;
      rows = told;
      const ready = rows.filter((row) => row.ready);
      const first = ready.find((row) => row.name === draft.backend) ?? ready.find((row) => row.default) ?? ready[0] ?? rows[0];
      const label = (row) => (row.ready ? row.name : `${row.name} (${t("new.not_ready")})`);
      options(backend, rows.map((row) => [row.name, label(row)]), first?.name);
    } catch (error) {
      if (mine !== device) return;
      complain(wrong, error);
      if (app.state !== "ready") asked = null; // of a lost connection: with the next one
    }
    draw();
  }

  function draw() {
    const row = chosen();
    const why = [row?.missing, row?.hint].filter(Boolean).join(": ");
    about.replaceChildren(...coded(rows ? (row ? why || row.description : t("new.no_backend")) : t("new.asking")));
    commanded.hidden = row?.kind !== TERMINAL;
    const names = row?.shells ?? []; // the user's own first, which needs no name
    options(shell, names.map((name, at) => [at ? name : "", name]));
    shells.hidden = names.length < 2;
    backend.disabled = !rows?.length;
    start.disabled = busy || !row?.ready || app.state !== "ready";
    say(start, t(busy ? "new.starting" : "new.start"));
    set(form, "aria-busy", busy && "true");
  }

  function chosen() {
    return rows?.find((each) => each.name === backend.value);
  }

  function typed() {
    say(wrong, "");
    draft = { backend: backend.value, command: command.value, cwd: cwd.value, title: title.value, share: share.value };
    draw();
  }

  async function submit(event) {
    event.preventDefault();
    if (start.disabled) return;
    busy = true;
    say(wrong, "");
    draw();
    const wanted = { device, backend: backend.value, title: title.value.trim(), cwd: cwd.value.trim() };
    if (!shells.hidden && shell.value) wanted.shell = shell.value;
    if (chosen()?.kind === TERMINAL && command.value.trim()) wanted.command = argumentsOf(command.value.trim());
    try {
      const made = await app.actions.create(device ? wanted : { ...wanted, share: share.value });
      draft = {};
      if (node.isConnected) location.replace(`#/s/${made.session_id}`); // Back does not lead here again
    } catch (error) {
      complain(wrong, error);
    } finally {
      busy = false;
      draw();
    }
  }
}

// The program and its arguments; what more than words is, a shell reads.
function argumentsOf(line) {
  return WORDS.test(line) ? line.split(/ +/) : ["sh", "-c", line];
}

// Options of a list, `[value, text]`, touched only if they are other ones.
function options(list, wanted, chosen) {
  const key = JSON.stringify(wanted);
  if (list.dataset.shown !== key) list.replaceChildren(...wanted.map(([value, text]) => el("option", { value }, text)));
  list.dataset.shown = key;
  if (chosen !== undefined) list.value = chosen;
}
