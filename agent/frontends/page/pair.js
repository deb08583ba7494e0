// Pairing, both ways: show a code with its QR code, for a device or a guest; enter the code of another device.

import { choice, complain, copyButton, el, say, set } from "./dom.js";
import { unpair } from "./devices.js";
import { nameOf, shortDevice, titleOf } from "./store.js";
import { ago, clock, t } from "./words.js";

const STAYS = [["hour", 3600], ["day", 86_400], ["week", 604_800]];
const SVG = "http://www.w3.org/2000/svg";
const QUIET = 2; // light modules around a QR code

export function pair(app) {
  const node = el("section", { class: "pane pair" }, app.head(t("pair.title")));
  const showing = show(app);
  const entering = enter(app);
  node.append(showing.node, entering.node);
  return { node, update: (changed) => (changed.has("trust") || changed.has("wire")) && showing.draw(), focus: showing.focus };
}

// --- show a code ---

function show(app) {
  const wrong = el("p", { class: "wrong", role: "alert" });
  const long = el("input", { type: "checkbox" });
  const guest = el("input", { type: "checkbox", onchange: () => (terms.hidden = !guest.checked) });
  const read = el("input", { type: "checkbox" });
  const stay = el("select", { class: "field" },
    STAYS.map(([name, seconds]) => el("option", { value: seconds, selected: name === "day" }, t(`pair.stay.${name}`))));
  const session = el("select", { class: "field" });
  const terms = el("div", { class: "form", hidden: true },
    el("label", {}, t("pair.stay"), stay),
    el("label", {}, t("pair.session"), session),
    choice(read, t("share.read-only"), t("share.read-only.more")));
  const start = el("button", { class: "button primary" }, t("pair.show"));
  const form = el("form", { class: "form", onsubmit: open },
    el("p", { class: "about" }, t("pair.show.more")),
    choice(guest, t("pair.guest"), t("pair.guest.more")), terms, choice(long, t("pair.long"), t("pair.long.more")),
    wrong, el("div", { class: "actions" }, start));
  const told = el("div", { role: "status" });
  const code = el("div", { class: "shown" });
  const node = el("section", { "aria-labelledby": "pair-show" },
    el("h2", { id: "pair-show" }, t("pair.show.title")), code, told, form);
  let timer = 0;
  let shown = null; // the window whose code is drawn
  draw();
  return { node, draw, focus: () => (form.hidden ? node.querySelector("button") : start)?.focus({ preventScroll: true }) };

  async function open(event) {
    event.preventDefault();
    if (start.disabled) return;
    wrong.textContent = "";
    start.disabled = true;
    const asGuest = { guest: true, read_only: read.checked, session: session.value, stay: Number(stay.value) };
    try {
      await app.actions.pair({ long: long.checked, ...(guest.checked ? asGuest : {}) });
    } catch (error) {
      complain(wrong, error);
    } finally {
      draw();
    }
  }

  function draw() {
    const { window } = app.trust;
    const standing = window && !window.ended;
    form.hidden = Boolean(standing);
    start.disabled = app.state !== "ready";
    if (standing && shown !== window.code) drawCode(window);
    if (!standing) code.replaceChildren();
    shown = standing ? window.code : null;
    drawSessions();
    drawTold(window);
  }

  function drawSessions() {
    const { local } = app.store.sessions();
    const shared = local.filter((row) => row.share !== "private").map((row) => [row.id, titleOf(row)]);
    const wanted = [["", t("pair.session.any")], ...shared];
    if (session.dataset.shown === String(wanted)) return;
    session.dataset.shown = String(wanted);
    session.replaceChildren(...wanted.map(([value, name]) => el("option", { value }, name)));
  }

  function drawCode(window) {
    const left = el("span", { class: "left", role: "timer", "aria-live": "off" });
    const command = window.link ? "agent join" : `agent join ${window.code}`;
    const address = window.addresses?.[0];
    code.replaceChildren(
      el("output", { class: "big" }, window.code),
      window.qr?.length ? qr(window.qr) : "",
      el("p", {}, left, copyButton(window.code)),
      el("p", {}, t("pair.there"), " ", el("code", {}, command)),
      address ? el("p", { class: "about" }, t("pair.far"), " ",
        el("code", {}, `agent join CODE --address ${address.includes(":") ? `[${address}]` : address}:${window.port}`)) : "",
      el("div", { class: "actions" }, el("button", { type: "button", class: "button", onclick: stop }, t("pair.stop"))));
    clearInterval(timer);
    timer = setInterval(tick, 1000);
    tick();

    function tick() {
      if (!left.isConnected && left.textContent) return clearInterval(timer);
      const seconds = Math.max(0, Math.round((window.until - Date.now()) / 1000));
      const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      say(left, t("pair.left", { time }));
    }
  }

  function stop() {
    app.actions.stopPairing().catch((error) => complain(wrong, error));
  }

  function drawTold(window) {
    const news = window?.ended ?? window?.news;
    if (told.news === news) return;
    told.news = news;
    told.replaceChildren(...(news ? sentences(news, window) : []));
  }

  function sentences(news, window) {
    if (news.what === "paired") {
      return paired(app, { ...news, id: news.device, role: window.terms.guest ? "guest" : "member" });
    }
    if (news.reason) return [el("p", {}, t("pair.declined", { name: news.name, reason: news.reason }), " ", news.hint ?? "")];
    if (news.what === "closed") return [];
    const left = news.tries_left ? ` ${t("pair.tries", { count: news.tries_left })}` : "";
    return [el("p", { class: "wrong" }, t(`pair.${news.what}`) + left)];
  }
}

