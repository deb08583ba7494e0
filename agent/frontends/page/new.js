// A new session: on which device, of which program, in which folder, with which title.

import { complain, el, say, set } from "./dom.js";
import { nameOf } from "./store.js";
import { t } from "./words.js";

const FIELDS = ["backend", "title", "cwd", "share"];

export function newSession(app) {
  const device = app.route.id;
  const kept = `new:${device}`;
  const draft = read(kept);
  const place = el("select", { class: "field", onchange: () => app.go(target(place.value)) });
  const backend = el("select", { class: "field", disabled: true });
  const about = el("p", { class: "about" });
  const title = el("input", { class: "field", maxlength: 120, autocomplete: "off", dir: "auto" });
  const cwd = el("input", {
    class: "field", maxlength: 4096, autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    placeholder: t("new.cwd.placeholder"),
  });
  const share = el("select", { class: "field" },
    ["all", "read-only", "private"].map((value) => el("option", { value }, t(`share.${value}`))));
  const wrong = el("p", { class: "wrong", role: "alert" });
  const start = el("button", { class: "button primary", disabled: true }, t("new.start"));
  const form = el("form", { class: "form", onsubmit: submit, oninput: keep },
    labelled("new.device", place), labelled("new.backend", backend, about), labelled("new.cwd", cwd),
    labelled("new.title", title), device ? null : labelled("new.share", share), wrong,
    el("div", { class: "actions" }, start));
  const fields = { backend, title, cwd, share };
  for (const name of FIELDS) if (name !== "backend" && draft[name] !== undefined) fields[name].value = draft[name];
  let rows = null; // of the device's programs; null: not told yet
  let asked = false;
  let busy = false;
  const node = el("section", { class: "pane" }, app.head(t("sidebar.new")), form);
  update();
  return { node, update, focus: () => (rows ? title : place).focus({ preventScroll: true }) };

  function update() {
    drawPlaces();
    if (!asked && app.state === "ready") ask();
    draw();
  }

  function drawPlaces() {
    const known = app.store.peer(device);
    const peers = app.store.reachable();
    if (device && known && !peers.includes(known)) peers.push(known);
    const wanted = [["", t("new.here")], ...peers.map((peer) => [peer.id, nameOf(peer)])];
    if (JSON.stringify(wanted) !== place.dataset.shown) {
      place.replaceChildren(...wanted.map(([value, name]) => el("option", { value }, name)));
      place.dataset.shown = JSON.stringify(wanted);
    }
    place.value = device;
  }

  async function ask() {
    asked = true;
    try {
      rows = await app.actions.backends(device);
      const first = rows.find((row) => row.name === draft.backend && row.ready) ?? rows.find((row) => row.default);
      backend.replaceChildren(...rows.map((row) => el("option", { value: row.name, disabled: !row.ready },
        row.ready ? row.name : `${row.name} (${t("new.not_ready")})`)));
      backend.value = (first?.ready ? first : rows.find((row) => row.ready))?.name ?? "";
    } catch (error) {
      tell(error);
      asked = app.state === "ready"; // of a lost connection: with the next one
    }
    draw();
  }

  function draw() {
    const row = rows?.find((each) => each.name === backend.value);
    say(about, !rows ? t("new.asking") : row ? row.description : t("new.no_backend"));
    backend.disabled = !rows?.length;
    start.disabled = busy || !row || app.state !== "ready";
    say(start, t(busy ? "new.starting" : "new.start"));
    set(form, "aria-busy", busy && "true");
  }

  function keep() {
    wrong.textContent = "";
    const values = Object.fromEntries(FIELDS.map((name) => [name, fields[name].value]));
    sessionStorage.setItem(kept, JSON.stringify(values));
    draw();
  }

  async function submit(event) {
    event.preventDefault();
    if (busy || start.disabled) return;
    busy = true;
    wrong.textContent = "";
    draw();
    const wanted = { device, backend: backend.value, title: title.value.trim(), cwd: cwd.value.trim() };
    try {
      const made = await app.actions.create(device ? wanted : { ...wanted, share: share.value });
      sessionStorage.removeItem(kept);
      if (node.isConnected) app.go(`#/s/${made.session_id}`);
    } catch (error) {
      tell(error);
    } finally {
      busy = false;
      draw();
    }
  }

  function tell(error) {
    complain(wrong, error);
  }
}

function target(device) {
  return device ? `#/new/${device}` : "#/new";
}

function labelled(key, field, ...more) {
  return el("div", {}, el("label", {}, t(key), field), ...more);
}

function read(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name)) ?? {};
  } catch {
    return {};
  }
}
