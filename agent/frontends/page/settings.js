// Settings of the page: language, keys, notifications; kept in the service, so that they outlive its address. And the way out.

import { ask, choice, coded, el, say } from "./dom.js";
import { shortDevice } from "./store.js";
import { LOCALES, t } from "./words.js";

export function settings(app) {
  const language = el("select", { class: "field", onchange: choose },
    el("option", { value: "" }, t("settings.browser")),
    Object.entries(LOCALES).map(([name, own]) => el("option", { value: name, lang: name }, own)));
  const keys = box("keys", (on) => keep({ keys: on }));
  const enter = el("select", { class: "field", onchange: () => keep({ enter: enter.value }) },
    ["", "send", "line"].map((value) => el("option", { value }, t(`settings.enter.${value || "auto"}`))));
  const notify = box("notify", notifications);
  const denied = el("p", { class: "wrong", role: "status" });
  const about = el("p", { class: "about" });
  const out = el("button", { class: "button danger", onclick: logout }, t("settings.logout"));
  const node = el("section", { class: "pane settings" }, app.head(t("sidebar.settings")),
    el("div", { class: "form" },
      el("label", {}, t("settings.language"), language),
      el("label", {}, t("settings.enter"), enter),
      keys.node, notify.node, denied, about, el("div", { class: "actions" }, out)));
  draw();
  return { node, update, focus: () => language.focus({ preventScroll: true }) };

  function update(changed) {
    if (["keep", "own", "wire"].some((key) => changed.has(key))) draw();
  }

  function draw() {
    const kept = app.keep.settings ?? {};
    language.value = kept.locale ?? localStorage.getItem("locale") ?? "";
    keys.input.checked = kept.keys !== false;
    enter.value = kept.enter ?? "";
    // The permission belongs to the address, which is another one after each start of the service.
    notify.input.checked = kept.notify === true && permission() === "granted";
    notify.input.disabled = permission() === "none";
    out.disabled = app.state !== "ready";
    say(about, app.own ? `${app.own.name} (${shortDevice(app.own.id)}), lan-agent ${app.own.version}` : "");
  }

  function keep(change) {
    return app.actions.keep("settings", { ...app.keep.settings, ...change });
  }

  function choose() {
    localStorage.setItem("locale", language.value); // known before the service answers
    keep({ locale: language.value });
  }

  async function notifications(on) {
    say(denied, "");
    const given = on ? await Notification.requestPermission() : "";
    if (on && given !== "granted") say(denied, t("settings.denied"));
    await keep({ notify: on && given === "granted" });
    draw();
  }

  function logout() {
    ask(t("settings.logout"), [el("p", {}, coded(t("settings.logout.more")))], t("settings.logout"), { danger: true },
      app.actions.logout);
  }
}

function permission() {
  return "Notification" in window ? Notification.permission : "none";
}

function box(name, change) {
  const input = el("input", { type: "checkbox", onchange: () => change(input.checked) });
  return { node: choice(input, t(`settings.${name}`), t(`settings.${name}.more`)), input };
}