// --- enter one ---

function enter(app) {
  const field = (more) => el("input", {
    class: "field", maxlength: 512, autocomplete: "off", autocapitalize: "off", spellcheck: "false", ...more,
  });
  const code = field({ required: true, oninput: changed });
  const address = field({ placeholder: "HOST:PORT" });
  const which = el("fieldset", { hidden: true });
  const wrong = el("p", { class: "wrong", role: "alert" });
  const join = el("button", { class: "button primary" }, t("pair.join"));
  const told = el("div", { role: "status" });
  const form = el("form", { class: "form", onsubmit: submit },
    el("label", {}, t("pair.code"), code), which,
    el("details", {}, el("summary", {}, t("pair.far.title")), el("label", {}, t("pair.address"), address)),
    wrong, el("div", { class: "actions" }, join));
  const node = el("section", { "aria-labelledby": "pair-enter" },
    el("h2", { id: "pair-enter" }, t("pair.enter.title")), told, form);
  return { node };

  function changed() {
    wrong.textContent = "";
    which.hidden = true;
    which.replaceChildren();
  }

  async function submit(event) {
    event.preventDefault();
    if (join.disabled) return;
    wrong.textContent = "";
    busy(true);
    const chosen = which.querySelector("input:checked")?.value;
    try {
      const row = await app.actions.join(code.value.trim(), chosen ?? address.value.trim());
      code.value = address.value = "";
      changed();
      told.replaceChildren(...paired(app, row));
    } catch (error) {
      if (error.kind === "ambiguous" && !chosen) await choose().catch((other) => complain(wrong, other));
      else complain(wrong, error);
    } finally {
      busy(false);
    }
  }

  function busy(now) {
    join.disabled = now;
    set(form, "aria-busy", now && "true");
    say(join, t(now ? "pair.joining" : "pair.join"));
  }

  // Exactly one window is tried with a code, so the person says which: names prove nothing, addresses tell them apart.
  async function choose() {
    const rows = await app.actions.windows(code.value.trim());
    which.replaceChildren(el("legend", {}, t("pair.which")), ...rows.map((row, index) => choice(
      el("input", { type: "radio", name: "window", value: row.address, checked: !index }), row.name, row.address)));
    which.hidden = !rows.length;
    which.querySelector("input")?.focus();
  }
}

/** What follows a pairing: with whom, what now, and whether this is an old device anew. */
function paired(app, row) {
  const name = nameOf(row);
  const values = { name, id: shortDevice(row.id), until: clock(row.expires_at ?? "") };
  const old = (row.namesakes ?? []).map((each) => el("p", {},
    t(each.seen_at ? "pair.old" : "pair.old.unseen", { name: each.name, ago: ago(each.seen_at ?? "") }), " ",
    el("button", { type: "button", class: "button", onclick: () => unpair(app, each) }, t("devices.unpair"))));
  const role = row.role ?? "member";
  const next = el("a", { class: "button", href: `#/new/${row.id}` }, t("sidebar.new_on", { name }));
  return [el("p", { class: "good" }, t(`pair.done.${role}`, values)), role === "member" ? el("p", {}, next) : "", ...old];
}

// One path, a rectangle for each run of dark modules; dark on light in both schemes, as scanners want it.
function qr(rows) {
  const size = rows.length + 2 * QUIET;
  const runs = rows.flatMap((row, y) =>
    [...row.matchAll(/1+/g)].map(({ 0: run, index }) => `M${index} ${y}h${run.length}v1h-${run.length}z`));
  return svg("svg", { viewBox: `${-QUIET} ${-QUIET} ${size} ${size}`, class: "qr", role: "img", "aria-label": t("pair.qr") },
    svg("path", { d: runs.join(""), "shape-rendering": "crispEdges" }));
}

function svg(tag, attrs, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attrs)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
