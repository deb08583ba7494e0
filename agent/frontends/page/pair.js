// Pairing, both ways: show a code with its QR code, for a device or a guest; enter the code of another device.

import { atMost, choice, complain, copyButton, el, lineField, say, set, wrongLine } from "./dom.js";
import { lines, termsOf, unpair } from "./devices.js";
import { hostPort, nameOf, shortDevice, titleOf } from "./store.js";
import { t, unit } from "./words.js";

const STAYS = [[1, "hour", 3600], [8, "hour", 28_800], [1, "day", 86_400], [1, "week", 604_800]]; // seconds
const STAY = 28_800;
const SVG = "http://www.w3.org/2000/svg";
const CODE_MAX = 512; // characters, also of an address
const QUIET = 4; // light modules around a QR code

export function pair(app) {
  const reach = el("ul", { class: "problems" });
  const showing = show(app);
  const node = el("section", { class: "pane pair" },
    app.head(t("pair.title")), el("section", {}, reach), showing.node, enter(app));
  update();
  return { node, update, focus: showing.focus };

  function update() {
    lines(reach, app.store.status?.reach ?? []);
    showing.draw();
  }
}

// --- show a code ---

function show(app) {
  const wrong = wrongLine();
  const long = el("input", { type: "checkbox" });
  const guest = el("input", { type: "checkbox", onchange: () => (terms.hidden = !(about.hidden = guest.checked)) });
  const read = el("input", { type: "checkbox" });
  const stay = el("select", { class: "field" }, STAYS.map(([amount, name, value]) =>
    el("option", { value, selected: value === STAY }, unit(amount, name, "long"))));
  const session = el("select", { class: "field" });
  const terms = el("div", { class: "form", hidden: true },
    el("label", {}, t("pair.stay"), stay), el("label", {}, t("pair.session"), session),
    choice(read, t("share.read-only"), t("share.read-only.more")));
  const start = el("button", { class: "button primary" }, t("pair.show"));
  const about = el("p", { class: "about" }, t("pair.show.more"));
  const form = el("form", { class: "form", onsubmit: open }, about,
    choice(guest, t("pair.guest"), t("pair.guest.more")), terms, choice(long, t("pair.long"), t("pair.long.more")),
    wrong, el("div", { class: "actions" }, start));
  const told = el("div", { role: "status" });
  const shown = el("div", { class: "shown" });
  const node = el("section", { "aria-labelledby": "pair-show" },
    el("h2", { id: "pair-show" }, t("pair.show.title")), shown, told, form);
  let drawn = null; // the code that stands there
  if (app.trust.window?.told) app.trust.window = null; // how it ended was said already
  draw();
  return { node, draw, focus };

  function focus() {
    (form.hidden ? shown.querySelector("button") : start).focus({ preventScroll: true });
  }

  async function open(event) {
    event.preventDefault();
    if (start.disabled) return;
    say(wrong, "");
    start.disabled = true;
    const asGuest = { guest: true, read_only: read.checked, session: session.value, stay: Number(stay.value) };
    try {
      await app.actions.pair({ long: long.checked, ...(guest.checked && asGuest) });
    } catch (error) {
      complain(wrong, error);
    } finally {
      draw();
    }
  }

  function draw() {
    const { window } = app.trust;
    const code = window && !window.ended && app.state === "ready" ? window.code : null; // it ends with the connection
    start.disabled = app.state !== "ready";
    drawSessions();
    if (drawn !== code) {
      const focused = node.contains(document.activeElement);
      drawn = code;
      form.hidden = code !== null;
      shown.replaceChildren(...(code ? codeNodes(window) : []));
      if (focused) focus();
    }
    const news = window?.ended ?? window?.news;
    if (told.news !== news) told.replaceChildren(...(news ? sentences(news, window) : []));
    told.news = news;
    if (window?.ended) window.told = true;
  }

  function drawSessions() {
    const shared = app.store.sessions().local.filter((row) => row.share !== "private").map((row) => [row.id, titleOf(row)]);
    const wanted = [["", t("pair.session.any")], ...shared];
    if (session.dataset.shown === String(wanted)) return;
    session.dataset.shown = String(wanted);
    session.replaceChildren(...wanted.map(([value, name]) => el("option", { value }, name)));
  }

  function codeNodes({ code, link, qr, until, terms: { guest, ...limits }, addresses: [address], port }) {
    const left = el("span", { class: "left", role: "timer" });
    const timer = setInterval(tick, 1000);
    tick();
    return [qrCode(qr), el("div", {},
      el("output", { class: "big" }, code), el("p", {}, left, copyButton(link || code)),
      guest && el("p", {}, [t("pair.guest"), ...termsOf(app, limits)].join(" · ")),
      el("p", {}, t("pair.there"), " ", el("code", {}, link ? "agent join" : `agent join ${code}`)),
      address && !link && el("p", { class: "about" }, t("pair.far"), " ", el("code", {}, hostPort(address, port))),
      el("button", { class: "button", onclick: stop }, t("app.cancel")))];

    function tick() {
      if (drawn !== code) return clearInterval(timer);
      const seconds = Math.max(0, Math.round((until - Date.now()) / 1000));
      const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      say(left, t("pair.left", { time }));
    }
  }

  function stop() {
    app.actions.stopPairing().catch(() => {}); // of a lost connection: the window has ended with it
  }

  function sentences(news, { terms: { guest } }) {
    if (news.what === "paired") return paired(app, { ...news, id: news.device, role: guest ? "guest" : "member" });
    const left = news.tries_left ? ` ${t("pair.tries", { count: news.tries_left })}` : "";
    const said = el("p", { class: news.what !== "closed" && "wrong" });
    const { name = t("ask.somebody"), reason, hint } = news;
    if (reason) complain(said, { message: t("pair.declined", { name, reason }), hint });
    else say(said, t(`pair.${news.what}`) + left);
    return [said];
  }
}

