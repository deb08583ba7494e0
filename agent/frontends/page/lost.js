// What is lost, above everything and never as a dialog: the service, or the login of this browser.

import { atMost, coded, complain, el, lineField, opensAnew, say, wrongLine } from "./dom.js";
import { loginByCode } from "./key.js";
import { t } from "./words.js";

const SHOWN_AFTER = 1000; // ms: what comes back at once is not worth a line

export function lost(app) {
  const service = line();
  const login = loginForm(app);
  const node = el("div", { class: "lost" }, service.node, login.node);
  let before = app.state;
  draw();
  return { node, update };

  function update(changed) {
    if (changed.has("wire")) draw();
  }

  function draw() {
    service.show(serviceLine(app));
    login.show(app.state === "refused");
    if (before === "lost" && app.state === "ready") app.say(t("lost.back"));
    before = app.state;
  }
}

function serviceLine({ state, detail }) {
  if (state === "lost") return t(detail?.impostor ? "lost.impostor" : "lost.service");
  return state === "connecting" ? t("lost.connecting") : "";
}

// A line that is there only if it has something to say for a second.
function line() {
  const node = el("p", { class: "line", role: "status" });
  let timer = 0;
  let wanted = "";
  return { node, show };

  function show(text) {
    wanted = text;
    if (!text || node.textContent) {
      clearTimeout(timer);
      timer = 0;
      say(node, text);
    } else {
      timer ||= setTimeout(() => {
        timer = 0;
        say(node, wanted);
      }, SHOWN_AFTER);
    }
  }
}

function loginForm(app) {
  const code = atMost(64,
    lineField({ id: "login-code", required: true, autocomplete: "one-time-code", oninput: () => say(wrong, "") }));
  const wrong = wrongLine();
  const send = el("button", { class: "button primary" }, t("login.title"));
  const node = el("form", { class: "login form", hidden: true, onsubmit: submit },
    el("h2", {}, t("login.title")),
    el("p", {}, opensAnew()),
    el("div", {}, el("label", { for: code.id }, coded(t("login.code"))), el("div", { class: "beside" }, code, send)), wrong);
  return { node, show };

  function show(wanted) {
    if (node.hidden !== wanted) return;
    node.hidden = !wanted;
    if (wanted) for (const open of document.querySelectorAll("dialog")) open.close(); // nothing below is shown
    if (wanted && document.activeElement === document.body) code.focus();
  }

  async function submit(event) {
    event.preventDefault();
    if (send.disabled) return;
    say(wrong, "");
    send.disabled = true;
    try {
      await loginByCode(code.value.trim());
      code.value = "";
      app.wire.again();
    } catch (error) {
      complain(wrong, error instanceof TypeError ? { message: t("lost.service") } : error);
    } finally {
      send.disabled = false;
    }
  }
}