// --- enter one ---

function enter(app) {
  const field = (more) => atMost(CODE_MAX, lineField(more));
  const code = field({ required: true, oninput: changed });
  const address = field({ placeholder: "192.168.1.2:4321" });
  const which = el("fieldset", { hidden: true });
  const wrong = wrongLine();
  const join = el("button", { class: "button primary" }, t("pair.join"));
  const told = el("div", { role: "status" });
  const form = el("form", { class: "form", onsubmit: submit },
    el("label", {}, t("pair.code"), code), which,
    el("details", {}, el("summary", {}, t("pair.far.title")), el("label", {}, t("devices.fact.address"), address)),
    wrong, el("div", { class: "actions" }, join));
  return el("section", { "aria-labelledby": "pair-enter" }, el("h2", { id: "pair-enter" }, t("pair.enter.title")), told, form);

  function changed() {
    say(wrong, "");
    which.hidden = true;
    which.replaceChildren();
  }

  async function submit(event) {
    event.preventDefault();
    if (join.disabled) return;
    const chosen = which.querySelector("input:checked")?.value;
    say(wrong, "");
    told.replaceChildren();
    busy(true);
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

/** What follows a pairing: with whom, on which terms, what now, and whether this is an old device anew. */
function paired(app, row) {
  const name = nameOf(row);
  const { role = "member", namesakes = [] } = row;
  const limits = termsOf(app, row).join(" · ");
  return [
    el("p", { class: "good" }, t(`pair.done.${role}`, { name, id: shortDevice(row.id) })),
    limits && el("p", {}, limits),
    role === "member" && el("a", { class: "button", href: `#/new/${row.id}` }, t("sidebar.new_on", { name })),
    ...namesakes.map((old) => el("p", {},
      t("pair.old", { name: old.name }), " ",
      el("button", { class: "button", onclick: () => unpair(app, old) }, t("devices.unpair")))),
  ].filter(Boolean);
}

// One path, a rectangle for each run of dark modules; dark on light in both schemes, as scanners want it.
function qrCode(rows) {
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
